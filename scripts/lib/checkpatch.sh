# shellcheck shell=bash disable=SC2154 # top is common.sh's
# SPDX-License-Identifier: GPL-2.0
#
# checkpatch.pl of a kernel tree, less what checkpatch.tolerated lists.  To be
# sourced after common.sh.

# run_checkpatch TREE FOLDER ARGUMENT...: prints what is left, and fails if
# anything is.  It leaves a file in FOLDER, and wants Debian's python3 with
# Debian's modules.
run_checkpatch()
{
	local tree=$1 folder=$2 status=0

	shift 2
	(
		cd "$folder"
		PATH=/usr/bin:$PATH perl "$tree/scripts/checkpatch.pl" \
			--root="$tree" --strict --terse --showfile \
			--show-types --no-summary "$@" 2>&1
	) >"$folder/checkpatch.out" || status=$?
	# It fails if it reports anything; a death of its own is none of its lines.
	awk -v list="$top/scripts/lib/checkpatch.tolerated" '
		BEGIN {
			while ((getline line < list) > 0)
				if (line !~ /^#/ && split(line, f, " ") == 2) {
					type[++n] = "^" f[1] "$"
					path[n] = "^" f[2] "$"
				}
		}
		match($0, /: (ERROR|WARNING|CHECK):[A-Z0-9_]+: /) {
			split(substr($0, RSTART + 2), word, ":")
			name = $0
			sub(/:[0-9]+: (ERROR|WARNING|CHECK):.*/, "", name)
			for (i = 1; i <= n; i++)
				if (word[2] ~ type[i] && name ~ path[i])
					next
		}
		{ print; left = 1 }
		END { exit left }' "$folder/checkpatch.out" || return 1
	[ "$status" -le 1 ]
}

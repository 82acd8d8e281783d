# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What scripts/test and scripts/accept share: running the commands in $parts, a
# name and a command each, and adding up what passed, failed and was skipped.

passed=0
failed=0
skipped=0
summary=()

# add_up NAME LOG STATUS SECONDS: the last line of a part is its count, if it
# counts; what does not is one item.
add_up()
{
	local last

	last=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$2" |
		tail -n 1) || true
	if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+) ]]; then
		passed=$((passed + BASH_REMATCH[1]))
		failed=$((failed + BASH_REMATCH[2]))
		skipped=$((skipped + BASH_REMATCH[3]))
		if [ "$3" != 0 ] && [ "${BASH_REMATCH[2]}" = 0 ]; then
			failed=$((failed + 1))
			last+=", but status $3"
		fi
	elif [ "$3" = 0 ]; then
		passed=$((passed + 1))
		last=ok
	else
		failed=$((failed + 1))
		last="failed, status $3"
	fi
	summary+=("$(printf '%-12s %s, %d s' "$1" "$last" "$4")")
}

# run_parts NAME ARGUMENT...: for the script NAME, which was given ARGUMENTs.
run_parts()
{
	local me=$1 part name command start status
	local -A commands=()
	local names=() wanted=()

	shift
	# shellcheck disable=SC2154 # they are the script's
	for part in "${parts[@]}"; do
		read -r name command <<<"$part"
		names+=("$name")
		commands[$name]=$command
	done
	while [ $# -gt 0 ]; do
		case $1 in
		--help|-h)
			usage
			exit 0
			;;
		--list)
			for name in "${names[@]}"; do
				printf '%-12s %s\n' "$name" "${commands[$name]}"
			done
			exit 0
			;;
		*)
			[ -n "${commands[$1]:-}" ] || {
				echo "$me: there is no part '$1' (try --list)" >&2
				exit 2
			}
			wanted+=("$1")
			;;
		esac
		shift
	done
	[ ${#wanted[@]} -gt 0 ] || wanted=("${names[@]}")

	mkdir -p "build/$me"
	for name in "${wanted[@]}"; do
		echo "# $name: ${commands[$name]}"
		start=$SECONDS
		set +e
		# shellcheck disable=SC2086 # a command is words
		${commands[$name]} 2>&1 </dev/null |
			tee "build/$me/$name.log" |
			grep --line-buffered -v '^[0-9]* passed, [0-9]* failed'
		status=${PIPESTATUS[0]}
		set -e
		add_up "$name" "build/$me/$name.log" "$status" \
			$((SECONDS - start))
	done
	printf '# %s\n' "${summary[@]}"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
}

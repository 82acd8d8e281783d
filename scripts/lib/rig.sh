# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
#
# What scripts/kernel and scripts/initramfs share: the tree that they build
# from, and running a long step with progress.  Source it from the top folder,
# with $me set to the command's name.

die()
{
	echo "$me: $*" >&2
	exit 1
}

usage_error()
{
	echo "$me: $* (try --help)" >&2
	exit 2
}

# need COMMAND PACKAGE
need()
{
	command -v "$1" >/dev/null ||
		die "$1 is missing: run scripts/setup, or install package $2"
}

# find_tree PATH: set $tree to the source folder, absolute.  Without a PATH it
# is the patched tree, which scripts/worktree keeps current.
find_tree()
{
	tree=$1
	if [ -z "$tree" ]; then
		tree=build/linux
		if [ -x scripts/worktree ]; then
			scripts/worktree >&2 || die "there is no kernel tree to build"
		fi
		[ -d "$tree" ] ||
			die "there is no kernel tree in $tree; give one with --tree"
	fi
	[ -f "$tree/arch/x86/kvm/Kconfig" ] ||
		die "'$tree' is not a Linux source tree"
	tree=$(cd "$tree" && pwd)
	if [ -e "$tree/.config" ] || [ -d "$tree/include/config" ]; then
		die "$tree has been built in; run 'make mrproper' there first"
	fi
}

# The compiler's cache, if it is there.  Paths are hashed relative to the top
# folder, so that one checkout's results serve another.  What it has not seen it
# does not run the preprocessor on first: that takes a quarter of a compilation.
set_compiler()
{
	need gcc gcc
	cc=gcc
	if command -v ccache >/dev/null; then
		cc="ccache gcc"
		export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
	fi
	export KBUILD_BUILD_TIMESTAMP='1970-01-01 00:00:00 UTC'
	export KBUILD_BUILD_VERSION=1 KBUILD_BUILD_USER=altmmu KBUILD_BUILD_HOST=altmmu
}

# with_progress WHAT ABOUT LOG COMMAND...: run it with output to LOG.  Every ten
# seconds a line says how many files have been made of about that many.
with_progress()
{
	local what=$1 about=$2 log=$3 pid start=$SECONDS last=0 made

	shift 3
	"$@" >>"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		[ $((SECONDS - start - last)) -ge 10 ] || continue
		last=$((SECONDS - start))
		made=$(grep -cE '^ +(CC|AS|LD|AR|HOSTCC|GEN|LINK)|^(ccache )?gcc ' \
			"$log" || true)
		echo "$what: $made of about $about steps, $last s" >&2
	done
	wait "$pid" || {
		grep -m 5 -E 'error|Error|undefined reference|No rule' "$log" >&2 || true
		die "$what: failed, see $log"
	}
	echo "$what: done, $((SECONDS - start)) s" >&2
}

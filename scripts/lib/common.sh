# shellcheck shell=bash disable=SC2034 # variables are for who sources this
# SPDX-License-Identifier: GPL-2.0
#
# What the scripts that work on kernel trees share: saying what is wrong, where
# the cache is, and a git that is the same on every machine.  To be sourced.

program=${0##*/}

# One line, and out.
die()
{
	echo "$program: $*" >&2
	exit 1
}

# The same for a wrong command line.
misused()
{
	echo "$program: $* (try --help)" >&2
	exit 2
}

say()
{
	echo "$program: $*" >&2
}

needs()
{
	command -v "$1" >/dev/null ||
		die "$1 is missing: install package $2, or run scripts/setup"
}

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${ALTMMU_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/altmmu}

# For our own repositories: no configuration, attributes or hooks of the user
# or the system, nothing inherited from a git that we were started by, and a
# commit is a function of what is in it.
isolate_git()
{
	local name

	for name in $(git rev-parse --local-env-vars); do
		unset "$name"
	done
	export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
	export GIT_ATTR_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 LC_ALL=C TZ=UTC
	export GIT_CONFIG_COUNT=7
	export GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
	export GIT_CONFIG_KEY_1=core.hooksPath GIT_CONFIG_VALUE_1=/dev/null
	export GIT_CONFIG_KEY_2=core.attributesFile GIT_CONFIG_VALUE_2=/dev/null
	export GIT_CONFIG_KEY_3=core.excludesFile GIT_CONFIG_VALUE_3=/dev/null
	export GIT_CONFIG_KEY_4=gc.auto GIT_CONFIG_VALUE_4=0
	export GIT_CONFIG_KEY_5=maintenance.auto GIT_CONFIG_VALUE_5=false
	export GIT_CONFIG_KEY_6=advice.detachedHead GIT_CONFIG_VALUE_6=false
	export GIT_AUTHOR_NAME=altmmu GIT_AUTHOR_EMAIL=altmmu@localhost
	export GIT_COMMITTER_NAME=altmmu GIT_COMMITTER_EMAIL=altmmu@localhost
	export GIT_AUTHOR_DATE='1767225600 +0000'
	export GIT_COMMITTER_DATE='1767225600 +0000'
}

# Version of a kernel source folder, like 7.3.4; empty if it is none.
kernel_version()
{
	[ -r "$1/Makefile" ] && [ -d "$1/arch/x86/kvm" ] || return 0
	awk '$1 == "VERSION" && $2 == "=" { v = $3 }
	     $1 == "PATCHLEVEL" && $2 == "=" { p = $3 }
	     $1 == "SUBLEVEL" && $2 == "=" { s = $3; exit }
	     END { if (v != "" && p != "") print v "." p "." s }' "$1/Makefile"
}

# What the series is for.
base_version=7.3

# needs_room FOLDER MIB WHAT: a line if a file system is too full.
needs_room()
{
	local free

	free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$2" ] ||
		die "$3 needs $2 MiB in $1, where $free are free: make room or set ALTMMU_CACHE"
}

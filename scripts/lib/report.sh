# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Results: a line per check, KTAP's way, and the sum.  To be sourced after
# common.sh.

passed=0
failed=0
skipped=0

pass()
{
	passed=$((passed + 1))
	echo "ok $((passed + failed + skipped)) $*"
}

# fail NAME [LOG]: with the end of a log, as comment.
fail()
{
	failed=$((failed + 1))
	if [ -n "${2:-}" ] && [ -s "$2" ]; then
		tail -n 20 "$2" | sed 's/^/# /'
	fi
	echo "not ok $((passed + failed + skipped)) $1"
}

skip()
{
	skipped=$((skipped + 1))
	echo "ok $((passed + failed + skipped)) $1 # SKIP $2"
}

# check NAME LOG COMMAND...: output is in LOG, and shown if it fails.
check()
{
	local name=$1 log=$2

	shift 2
	if "$@" >"$log" 2>&1 </dev/null; then
		pass "$name"
	else
		fail "$name" "$log"
		return 1
	fi
}

# The sum, and the exit status.
report()
{
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
}

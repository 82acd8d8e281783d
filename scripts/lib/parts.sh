# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What scripts/test and scripts/accept share: running the commands in $parts, a
# name and a command each, and adding up what passed, failed and was skipped.
#
# A command that begins with & runs beside those that follow, up to the part
# named "wait": that is for one that keeps a CPU busy and leaves the other idle.
#
# %logs in a command is the part's own folder for logs, which no other part writes
# to, so that what a message names is still there in the end.

# QEMU's CPUs share a thread, because guests may end by chance where they don't, see
# Documentation/testing-kernel.rst; there is room for two machines at a time then.
# shellcheck disable=SC2034 # parts use it
turns='--one-thread --boots 2'

passed=0
failed=0
skipped=0
summary=()
started=()

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

# run_part NAME COMMAND: run it, keep what it prints, and print it but for counts.
run_part()
{
	local start=$SECONDS status in=/dev/null

	# It may have to ask for a password.
	[ "$1" != setup ] || ! [ -t 0 ] || in=/dev/stdin
	set +e
	# shellcheck disable=SC2086 # a command is words
	$2 2>&1 <$in | tee "$logs/$1.log" |
		grep --line-buffered -v '^[0-9]* passed, [0-9]* failed'
	status=${PIPESTATUS[0]}
	set -e
	add_up "$1" "$logs/$1.log" "$status" $((SECONDS - start))
}

# start_part NAME COMMAND: the same, without waiting for it, or showing it yet.
start_part()
{
	# shellcheck disable=SC2086 # a command is words
	$2 >"$logs/$1.log" 2>&1 </dev/null &
	started+=("$1 $! $EPOCHSECONDS")
}

# Show and count the parts that were started.
wait_for_parts()
{
	local name pid start status

	while [ ${#started[@]} -gt 0 ]; do
		read -r name pid start <<<"${started[0]}"
		status=0
		wait "$pid" || status=$?
		started=("${started[@]:1}")
		echo "# $name has ended"
		grep -v '^[0-9]* passed, [0-9]* failed' "$logs/$name.log" || true
		# It may have ended long ago: with its last line.
		add_up "$name" "$logs/$name.log" "$status" \
			$(($(stat -c %Y "$logs/$name.log") - start))
	done
}

# Nothing goes on behind the back of who gave up.
end_parts()
{
	local part name pid

	for part in "${started[@]}"; do
		read -r name pid _ <<<"$part"
		echo "$name: given up" >&2
		kill "$pid" 2>/dev/null || true
	done
}

# run_parts NAME ARGUMENT...: for the script NAME, which was given ARGUMENTs.
run_parts()
{
	local me=$1 logs=build/$1 part name command
	local -A commands=()
	local names=() wanted=() before=()

	shift
	# shellcheck disable=SC2154 # they are the script's
	for part in "${parts[@]}"; do
		read -r name command <<<"$part"
		names+=("$name")
		commands[$name]=${command//%logs/$logs/$name}
	done
	while [ $# -gt 0 ]; do
		case $1 in
		--help|-h)
			usage
			exit 0
			;;
		--list)
			for name in "${names[@]}"; do
				[ "$name" = wait ] || printf '%-12s %s\n' \
					"$name" "${commands[$name]#&}"
			done
			exit 0
			;;
		*)
			[[ -n $1 && -n ${commands[$1]:-} ]] || {
				echo "$me: there is no part '$1' (try --list)" >&2
				exit 2
			}
			wanted+=("$1")
			;;
		esac
		shift
	done
	# What a part boots that is asked for alone has to be of the sources as they are.
	for name in "${wanted[@]}"; do
		[[ ${commands[$name]} != *' --kernel '* ]] || before=(kernel initramfs)
	done
	wanted=("${before[@]}" "${wanted[@]}")
	[ ${#wanted[@]} -gt 0 ] || wanted=("${names[@]}")

	mkdir -p "$logs"
	trap end_parts EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	for name in "${wanted[@]}"; do
		command=${commands[$name]}
		[ "$name" = wait ] || echo "# $name: ${command#&}"
		case $name:$command in
		wait:*)
			wait_for_parts
			;;
		*:"&"*)
			start_part "$name" "${command#&}"
			;;
		*)
			run_part "$name" "$command"
			;;
		esac
	done
	wait_for_parts
	printf '# %s\n' "${summary[@]}"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
}

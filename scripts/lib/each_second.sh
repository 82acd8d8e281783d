# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Input for a serial port of QEMU's, which may forget an interrupt until another comes:
# Documentation/testing-kernel.rst.  To be sourced.

# each_second DELAY: a byte each second, after DELAY seconds, until nobody reads.  In
# a process substitution, for nobody should wait for it.
each_second()
{
	trap '' PIPE
	sleep "$1"
	while printf '\0' 2>/dev/null; do
		sleep 1
	done
}

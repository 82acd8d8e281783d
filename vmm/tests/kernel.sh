# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Kernels that are not Linux: the header of a bzImage, and a few instructions.

# FILE OFFSET BYTES, as printf takes them
poke()
{
	printf '%b' "$3" |
		dd of="$1" bs=1 seek=$(($2)) conv=notrunc status=none
}

# FILE [CODE]: boot protocol 2.15, and what runs at the 64-bit entry.
make_kernel()
{
	rm -f "$1"
	truncate -s 2048 "$1"
	poke "$1" 0x1f1 '\x01'			# one sector of setup
	poke "$1" 0x1f4 '\x40'			# syssize, in 16 bytes
	poke "$1" 0x1fe '\x55\xaa\xeb\x6a'
	poke "$1" 0x202 'HdrS\x0f\x02'
	poke "$1" 0x211 '\x01'			# loaded high
	poke "$1" 0x236 '\x01'			# 64-bit entry
	poke "$1" 0x238 '\xff\x07'		# command line of 2047
	poke "$1" 0x25b '\x01'			# at 16M
	poke "$1" 0x262 '\x10'			# takes 1M
	poke "$1" 0x600 "${2:-\xf4}"
}

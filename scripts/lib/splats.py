#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""splats.py CONSOLE [NUMBER]: print what the kernel has said on a console, which it
has to share with others, only because something is wrong with it; all of it, or as
far as a line that begins with == and a greater NUMBER."""
import itertools
import re
import sys

sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
import emulator

last = int(sys.argv[2]) if len(sys.argv) > 2 else None


def is_wanted(line):
    found = re.match(r'== (\d+) ', line)
    return last is None or not found or int(found[1]) <= last


with open(sys.argv[1], encoding='utf-8', errors='replace') as console:
    for splat in emulator.splats_in(itertools.takewhile(is_wanted, console)):
        print(splat)

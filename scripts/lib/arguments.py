# SPDX-License-Identifier: GPL-2.0
"""Command lines, where wrong usage is one line and the exit status 2."""
import argparse
import sys


class Parser(argparse.ArgumentParser):
    """One line on errors, and the exit status of wrong usage."""

    def error(self, message):
        print(f'{self.prog}: {message} (try --help)', file=sys.stderr)
        sys.exit(2)

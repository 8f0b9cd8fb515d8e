#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-launcher: the program; what it does is in the package mpqemu_launcher.

The package is beside this file in a checkout, and in PREFIX/share/qemu-system-x86-remote where
this file is PREFIX/bin/mpqemu-launcher.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "share" / "qemu-system-x86-remote")]
sys.dont_write_bytecode = True

import mpqemu_launcher  # noqa: E402 (its folder has to be on the path first)

if __name__ == "__main__":
    sys.exit(mpqemu_launcher.main())

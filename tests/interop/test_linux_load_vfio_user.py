# SPDX-License-Identifier: GPL-2.0-or-later
"""The cases of test_linux_load.py behind vfio-user with its interrupts, and resets under load."""

import unittest

import test_linux_load as load
from linux_guest import GuestCase


class LinuxLoadVfioUser(load.Cases, load.ResetCases, GuestCase):
    size = '--size=8M'


if __name__ == '__main__':
    unittest.main()

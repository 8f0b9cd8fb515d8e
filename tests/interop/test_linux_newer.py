# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel of Debian's backports, the newest there is for the release, behind both protocols.

It is fetched once, beside the release's own; without a network the cases are skipped.
"""

import unittest

import test_linux
import test_linux_vfio_user


class NewerKernelMpqemu(test_linux.LinuxBoot):
    newer_kernel = True

    def test_810a(self):
        self.boot_stock('lsi53c810a')


class NewerKernelVfioUser(test_linux_vfio_user.LinuxVfioUser):
    newer_kernel = True


if __name__ == '__main__':
    unittest.main()

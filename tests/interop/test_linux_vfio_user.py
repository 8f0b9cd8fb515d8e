# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux boots, writes and powers off in a QEMU with vfio-user-pci, as the launcher starts both."""

import unittest

import test_linux
import vfio_user


class LinuxVfioUser(test_linux.LinuxCase):
    programs = test_linux.LinuxCase.programs[:1]

    def boot_tcg(self, *options):
        log = self.boot(vfio_user.newer_qemu(), '--protocol', 'vfio-user', '--accel', 'tcg',
                        *options)
        self.assertNotRegex(log, 'irqpoll|nobody cared')
        return log

    def test_895a(self):
        self.assertRegex(self.boot_tcg(), r'sym0: <895a> rev 0x[0-9a-f]+ at pci')

    def test_810(self):
        self.assertRegex(self.boot_tcg('--device', 'lsi53c810'), r'sym0: <810> rev 0x0 at pci')


if __name__ == '__main__':
    unittest.main()

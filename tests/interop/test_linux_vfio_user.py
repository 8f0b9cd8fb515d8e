# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux boots, writes and powers off in a QEMU with vfio-user-pci, as the launcher starts both."""

import unittest

import test_linux
import vfio_user


class VfioUserCase(test_linux.LinuxCase):
    programs = test_linux.LinuxCase.programs[:1]

    def boot_tcg(self, device):
        log = self.boot(vfio_user.newer_qemu(), device, '--protocol', 'vfio-user', '--accel', 'tcg')
        self.assertNotRegex(log, 'irqpoll|nobody cared')


class LinuxVfioUser(VfioUserCase):
    def test_895a(self):
        self.boot_tcg('lsi53c895a')

    def test_810a(self):
        self.boot_tcg('lsi53c810a')

    def test_810(self):
        self.boot_tcg('lsi53c810')


if __name__ == '__main__':
    unittest.main()

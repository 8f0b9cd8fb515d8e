# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel with its root file system on /dev/sda, which the remote serves: two boots.

Behind the distribution's x-pci-proxy-dev here; test_linux_vfio_user.py has the other protocol.
"""

import re
import unittest

from interop import REMOTE, VM, InteropCase, guestkit, launcher, proxy_needs_kvm

# What Linux says when the adapter, the disk or the file system misbehaves.
COMPLAINTS = re.compile(
    r'ABORT|CACHE INCORRECTLY CONFIGURED|suspicious SCSI data|cannot lock the frequency|'
    r'sym0:.*(error|unexpected|unable|mismatch|timed out)|I/O error|Sense Key|DRIVER_|'
    r'EXT4-fs error|Call Trace')


class LinuxCase(InteropCase):
    deadline = 150

    def setUp(self):
        super().setUp()
        missing = guestkit.missing_tools()
        if missing:
            self.skipTest(f"not installed: {', '.join(missing)}")
        try:
            self.guest = guestkit.Guest(self.folder)
        except guestkit.GuestError as err:
            self.skipTest(f'no guest: {err}')

    def boot(self, vm, *options):
        """Boots, writes, powers off; returns the kernel's log."""
        boot = self.guest.boot_any(launcher, [*self.guest.options(REMOTE, vm), *options],
                                   self.deadline, self.comment)
        self.comment(f'{boot.accel}: {boot.seconds:.1f} s')
        if boot.wrong():
            self.fail('\n'.join([*boot.wrong(), *boot.console.splitlines()[-60:]]))
        self.assertEqual(guestkit.check_image(self.guest.image), [])

        # The console shows what came before user space; the log in the image is complete.
        log = guestkit.read_file(self.guest.image, guestkit.DMESG)
        self.assertRegex(log, r'scsi \d:0:0:0: Direct-Access +\S')
        self.assertRegex(log, r'\[sda\] 131072 512-byte logical blocks')
        self.assertRegex(log, r'tagged command queuing enabled')
        self.assertEqual([line for line in (log + boot.console).splitlines()
                          if COMPLAINTS.search(line)], [])
        return log


class LinuxBoot(LinuxCase):
    def setUp(self):
        super().setUp()
        if proxy_needs_kvm() and launcher.probe_kvm(VM):
            self.skipTest(f'the proxy of {VM} does not start without KVM')

    def test_895a(self):
        log = self.boot(VM, '--protocol', 'mpqemu')
        self.assertRegex(log, r'sym0: <895a> rev 0x[0-9a-f]+ at pci')
        self.assertRegex(log, r'target\d:0:0: FAST-40 WIDE SCSI')

    def test_810(self):
        """Revision 0: the driver's firmware without LOAD and STORE, its code in host memory."""
        log = self.boot(VM, '--protocol', 'mpqemu', '--device', 'lsi53c810')
        self.assertRegex(log, r'sym0: <810> rev 0x0 at pci')


if __name__ == '__main__':
    unittest.main()

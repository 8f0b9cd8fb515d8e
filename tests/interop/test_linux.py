# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel with its root file system on /dev/sda, which the remote serves: two boots.

Behind the distribution's x-pci-proxy-dev here; test_linux_vfio_user.py has the other protocol.
"""

import re
import unittest

from interop import REMOTE, VM, InteropCase, guestkit, launcher, proxy_needs_kvm
from linux_guest import complaints

# What the driver calls each model, and what it agrees on with a target.
MODELS = {
    'lsi53c895a': (r'sym0: <895a> rev 0x[0-9a-f]+ at pci', 'FAST-40 WIDE SCSI 80.0 MB/s'),
    'lsi53c810a': (r'sym0: <810a> rev 0x12 at pci', 'FAST-10 SCSI 10.0 MB/s'),
    'lsi53c810': (r'sym0: <810> rev 0x0 at pci', 'FAST-10 SCSI 10.0 MB/s'),
}



class LinuxCase(InteropCase):
    deadline = 150
    newer_kernel = False

    def setUp(self):
        super().setUp()
        missing = guestkit.missing_tools()
        if missing:
            self.skipTest(f"not installed: {', '.join(missing)}")
        try:
            self.guest = guestkit.Guest(self.folder, newer=self.newer_kernel)
        except guestkit.GuestError as err:
            self.skipTest(f'no guest: {err}')

    def boot(self, vm, device, *options):
        """Boots, writes, powers off; returns the kernel's log."""
        trace = self.folder / 'trace'
        boot = self.guest.boot_any(launcher, [*self.guest.options(REMOTE, vm), '--remote-args',
                                              f'-d scsi -D {trace}', '--device', device,
                                              *options],
                                   self.deadline, self.comment)
        self.comment(f'{self.guest.parts.release}, {boot.accel}: {boot.seconds:.1f} s')
        if boot.wrong():
            self.fail('\n'.join([*boot.wrong(), *boot.console.splitlines()[-60:]]))
        self.assertEqual(guestkit.check_image(self.guest.image), [])

        # The console shows what came before user space; the log in the image is complete.
        log = guestkit.read_file(self.guest.image, guestkit.DMESG)
        self.assertRegex(log, r'scsi \d:0:0:0: Direct-Access +\S')
        self.assertRegex(log, r'\[sda\] 131072 512-byte logical blocks')
        self.assertRegex(log, r'tagged command queuing enabled')
        attached, speed = MODELS[device]
        self.assertRegex(log, attached)
        self.assertIn(f'target0:0:0: {speed}', re.sub(r'target\d', 'target0', log))
        self.assertEqual(complaints(log + boot.console), [])
        self.check_negotiation(trace.read_text())
        return log

    def check_negotiation(self, trace):
        """The agreement holds: only the commands with which this driver always negotiates do.

        Those are INQUIRY and REQUEST SENSE; a target that swallowed SDTR would get it with each of
        the others, too.
        """
        begun = re.findall(r'scsi: 0:0 tag \S+: start (\S+)|scsi: 0: ([A-Z]+)$', trace, re.M)
        opcodes = [opcode for opcode, _ in begun if opcode]
        asked = [number for number, (_, message) in enumerate(begun) if message]
        # The message comes before the command of the same nexus.
        by = {next((opcode for opcode, _ in begun[number:] if opcode), None) for number in asked}
        self.comment(f'{len(opcodes)} commands, {len(asked)} messages of negotiation')
        self.assertGreater(len(opcodes), 100)
        self.assertGreater(len(asked), 0)
        self.assertLessEqual(by, {'12', '03'})


class LinuxBoot(LinuxCase):
    def setUp(self):
        super().setUp()
        if proxy_needs_kvm() and launcher.probe_kvm(VM):
            self.skipTest(f'the proxy of {VM} does not start without KVM')

    def boot_stock(self, device):
        return self.boot(VM, device, '--protocol', 'mpqemu')

    def test_895a(self):
        self.boot_stock('lsi53c895a')

    def test_810(self):
        """Revision 0: the driver's firmware without LOAD and STORE, its code in host memory."""
        self.boot_stock('lsi53c810')


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware's own lsi-scsi driver boots from the disk, reads and writes: one boot a protocol.

Under TCG, since the firmware polls: neither protocol's interrupts are in it.
"""

import random
import struct
import subprocess
import unittest
from collections import namedtuple
from pathlib import Path

from interop import REMOTE, VM, InteropCase, assemble, launcher, proxy_needs_kvm
import vfio_user

SECTOR = 512
READ_SECTORS = 64
WRITTEN = 100

Disk = namedtuple('Disk', 'path total')


class SeabiosCase(InteropCase):
    def disk(self, name='disk.img'):
        """A disk of the boot sector and random words, with the words' sum."""
        boot = assemble(Path(__file__).with_name('bootsector.S'), self.folder / 'boot', 0x7c00)
        self.assertEqual(len(boot), SECTOR)
        words = [random.getrandbits(32) for _ in range(READ_SECTORS * SECTOR // 4)]
        path = self.folder / name
        with path.open('wb') as disk:
            disk.write(boot)
            disk.write(struct.pack(f'<{len(words)}I', *words))
            disk.truncate(1 << 20)
        return Disk(path, sum(words) & 0xffffffff)

    def check(self, disk, text, said=None):
        """What the boot sector has said, and left on its disk."""
        self.assertIn('boot sector runs', text, said)
        self.assertIn(f'sum {disk.total:08x}', text)
        self.assertIn('written and read back', text)
        with disk.path.open('rb') as image:
            image.seek(WRITTEN * SECTOR)
            self.assertEqual(image.read(4), struct.pack('<I', disk.total))

    def boot(self, vm, protocol):
        disk = self.disk()
        options = launcher.parser().parse_args([
            '--remote-binary', REMOTE, '--vm-binary', vm, '--protocol', protocol,
            '--accel', 'tcg', '--memory', '64M', '--disk', str(disk.path)])
        said = []
        plan = launcher.plan(options, [
            '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-boot', 'c',
            '-debugcon', 'stdio'], said.append)
        with open(self.folder / 'console', 'w+', encoding='utf-8', errors='replace') as console:
            status = launcher.run(plan, self.deadline, said.append, vm_popen={
                'stdin': subprocess.DEVNULL, 'stdout': console})
            console.seek(0)
            text = console.read()
        self.check(disk, text, said)
        self.assertEqual(status, 0, said)


class SeabiosBoot(SeabiosCase):
    def test_mpqemu(self):
        if proxy_needs_kvm():
            self.skipTest(f'the proxy of {VM} does not start without KVM')
        self.boot(VM, 'mpqemu')

    def test_vfio_user(self):
        self.boot(vfio_user.newer_qemu(), 'vfio-user')


if __name__ == '__main__':
    unittest.main()

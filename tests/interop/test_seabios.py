# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware's own lsi-scsi driver boots from the disk, reads and writes: one boot, under TCG."""

import random
import struct
import subprocess
import unittest
from pathlib import Path

from interop import REMOTE, VM, InteropCase, assemble, launcher

SECTOR = 512
READ_SECTORS = 64
WRITTEN = 100


class SeabiosBoot(InteropCase):
    def image(self):
        """A disk of the boot sector and random words; returns its path and the words' sum."""
        boot = assemble(Path(__file__).with_name('bootsector.S'), self.folder / 'boot', 0x7c00)
        self.assertEqual(len(boot), SECTOR)
        words = [random.getrandbits(32) for _ in range(READ_SECTORS * SECTOR // 4)]
        path = self.folder / 'disk.img'
        with path.open('wb') as disk:
            disk.write(boot)
            disk.write(struct.pack(f'<{len(words)}I', *words))
            disk.truncate(1 << 20)
        return path, sum(words) & 0xffffffff

    def test_boot_read_write(self):
        image, total = self.image()
        options = launcher.parser().parse_args([
            '--remote-binary', REMOTE, '--vm-binary', VM, '--accel', 'tcg', '--memory', '64M',
            '--disk', str(image)])
        said = []
        plan = launcher.plan(options, [
            '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-boot', 'c',
            '-debugcon', 'stdio'], said.append)
        with open(self.folder / 'console', 'w+', encoding='utf-8', errors='replace') as console:
            status = launcher.run(plan, self.deadline, said.append, vm_popen={
                'stdin': subprocess.DEVNULL, 'stdout': console})
            console.seek(0)
            text = console.read()
        self.assertIn('boot sector runs', text, said)
        self.assertIn(f'sum {total:08x}', text)
        self.assertIn('written and read back', text)
        self.assertEqual(status, 0, said)
        with image.open('rb') as disk:
            disk.seek(WRITTEN * SECTOR)
            self.assertEqual(disk.read(4), struct.pack('<I', total))


if __name__ == '__main__':
    unittest.main()

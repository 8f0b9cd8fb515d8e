# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware's own lsi-scsi driver boots from a disk and from a CD, reads and writes.

There is an empty CD drive on the way, and the other targets are absent. Under TCG, since the
firmware polls: neither protocol's interrupts are in it.
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

CD_BLOCK = 2048
CD_CATALOG, CD_BOOT, CD_DATA = 19, 20, 24

# Before the CD that is booted from, and behind the disk.
EMPTY_CD = '-device scsi-cd,bus=lsi0.0,scsi-id=2'

Disk = namedtuple('Disk', 'path total')


def el_torito(boot, data):
    """A CD that boots without emulation, as the El Torito specification (1.0) has it.

    Nothing of ISO 9660 but its descriptors: the data begins at block CD_DATA.
    """
    entry = struct.pack('<BBHBxHI', 0x88, 0, 0, 0, 1, CD_BOOT)
    validation = struct.pack('<BB2x24sHBB', 1, 0, b'qemu-remote', 0, 0x55, 0xaa)
    total = sum(struct.unpack('<16H', validation)) & 0xffff
    validation = struct.pack('<BB2x24sHBB', 1, 0, b'qemu-remote', -total & 0xffff, 0x55, 0xaa)
    blocks = {
        16: b'\x01CD001\x01',
        17: struct.pack('<7s64sI', b'\x00CD001\x01', b'EL TORITO SPECIFICATION', CD_CATALOG),
        18: b'\xffCD001\x01',
        CD_CATALOG: validation + entry,
        CD_BOOT: boot,
        CD_DATA: data,
    }
    image = bytearray()
    for number, content in sorted(blocks.items()):
        image = image.ljust(number * CD_BLOCK, b'\0') + content
    return bytes(image.ljust(-len(image) % CD_BLOCK + len(image), b'\0'))


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

    def cd(self):
        """A CD of the boot image and random words, with the words' sum."""
        boot = assemble(Path(__file__).with_name('bootsector.S'), self.folder / 'cdboot', 0x7c00,
                        CD=CD_DATA)
        data = random.randbytes(READ_SECTORS * CD_BLOCK)
        path = self.folder / 'cd.iso'
        path.write_bytes(el_torito(boot, data))
        return Disk(path, sum(struct.unpack(f'<{len(data) // 4}I', data)) & 0xffffffff)

    def check_read(self, disk, text, said=None):
        self.assertIn('boot sector runs', text, said)
        self.assertIn(f'sum {disk.total:08x}', text)

    def check(self, disk, text, said=None):
        """What the boot sector has said, and left on its disk."""
        self.check_read(disk, text, said)
        self.assertIn('written and read back', text)
        with disk.path.open('rb') as image:
            image.seek(WRITTEN * SECTOR)
            self.assertEqual(image.read(4), struct.pack('<I', disk.total))

    def run_firmware(self, vm, protocol, order, *more):
        """Boots from what order names; returns what came out of it."""
        options = launcher.parser().parse_args([
            '--remote-binary', REMOTE, '--vm-binary', vm, '--protocol', protocol,
            '--accel', 'tcg', '--memory', '64M', *more])
        said = []
        plan = launcher.plan(options, [
            '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-boot', order,
            '-debugcon', 'stdio'], said.append)
        with open(self.folder / 'console', 'w+', encoding='utf-8', errors='replace') as console:
            status = launcher.run(plan, self.deadline, said.append, vm_popen={
                'stdin': subprocess.DEVNULL, 'stdout': console})
            console.seek(0)
            text = console.read()
        self.assertEqual(status, 0, said)
        return text, said

    def boot(self, vm, protocol):
        disk = self.disk()
        self.check(disk, *self.run_firmware(vm, protocol, 'c', '--disk', str(disk.path),
                                            '--remote-args', EMPTY_CD))

    def boot_cd(self, vm, protocol):
        cd = self.cd()
        drive = (f' -drive if=none,id=cd,format=raw,readonly=on,file={cd.path}'
                 ' -device scsi-cd,drive=cd,bus=lsi0.0,scsi-id=4')
        self.check_read(cd, *self.run_firmware(vm, protocol, 'd', '--remote-args',
                                               EMPTY_CD + drive))


class SeabiosBoot(SeabiosCase):
    def stock(self):
        if proxy_needs_kvm():
            self.skipTest(f'the proxy of {VM} does not start without KVM')
        return VM

    def test_mpqemu(self):
        self.boot(self.stock(), 'mpqemu')

    def test_vfio_user(self):
        self.boot(vfio_user.newer_qemu(), 'vfio-user')

    def test_cd_mpqemu(self):
        self.boot_cd(self.stock(), 'mpqemu')

    def test_cd_vfio_user(self):
        self.boot_cd(vfio_user.newer_qemu(), 'vfio-user')


if __name__ == '__main__':
    unittest.main()

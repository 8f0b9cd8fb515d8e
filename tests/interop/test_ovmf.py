# SPDX-License-Identifier: GPL-2.0-or-later
"""OVMF's driver for the LSI finds the disk, where a build of OVMF has that driver.

edk2 leaves it out unless LSI_SCSI_ENABLE is set. What a build has is read from the image itself:
the names of the drivers are in the compressed firmware volume.
"""

import lzma
import os
import struct
import subprocess
import unittest
from pathlib import Path

from interop import REMOTE, InteropCase, launcher
import vfio_user

IMAGES = ('/usr/share/ovmf/OVMF.fd', '/usr/share/OVMF/OVMF_CODE_4M.fd')
# EE4E5898-3914-4259-9D6E-DC7BD79403CF: a section compressed by LZMA; its header ends with the
# offset of the data from the section's begin (UEFI PI 1.7, volume 3, 3.2.5.7).
LZMA_SECTION = bytes.fromhex('98584eee143959429d6edc7bd79403cf')
SECTION_HEADER = 4


def volumes(image):
    """The decompressed contents of each LZMA section of a firmware image."""
    at = image.find(LZMA_SECTION)
    while at >= 0:
        offset, = struct.unpack_from('<H', image, at + len(LZMA_SECTION))
        try:
            yield lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(
                image[at - SECTION_HEADER + offset:])
        except lzma.LZMAError:  # the bytes of the GUID by chance, or the header of a large section
            pass
        at = image.find(LZMA_SECTION, at + 1)


def has_driver(image, name):
    return any(name.encode('utf-16-le') in volume for volume in volumes(image))


class Ovmf(InteropCase):
    def test_disk(self):
        images = [Path(path) for path in IMAGES if os.path.exists(path)]
        if not images:
            self.skipTest('no OVMF (package ovmf)')
        for path in images:
            # Whoever finds no driver at all has not looked into the image.
            self.assertTrue(has_driver(path.read_bytes(), 'VirtioScsiDxe'), path)
        built = [path for path in images if has_driver(path.read_bytes(), 'LsiScsiDxe')]
        if not built:
            self.skipTest(f"{', '.join(map(str, images))}: VirtioScsiDxe is built in, LsiScsiDxe "
                          'is not')
        self.assertRegex(self.console(built[0]), r'BdsDxe: .*Scsi\(0x0,0x0\)')

    def console(self, firmware):
        """What the firmware says until it gets to its shell."""
        disk = self.folder / 'disk'
        disk.write_bytes(bytes(1 << 20))
        options = launcher.parser().parse_args([
            '--remote-binary', REMOTE, '--vm-binary', vfio_user.newer_qemu(), '--protocol',
            'vfio-user', '--accel', 'tcg', '--memory', '256M', '--disk', str(disk)])
        plan = launcher.plan(options, ['-nodefaults', '-no-user-config', '-display', 'none',
                                       '-serial', 'stdio', '-bios', str(firmware)])
        with open(self.folder / 'console', 'w+', encoding='utf-8', errors='replace') as console:
            launcher.run(plan, self.deadline, vm_popen={
                'stdin': subprocess.DEVNULL, 'stdout': console})
            console.seek(0)
            return console.read()


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""An image with lazy refcounts is clean when the process has ended, however it was told to; and one
whose process was killed is repaired by the next."""

import shutil
import signal
import socket
import subprocess
import unittest

from lsi import DATA, Lsi
from remote import RemoteCase

WRITE = bytes([0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0])
READ = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0])
SYNCHRONIZE_CACHE = bytes([0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0])
INCOMPATIBLE = slice(72, 80)
CONTENT = bytes(range(256)) * 16


class LazyRefcounts(RemoteCase):
    def setUp(self):
        super().setUp()
        if not shutil.which('qemu-img'):
            self.skipTest('qemu-img is not installed')
        self.image = self.folder / 'disk.qcow2'
        self.qemu_img('create', '-o', 'lazy_refcounts=on', self.image, '64M')

    def qemu_img(self, verb, *words):
        subprocess.run(['qemu-img', verb, '-q', '-f', 'qcow2', *words], check=True)

    def serve(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        process = self.start('-device', 'lsi53c895a,id=lsi', '-drive',
                             f'if=none,id=d,format=qcow2,file={self.image}',
                             '-device', 'scsi-hd,drive=d', '-object',
                             f'x-remote-object,id=o,devid=lsi,fd={theirs.fileno()}', fds=[theirs])
        guest = Lsi(ours)
        guest.until_ready(0)
        return guest, process

    def write(self, guest):
        guest.memory[DATA:DATA + 4096] = CONTENT
        self.assertEqual(guest.command(0, 0, WRITE, 4096, out=True), 0)
        self.assertEqual(guest.command(0, 0, SYNCHRONIZE_CACHE), 0)
        self.assertTrue(self.dirty())

    def dirty(self):
        return self.image.read_bytes()[INCOMPATIBLE] != bytes(8)

    def check(self):
        """The image is clean, and has what was written."""
        self.assertFalse(self.dirty())
        self.qemu_img('check', self.image)
        guest, process = self.serve()
        self.assertEqual(guest.command(0, 0, READ, 4096), 0)
        self.assertEqual(bytes(guest.memory[DATA:DATA + 4096]), CONTENT)
        guest.close()
        self.assertEqual(self.ends(process), '')

    def test_hang_up(self):
        guest, process = self.serve()
        self.write(guest)
        guest.close()
        self.assertEqual(self.ends(process), '')
        self.check()

    def test_sigterm(self):
        guest, process = self.serve()
        self.write(guest)
        process.send_signal(signal.SIGTERM)
        self.assertIn('terminating on signal 15', self.ends(process))
        self.check()

    def test_sigkill(self):
        guest, process = self.serve()
        self.write(guest)
        process.kill()
        process.wait()
        self.assertTrue(self.dirty())
        guest, process = self.serve()
        self.assertFalse(self.dirty())
        guest.close()
        self.assertRegex(self.ends(process), r'disk\.qcow2. was not closed properly: '
                                             r'its refcounts were counted anew\n\Z')
        self.check()


if __name__ == '__main__':
    unittest.main()

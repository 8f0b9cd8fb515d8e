# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that are added when the sandbox is on: each has an io_uring while there are spare ones."""

import os
import socket
import unittest

from lsi import DATA, Lsi
from qmp import LSI, QmpCase

SPARES = 4  # SPARE_FILES of system/startup.c
READ = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0])
WRITE = bytes([0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0])
NONE_LEFT = 'no spare one is left: Function not implemented; using aio=threads'


class SpareRings(QmpCase):
    def setUp(self):
        super().setUp()
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.process, self.qmp = self.start_qmp(*LSI, *self.served(theirs.fileno()), fds=[theirs])
        self.guest = Lsi(ours)
        if not self.rings():
            self.skipTest('the kernel refuses io_uring')

    def rings(self):
        folder = f'/proc/{self.process.pid}/fd'
        return sum(os.readlink(f'{folder}/{name}') == 'anon_inode:[io_uring]'
                   for name in os.listdir(folder))

    def add(self, number):
        path = self.disk(f'disk{number}')
        self.qmp('blockdev-add', driver='raw', node_name=f'n{number}',
                 file={'driver': 'file', 'filename': self.pass_file(self.qmp, path)})
        self.qmp('device_add', driver='scsi-hd', id=f'hd{number}', drive=f'n{number}',
                 bus='lsi0.0', scsi_id=number % 7, lun=number // 7)
        return path

    def remove(self, number):
        self.qmp('device_del', id=f'hd{number}')
        self.qmp.wait_event('DEVICE_DELETED')
        self.qmp('blockdev-del', node_name=f'n{number}')

    def check(self, number, path):
        """What a guest writes is in the file, and comes back."""
        target, lun = number % 7, number // 7
        pattern = bytes([number + 1]) * 4096
        self.guest.until_ready(target, lun)
        self.guest.memory[DATA:DATA + 4096] = pattern
        self.assertEqual(self.guest.command(target, lun, WRITE, 4096, out=True), 0)
        self.assertEqual(self.guest.command(target, lun, bytes([0x35] + [0] * 9)), 0)
        self.assertEqual(path.read_bytes()[:4096], pattern)
        self.guest.memory[DATA:DATA + 4096] = bytes(4096)
        self.assertEqual(self.guest.command(target, lun, READ, 4096), 0)
        self.assertEqual(self.guest.memory[DATA:DATA + 4096], pattern)

    def log(self):
        self.qmp('quit')
        return self.ends(self.process)

    def test_one_disk_after_another(self):
        """Rings come back."""
        for number in range(SPARES + 3):
            path = self.add(number)
            self.check(number, path)
            self.remove(number)
        self.assertNotIn('aio=threads', self.log())

    def test_more_than_there_are(self):
        for number in range(SPARES + 2):
            self.check(number, self.add(number))
        self.remove(0)
        self.check(SPARES + 2, self.add(SPARES + 2))
        log = self.log()
        for number in (SPARES, SPARES + 1):
            self.assertRegex(log, f'/dev/fdset/{number}: .*{NONE_LEFT}')
        self.assertEqual(log.count('aio=threads'), 2, log)

    def test_an_adapter_that_is_added(self):
        """Its machine has a thread of its own, which starts when the sandbox is on."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.qmp('device_add', driver='lsi53c895a', id='lsi1')
        path = self.disk()
        self.qmp('blockdev-add', driver='raw', node_name='n0',
                 file={'driver': 'file', 'filename': self.pass_file(self.qmp, path)})
        self.qmp('device_add', driver='scsi-hd', id='hd0', drive='n0', bus='lsi1.0')
        self.qmp('getfd', fdname='link', fds=[theirs.fileno()])
        theirs.close()
        self.qmp('object-add', qom_type='x-remote-object', id='o1', devid='lsi1', fd='link')
        self.guest = Lsi(ours)
        self.check(0, path)
        self.assertNotIn('aio=threads', self.log())


class NoSpareRings(QmpCase):
    def test_without_a_sandbox(self):
        """Each disk makes its own, as on the command line."""
        process, _ = self.start_qmp(*LSI, '-sandbox', 'off')
        folder = f'/proc/{process.pid}/fd'
        self.assertNotIn('anon_inode:[io_uring]',
                         [os.readlink(f'{folder}/{name}') for name in os.listdir(folder)])


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""-add-fd: inherited descriptors in sets, as /dev/fdset/N."""

import os
import socket
import unittest

from lsi import DATA, Lsi
from qmp import LSI, QmpCase
from remote import RemoteCase, add_rows

WRITE = bytes([0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0])
INVALID = 'fd is not valid or already in use'


class Refused(RemoteCase):
    """In the stock's words."""

    def check(self, value, error):
        with open(os.devnull, 'rb') as file:
            value = value.replace('FD', str(file.fileno()))
            result = self.run_remote('-add-fd', value, *LSI, '-qmp', 'none',
                                     fds=[file.fileno()])
        self.assertEqual((result.returncode, result.stdout), (1, ''))
        self.assertRegex(result.stderr, f': -add-fd {value}: {error}\n\\Z')


add_rows(Refused, [
    ('without_fd', 'set=1', 'fd option is required and must be non-negative'),
    ('negative', 'fd=-1,set=1', 'fd option is required and must be non-negative'),
    ('without_set', 'fd=FD', 'set option is required and must be non-negative'),
    ('negative_set', 'fd=FD,set=-1', 'set option is required and must be non-negative'),
    ('standard_input', 'fd=0,set=1', 'fd cannot be a standard I/O stream'),
    ('standard_error', 'fd=2,set=1', 'fd cannot be a standard I/O stream'),
    ('not_open', 'fd=999,set=1', INVALID),
    ('key', 'fd=FD,set=1,x=y', "Invalid parameter 'x'"),
    ('word', 'fd=x,set=1', "Parameter 'fd' expects .*"),
])


class Images(QmpCase):
    def test_at_start(self):
        """Without a monitor: the image's name is all that there is to it."""
        for name, options in (
                ('drive', ['-drive', 'if=none,id=d0,format=raw,file=/dev/fdset/3']),
                ('blockdev', ['-blockdev', 'raw,node-name=d0,file.driver=file,'
                              'file.filename=/dev/fdset/3'])):
            with self.subTest(name):
                path = self.disk()
                ours, theirs = socket.socketpair()
                with open(path, 'r+b') as image:
                    process = self.start(
                        '-add-fd', f'fd={image.fileno()},set=3', *LSI, *options,
                        '-device', 'scsi-hd,drive=d0,bus=lsi0.0',
                        *self.served(theirs.fileno()), fds=[theirs, image])
                guest = Lsi(ours)
                guest.until_ready(0)
                guest.memory[DATA:DATA + 4096] = b'x' * 4096
                self.assertEqual(guest.command(0, 0, WRITE, 4096, out=True), 0)
                ours.close()
                self.assertEqual(self.ends(process), '')
                self.assertEqual(path.read_bytes()[:4096], b'x' * 4096)

    def start_failing(self, mode, number, *more):
        with open(self.disk(), mode) as image:
            return self.run_remote('-add-fd', f'fd={image.fileno()},set=3', *LSI, '-blockdev',
                                   f'file,node-name=f,filename=/dev/fdset/{number}', *more,
                                   fds=[image.fileno()])

    def test_refused_at_start(self):
        for mode, number, error in (('rb', 3, 'Permission denied'), ('r+b', 4, 'No such file'),
                                    ('r+b', 'x', 'Invalid argument')):
            with self.subTest(error):
                result = self.start_failing(mode, number)
                self.assertEqual(result.returncode, 1)
                self.assertIn(f"Could not open '/dev/fdset/{number}': {error}", result.stderr)

    def test_a_set_of_two(self):
        """Each user gets the one that fits; both are one descriptor's, which is given twice."""
        path = self.disk()
        with open(path, 'rb') as readable, open(path, 'r+b') as writable:
            process, qmp = self.start_qmp(
                '-add-fd', f'fd={readable.fileno()},set=3,opaque=ro',
                '-add-fd', f'fd={writable.fileno()},set=3,opaque=rw',
                '-add-fd', f'fd={writable.fileno()},set=1', fds=[readable, writable])
        one, three = qmp('query-fdsets')
        self.assertEqual((one['fdset-id'], three['fdset-id'], len(one['fds'])), (1, 3, 1))
        self.assertEqual([entry['opaque'] for entry in three['fds']], ['ro', 'rw'])
        qmp('blockdev-add', driver='file', node_name='f', filename='/dev/fdset/3')
        self.assertFalse(qmp('query-named-block-nodes')[0]['ro'])
        qmp('quit')
        self.ends(process)

    def test_the_inherited_one_is_closed(self):
        for mode in ('on', 'off'):
            with self.subTest(sandbox=mode):
                ours, theirs = socket.socketpair()
                self.addCleanup(ours.close)
                process, qmp = self.start_qmp('-sandbox', mode, '-add-fd',
                                              f'fd={theirs.fileno()},set=0', fds=[theirs])
                ours.setblocking(False)
                self.assertRaises(BlockingIOError, ours.recv, 1)
                qmp('remove-fd', fdset_id=0)
                ours.settimeout(30)
                self.assertEqual(ours.recv(1), b'')
                qmp('quit')
                self.ends(process)

    def test_listener_made_at_start(self):
        """It serves an adapter that comes when the sandbox is on."""
        path = self.folder / 'link'
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        process, qmp = self.start_qmp('-add-fd', f'fd={listener.fileno()},set=5', fds=[listener])
        for _ in range(2):
            qmp('device_add', driver='lsi53c895a', id='lsi0')
            qmp('object-add', qom_type='x-remote-object', id='o0', devid='lsi0',
                fd='/dev/fdset/5')
            Lsi(self.connect(path).sock)
            qmp('object-del', id='o0')
            qmp('device_del', id='lsi0')
        self.assertIsNone(process.poll())


if __name__ == '__main__':
    unittest.main()

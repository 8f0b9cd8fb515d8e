# SPDX-License-Identifier: GPL-2.0-or-later
"""The program serves a disk that an NBD server has: its module is loaded, and it ends when it is
told to, whatever has become of the server."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import unittest
from pathlib import Path

from lsi import DATA, DIP, ISTAT, SIP, Lsi
from remote import LSI_IDS, REMOTE, RemoteCase, wait_for

READ_10 = struct.Struct('>BBIBHB')


class Nbd(RemoteCase):
    def setUp(self):
        super().setUp()
        if not shutil.which('nbdkit'):
            self.skipTest('nbdkit is not installed')
        module = Path(REMOTE).parent / 'block/block-nbd.so'
        if not module.exists():
            self.skipTest(f'{module} is not built: it needs libnbd')
        self.socket = self.folder / 'n'
        self.start_server()

    def start_server(self, plugin='memory'):
        self.server = subprocess.Popen(['nbdkit', '-f', '-U', self.socket, plugin, '1M'],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        wait_for(self.socket.exists, 'the NBD server')

    def stop_server(self):
        self.server.kill()
        self.server.wait()
        self.socket.unlink()

    def serve(self):
        proxy, theirs = self.socketpair()
        process = self.start('-device', 'lsi53c895a,id=lsi',
                             '-drive', f'if=none,id=d,format=raw,file=nbd:unix:{self.socket}',
                             '-device', 'scsi-hd,drive=d', '-object',
                             f'x-remote-object,id=o,devid=lsi,fd={theirs.fileno()}', fds=[theirs])
        self.assertEqual(proxy.read(), LSI_IDS)
        return proxy, process

    def test_served(self):
        proxy, process = self.serve()
        maps = Path(f'/proc/{process.pid}/maps').read_text(encoding='utf-8')
        self.assertIn('block-nbd.so', maps)
        self.assertNotIn('codec-zstd.so', maps)
        proxy.close()
        said = self.ends(process)
        self.assertRegex(said, r'\A[^\n]*sandbox: widened for nbd by [^\n]*socket[^\n]*\n\Z')

    def test_ends_when_the_server_is_gone(self):
        _, process = self.serve()
        self.stop_server()
        process.send_signal(signal.SIGTERM)
        self.assertIn('terminating on signal 15', self.ends(process))

    def test_ends_when_the_server_is_silent(self):
        _, process = self.serve()
        self.server.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.server.pid, os.WSTOPPED)
        process.send_signal(signal.SIGTERM)
        self.assertIn('terminating on signal 15', self.ends(process))

    def test_ends_with_io_at_a_silent_server(self):
        """A command that can't be completed doesn't keep the process."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        process = self.start('-device', 'lsi53c895a,id=lsi',
                             '-drive', f'if=none,id=d,format=raw,file=nbd:unix:{self.socket}',
                             '-device', 'scsi-hd,drive=d', '-object',
                             f'x-remote-object,id=o,devid=lsi,fd={theirs.fileno()}', fds=[theirs])
        guest = Lsi(ours)
        guest.until_ready(0)
        self.server.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.server.pid, os.WSTOPPED)
        guest.start(0, 0, READ_10.pack(0x28, 0, 0, 0, 1, 0), 512)
        self.assertEqual(guest.get(ISTAT) & (DIP | SIP), 0)
        process.send_signal(signal.SIGTERM)
        self.assertIn('terminating on signal 15', self.ends(process))

    def test_found_again_under_the_sandbox(self):
        self.stop_server()
        self.start_server('pattern')
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        node = (f'driver=nbd,node-name=d,server.type=unix,server.path={self.socket},'
                'reconnect-delay=60,read-only=on')
        process = self.start('-device', 'lsi53c895a,id=lsi', '-blockdev', node,
                             '-device', 'scsi-hd,drive=d', '-object',
                             f'x-remote-object,id=o,devid=lsi,fd={theirs.fileno()}', fds=[theirs])
        guest = Lsi(ours)
        guest.until_ready(0)
        self.read_block(guest, 3)
        self.stop_server()
        self.start_server('pattern')
        self.read_block(guest, 1000)
        ours.close()
        self.assertIn('sandbox: widened for nbd by ', self.ends(process))

    def read_block(self, guest, lba):
        """Each 8 bytes of the export are their own offset."""
        self.assertEqual(guest.command(0, 0, READ_10.pack(0x28, 0, lba, 0, 1, 0), 512), 0)
        offsets = range(lba * 512, lba * 512 + 512, 8)
        self.assertEqual(bytes(guest.memory[DATA:DATA + 512]), struct.pack('>64Q', *offsets))


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""The program serves a disk that an NBD server has: its module is loaded, and it ends when it is
told to, whatever has become of the server."""

import os
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from remote import LSI_IDS, REMOTE, RemoteCase, wait_for


class Nbd(RemoteCase):
    def setUp(self):
        super().setUp()
        if not shutil.which('nbdkit'):
            self.skipTest('nbdkit is not installed')
        module = Path(REMOTE).parent / 'block/block-nbd.so'
        if not module.exists():
            self.skipTest(f'{module} is not built: it needs libnbd')
        self.socket = self.folder / 'n'
        self.server = subprocess.Popen(['nbdkit', '-f', '-U', self.socket, 'memory', '1M'],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        wait_for(self.socket.exists, 'the NBD server')

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
        self.assertEqual(self.ends(process), '')

    def test_ends_when_the_server_is_gone(self):
        _, process = self.serve()
        self.server.kill()
        self.server.wait()
        self.socket.unlink()
        process.send_signal(signal.SIGTERM)
        self.assertIn('terminating on signal 15', self.ends(process))

    def test_ends_when_the_server_is_silent(self):
        _, process = self.serve()
        self.server.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.server.pid, os.WSTOPPED)
        process.send_signal(signal.SIGTERM)
        self.assertIn('terminating on signal 15', self.ends(process))


if __name__ == '__main__':
    unittest.main()

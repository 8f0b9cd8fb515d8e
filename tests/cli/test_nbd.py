# SPDX-License-Identifier: GPL-2.0-or-later
"""The program serves a disk that an NBD server has: its module is loaded, and it ends when it is
told to, whatever has become of the server."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import unittest
from pathlib import Path

from lsi import DATA, DIP, ISTAT, SIP, Lsi
from qmp import Qmp, QmpCase
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

    def start_server(self, plugin='memory', *options):
        self.server = subprocess.Popen(['nbdkit', '-f', '-U', self.socket, *options, plugin, '1M'],
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

    def silence(self):
        self.server.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.server.pid, os.WSTOPPED)

    def assert_gives_up(self, process, pidfile):
        process.send_signal(signal.SIGTERM)
        said = self.ends(process, 3)
        self.assertIn('terminating on signal 15', said)
        self.assertLess(int(re.search(r'not done after (\d+) ms', said)[1]), 2000)
        self.assertFalse(pidfile.exists())

    def test_ends_with_a_write_at_a_silent_server(self):
        """What was sent is waited for, since it may be written or not, but not without end."""
        pidfile = self.folder / 'pid'
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        process = self.start('-device', 'lsi53c895a,id=lsi', '-pidfile', str(pidfile),
                             '-drive', f'if=none,id=d,format=raw,file=nbd:unix:{self.socket}',
                             '-device', 'scsi-hd,drive=d', '-object',
                             f'x-remote-object,id=o,devid=lsi,fd={theirs.fileno()}', fds=[theirs])
        guest = Lsi(ours)
        guest.until_ready(0)
        self.silence()
        guest.start(0, 0, READ_10.pack(0x2a, 0, 0, 0, 1, 0), 512, out=True)
        self.assertEqual(guest.get(ISTAT) & (DIP | SIP), 0)
        self.assert_gives_up(process, pidfile)

    def test_ends_while_the_main_thread_waits(self):
        """... for a silent server, as it opens an image."""
        pidfile = self.folder / 'pid'
        ours, theirs = socket.socketpair()
        process = self.start('-device', 'lsi53c895a,id=lsi', '-pidfile', str(pidfile), '-blockdev',
                             f'driver=nbd,node-name=n,server.type=unix,server.path={self.socket}',
                             '-qmp', f'fd:{theirs.fileno()}', fds=[theirs])
        qmp = Qmp(ours)
        self.addCleanup(qmp.close)
        self.silence()
        qmp.send('{"execute":"blockdev-add","arguments":{"driver":"qcow2","node-name":"q",'
                 '"file":"n"}}{"execute":"query-name"}')
        self.assert_gives_up(process, pidfile)

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

    def test_tls_is_not_found_again_under_the_sandbox(self):
        """Reading the credentials anew would be denied, and that is said at start."""
        keys = self.folder / 'keys.psk'
        keys.write_text('me:00112233445566778899aabbccddeeff\n', encoding='utf-8')
        self.stop_server()
        self.start_server('memory', '--tls=require', f'--tls-psk={keys}')
        proxy, theirs = self.socketpair()
        words = ['-device', 'lsi53c895a,id=lsi', '-object',
                 f'tls-creds-psk,id=t,endpoint=client,dir={self.folder},username=me', '-object',
                 f'x-remote-object,id=o,devid=lsi,fd={theirs.fileno()}', '-blockdev',
                 f'driver=nbd,node-name=n,server.type=unix,server.path={self.socket},tls-creds=t']
        result = self.run_remote(*words[:-1], words[-1] + ',reconnect-delay=5',
                                 fds=[theirs.fileno()])
        self.assertEqual((result.returncode, result.stdout), (1, ''))
        self.assertRegex(result.stderr, r"\A[^\n]*Block node 'n': with tls-creds [^\n]*leave out "
                                        r'reconnect-delay, or give -sandbox off\n\Z')
        process = self.start(*words, fds=[theirs])
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        self.assertIn('sandbox: widened for nbd by ', self.ends(process))


class Later(QmpCase):
    """A node that is to be made when the process serves already."""

    OPTIONS = (('nbd', {'server': {'type': 'unix', 'path': '/nowhere'}}),
               ('rbd', {'pool': 'p', 'image': 'i'}))

    def refused(self, words, *argv):
        _, qmp = self.start_qmp(*argv)
        for name, options in self.OPTIONS:
            with self.subTest(module=name):
                self.assert_error('GenericError', words.format(name), qmp, 'blockdev-add',
                                  driver=name, node_name='n1', **options)

    def test_module_not_loaded(self):
        self.refused(r"'{0}' is a module, and those are loaded when the process starts: .*"
                     r'-preload {0}')

    def test_module_loaded(self):
        for name, _ in self.OPTIONS:
            if not (Path(REMOTE).parent / f'block/block-{name}.so').exists():
                self.skipTest(f'block-{name}.so is not built')
        self.refused("driver '{0}' can only be made at start, as the sandbox is on",
                     '-preload', 'nbd,rbd')


if __name__ == '__main__':
    unittest.main()

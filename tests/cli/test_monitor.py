# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that make monitors, the monitor for people, and the reference manual."""

import os
import re
import socket
import subprocess
import unittest

from qmp import LSI, Qmp, QmpCase
from remote import PROGRAM, TOP, RemoteCase, add_rows

PROMPT = '(qemu) '

BAD_OPTIONS = [
    # name, options, message
    ('no_backend', ['-qmp', 'nonsense'], '-qmp nonsense: expected unix:PATH, .*'),
    ('tcp', ['-qmp', 'tcp:localhost:4444,server=on'], '.*expected unix:PATH.*'),
    ('path_missing', ['-qmp', 'unix:,server=on'], '.*Socket path must have 1 to 107 bytes.*'),
    ('path_long', ['-qmp', 'unix:/' + 'x' * 108 + ',server=on'], '.*107 bytes.*'),
    ('nobody_listens', ['-qmp', 'unix:{dir}/nobody'], ".*Can't connect to '{dir}/nobody'.*"),
    ('parameter', ['-qmp', 'unix:{dir}/q,server=on,mux=on'], ".*Invalid parameter 'mux'"),
    ('fd', ['-qmp', 'fd:99'], '.*descriptor 99 is not open'),
    ('chardev_unknown', ['-qmp', 'chardev:c'], ".*Chardev 'c' not found"),
    ('mon_unknown', ['-mon', 'c'], "-mon c: Chardev 'c' not found"),
    ('mon_without', ['-mon', 'mode=control'], ".*'chardev' is missing"),
    ('mon_mode', ['-chardev', 'null,id=c', '-mon', 'c,mode=x'], '.*mode.*'),
    ('mon_parameter', ['-chardev', 'null,id=c', '-mon', 'c,x=1'], ".*Invalid parameter 'x'"),
    ('chardev_twice', ['-chardev', 'null,id=c', '-mon', 'c', '-mon', 'c'],
     ".*Chardev 'c' is in use already"),
    ('chardev_backend', ['-chardev', 'pty,id=c'], ".*'pty' is not a chardev backend.*"),
    ('chardev_null_parameter', ['-chardev', 'null,id=c,path=x'], ".*Invalid parameter 'path'"),
    ('wait_without_server', ['-qmp', 'unix:{dir}/q,wait=off'], ".*'wait' is for .*"),
]


class BadOptions(RemoteCase):
    def check(self, options, pattern):
        options = [option.replace('{dir}', str(self.folder)) for option in options]
        done = self.run_remote(*options)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, f'^{PROGRAM}: {pattern}\n$'.replace('{dir}',
                                                                          str(self.folder)))


add_rows(BadOptions, BAD_OPTIONS)


class Options(QmpCase):
    def talk(self, path):
        qmp = self.connect_qmp(path)
        self.assertEqual(qmp('query-status')['status'], 'running')
        return qmp

    def test_chardev(self):
        path = self.folder / 'q'
        process = self.start('-chardev', f'socket,id=c,path={path},server=on,wait=off',
                             '-mon', 'chardev=c,mode=control,pretty=on')
        qmp = self.talk(path)
        self.assertEqual(qmp('query-chardev'), [{'label': 'c', 'frontend-open': True,
                                                 'filename': f'unix:{path},server=on'}])
        qmp('quit')
        self.ends(process)

    def test_old_form(self):
        path = self.folder / 'q'
        self.start('-qmp', f'unix:{path},server,nowait')
        self.talk(path)

    def test_inherited_sockets(self):
        ours, theirs = socket.socketpair()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / 'l'))
            listener.listen()
            process = self.start('-qmp', f'fd:{theirs.fileno()}', '-qmp',
                                 f'fd:{listener.fileno()}', fds=[theirs, listener])
        self.talk(self.folder / 'l')
        qmp = Qmp(ours)
        self.addCleanup(qmp.close)
        qmp('quit')
        self.ends(process)

    def test_connects(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / 'l'))
            listener.listen()
            self.start('-qmp', f'unix:{self.folder}/l')
            sock, _ = listener.accept()
        qmp = Qmp(sock)
        self.addCleanup(qmp.close)
        self.assertTrue(qmp('query-status')['running'])

    def test_pretty(self):
        process = self.start('-qmp-pretty', f'unix:{self.folder}/q,server=on,wait=off')
        sock = self.connect(self.folder / 'q').sock
        self.assertRegex(sock.recv(4096), rb'^\{\n    "QMP": \{\n')
        sock.sendall(b'{"execute":"qmp_capabilities"}{"execute":"quit"}')
        self.ends(process)

    def test_waits_for_a_client(self):
        """Without wait=off nothing is served before somebody is there."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        process = self.start(*LSI, *self.served(theirs.fileno()), '-qmp',
                             f'unix:{self.folder}/q,server=on', fds=[theirs])
        self.assertIn('waiting for connection on', process.stderr.readline())
        ours.setblocking(False)
        ours.send(b'\x03\0\0\0\0\0\0\0\x0c\0\0\0\0\0\0\0' + bytes(8) + b'\x04\0\0\0')
        with self.assertRaises(BlockingIOError):
            ours.recv(1)
        self.connect_qmp(self.folder / 'q')
        ours.settimeout(30)
        self.assertEqual(len(ours.recv(24)), 24)

    def test_signal_while_waiting(self):
        process = self.start(*LSI, '-qmp', f'unix:{self.folder}/q,server=on')
        process.stderr.readline()
        process.terminate()
        self.ends(process)

    def test_stdio(self):
        done = subprocess.run([self.binary, '-qmp', 'stdio'], stdout=subprocess.PIPE, timeout=30,
                              input=b'{"execute":"qmp_capabilities"}{"execute":"quit"}')
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout.count(b'{"return": {}}'), 2)

    def test_none(self):
        done = self.run_remote('-qmp', 'none', '-monitor', 'none')
        self.assertIn('nothing to serve', done.stderr)

    def test_mode_of_the_socket(self):
        self.start_qmp()
        self.assertEqual(os.stat(self.folder / 'qmp0').st_mode & 0o777, 0o600)


class People(QmpCase):
    def setUp(self):
        super().setUp()
        process = self.start(
            *LSI, '-drive', f'if=none,id=d0,format=raw,file={self.disk()}',
            '-device', 'scsi-hd,id=hd0,drive=d0', '-device', 'scsi-cd,id=cd0', '-name', 'vm',
            '-monitor', f'unix:{self.folder}/m,server=on,wait=off')
        self.process = process
        self.sock = self.connect(self.folder / 'm').sock
        self.hello = self.until_prompt()

    def until_prompt(self):
        text = ''
        while not text.endswith(PROMPT):
            data = self.sock.recv(4096)
            if not data:
                raise EOFError(text)
            text += data.decode()
        return text[:-len(PROMPT)]

    def line(self, text):
        self.sock.sendall(text.encode() + b'\n')
        return self.until_prompt()

    def test_hello(self):
        self.assertRegex(self.hello, f'^{PROGRAM} [0-9.]+ monitor')

    def test_every_command(self):
        """Each command of help is there; each info has something to say."""
        names = re.findall(r'(?m)^([a-z_]+)', self.line('help'))
        self.assertLessEqual({'device_add', 'device_del', 'change', 'eject', 'stop', 'cont',
                              'system_reset', 'quit', 'help', 'info'}, set(names))
        infos = re.findall(r'(?m)^(info [a-z]+)', self.line('info'))
        self.assertLessEqual({'info version', 'info status', 'info block', 'info blockstats',
                              'info pci', 'info qtree', 'info remote', 'info name',
                              'info chardev'}, set(infos))
        for name in infos:
            text = self.line(name)
            self.assertNotIn('unknown', text)
            self.assertNotIn('Error', text)
            self.assertEqual(bool(text), name != 'info remote', name)

    def test_texts(self):
        for command, pattern in (
                ('info name', '^vm\r\n$'),
                ('info status', '^VM status: running\r\n$'),
                ('stop', '^$'),
                ('info status', '^VM status: paused\r\n$'),
                ('c', '^$'),
                ('info block', r'd0: .*disk.img \(raw\)\r\n    Attached to:      hd0\r\n'),
                ('info block', r'cd0: \[not inserted\]\r\n'),
                ('info blockstats', '^hd0: rd_bytes=0 wr_bytes=0 '),
                ('info pci', r'SCSI controller: PCI device 1000:0012\r\n'),
                ('info qtree', r'dev: scsi-hd, id "hd0"\r\n'),
                ('device_del hd0', '^$'),
                ('device_add scsi-hd,drive=d0,id=hd1', '^$'),
                ('device_add scsi-hd,drive=d0', r'^Error: .*in use'),
                ('device_add', r'^device_add: not enough arguments\r\n$'),
                ('device_add a b', r'^device_add: too many arguments\r\n$'),
                ('device_del x', r"^Error: Device 'x' not found\r\n$"),
                ('eject cd0', '^Error: .*no object serves'),
                ('nonsense', r"^unknown command: 'nonsense'\r\n$"),
                ('info nonsense', r"^unknown command: 'info nonsense'\r\n$"),
                ('device_add "scsi-hd,id=a b"', '^Error: '),
                ('', '^$'), (' \t', '^$'), ('%n%s', "^unknown command: '%n%s'\r\n$")):
            with self.subTest(command=command):
                self.assertRegex(self.line(command), pattern)

    def test_long_line(self):
        self.assertIn('line too long', self.line('x' * 5000))
        self.assertIn('vm', self.line('info name'))

    def test_odd_bytes(self):
        self.sock.sendall(b'\xff\x00\x1b[A\n')
        self.assertIn('unknown command', self.until_prompt())

    def test_quit(self):
        self.sock.sendall(b'quit\n')
        self.ends(self.process)


class Reference(RemoteCase):
    def test_in_step(self):
        """docs/system/qmp-reference.md is what the program's tables say."""
        done = self.run_remote('-qmp', 'help')
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout, (TOP / 'docs/system/qmp-reference.md').read_text(),
                         f'write it anew: {PROGRAM} -qmp help > docs/system/qmp-reference.md')


class Minimal(RemoteCase):
    """The profile without a monitor."""

    binary = os.environ.get('QEMU_REMOTE_MINIMAL', 'no minimal program')

    def test_no_monitor(self):
        self.assertEqual(self.run_remote('-monitor', 'none', '-version').returncode, 0)
        for option in ('-qmp', '-mon'):
            self.assertIn('invalid option', self.run_remote(option, 'stdio').stderr)
        self.assertIn("only 'none' is possible", self.run_remote('-monitor', 'stdio').stderr)


if __name__ == '__main__':
    unittest.main()

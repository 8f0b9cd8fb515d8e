# SPDX-License-Identifier: GPL-2.0-or-later
"""The conventions of helper daemons: sockets without an -object, readiness, -daemonize, the exit
status."""

import json
import os
import signal
import socket
import struct
import subprocess
import unittest

from remote import DEADLINE, LSI_IDS, PROGRAM, RemoteCase, add_rows, wait_for

LSI = ('-device', 'lsi53c895a,id=lsi')


class DaemonCase(RemoteCase):
    def listener(self):
        """(path, a socket that listens there)"""
        path = self.folder / 'activated'
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.bind(str(path))
        sock.listen()
        return path, sock

    def activated(self, sock, *argv, fds='1', pid='$$', more=''):
        """Runs the program as a service manager does: the socket is number 3."""
        script = f'LISTEN_PID={pid} LISTEN_FDS={fds} {more} exec "$@"'

        def make_it_3():
            os.dup2(sock.fileno(), 3)  # without close-on-exec
            os.set_inheritable(3, True)
        process = subprocess.Popen(['sh', '-c', script, 'sh', self.binary, *argv],
                                   preexec_fn=make_it_3, close_fds=False,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def served(self, process, proxy):
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        self.assertEqual(self.ends(process), '')


class Sockets(DaemonCase):
    def test_fd(self):
        for spelling in (['--fd={}'], ['--fd', '{}'], ['-fd', '{}']):
            with self.subTest(spelling):
                proxy, theirs = self.socketpair()
                words = [word.format(theirs.fileno()) for word in spelling]
                self.served(self.start(*LSI, *words, fds=[theirs]), proxy)

    def test_socket_path(self):
        path = self.folder / 'sock'
        process = self.start(*LSI, f'--socket-path={path}')
        self.served(process, self.connect(path))
        self.assertFalse(path.exists())

    def test_vfio_user(self):
        path = self.folder / 'sock'
        process = self.start(*LSI, '-machine', 'x-remote,vfio-user=on', f'--socket-path={path}')
        client = self.connect(path).sock
        version = b'{"capabilities":{}}\0'
        body = struct.pack('<HH', 0, 0) + version
        client.sendall(struct.pack('<HHIII', 1, 1, 16 + len(body), 0, 0) + body)
        answer = client.recv(4096)
        self.assertEqual(struct.unpack_from('<HH', answer), (1, 1))
        client.close()
        self.assertEqual(self.ends(process), '')

    def test_socket_activation(self):
        path, sock = self.listener()
        process = self.activated(sock, *LSI)
        self.served(process, self.connect(path))

    def test_socket_activation_by_object(self):
        path, sock = self.listener()
        process = self.activated(sock, *LSI, '-object', 'x-remote-object,id=o,devid=lsi,fd=3')
        self.served(process, self.connect(path))

    def test_sockets_for_another_process(self):
        _, sock = self.listener()
        process = self.activated(sock, *LSI, pid='1')
        self.assertIn('nothing to serve', self.ends(process, 1))

    def test_two_sockets_for_one_device(self):
        _, sock = self.listener()
        process = self.activated(sock, *LSI, fds='2')
        self.assertEqual(self.ends(process, 1),
                         f'{PROGRAM}: LISTEN_FDS: 2 sockets for one device: use -object\n')


class SocketErrors(RemoteCase):
    def check(self, words, error):
        result = self.run_remote(*words)
        self.assertEqual((result.returncode, result.stdout), (1, ''))
        self.assertEqual(result.stderr, f'{PROGRAM}: {error}\n')


add_rows(SocketErrors, [
    ('none', ['--fd=0'], '--fd=0: it serves a PCI device, but there is none'),
    ('several', [*LSI, *LSI[:1], 'lsi53c895a', '--socket-path', '/x'],
     '--socket-path /x: it serves one PCI device, but there are several: use -object'),
    ('object_too', [*LSI, '--socket-path=/x', '-object', 'x-remote-object,id=o,devid=lsi,path=/y'],
     '--socket-path=/x: -object says already what is served'),
    ('twice', [*LSI, '--fd=0', '--fd=1'], '--fd=1: --fd=0 has named a socket already'),
    ('no_socket', [*LSI, '--fd=0'], "--fd=0: File descriptor '0' is not a socket"),
    ('no_value', [*LSI, '--fd'], '--fd: requires an argument'),
    ('flag_with_value', [*LSI, '--nodefaults=on'], '--nodefaults=on: invalid option'),
    ('one_dash_with_value', [*LSI, '-fd=0'], '-fd=0: invalid option'),
])


class Readiness(DaemonCase):
    def manager(self, name):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(DEADLINE)
        sock.bind(name)
        return sock

    def test_notify(self):
        for name in (str(self.folder / 'notify'), f'\0qcli-{os.getpid()}'):
            with self.subTest(name):
                manager = self.manager(name)
                proxy, theirs = self.socketpair()
                env = {**os.environ, 'NOTIFY_SOCKET': name.replace('\0', '@')}
                process = self.start(*LSI, f'--fd={theirs.fileno()}', fds=[theirs], env=env)
                self.assertEqual(manager.recv(100).decode().splitlines(),
                                 ['READY=1', f'MAINPID={process.pid}'])
                self.served(process, proxy)

    def test_notify_nobody(self):
        proxy, theirs = self.socketpair()
        env = {**os.environ, 'NOTIFY_SOCKET': '/no/such/socket'}
        process = self.start(*LSI, f'--fd={theirs.fileno()}', fds=[theirs], env=env)
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        self.assertIn("NOTIFY_SOCKET '/no/such/socket': ", self.ends(process))

    def test_daemonize(self):
        path, pidfile, log = (self.folder / name for name in ('sock', 'pid', 'log'))
        # Returns when the child serves, with nothing of it left on the descriptors.
        result = self.run_remote('-daemonize', *LSI, f'--socket-path={path}', '-pidfile',
                                 str(pidfile), '-D', str(log))
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, '', ''))
        pid = int(pidfile.read_text())
        self.assertEqual(os.getsid(pid), pid)
        proxy = self.connect(path)
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        wait_for(lambda: not pidfile.exists(), 'its end')
        self.assertEqual(log.read_text(), '')

    def test_daemonize_with_an_error(self):
        result = self.run_remote('-daemonize', *LSI, '--fd=0')
        self.assertEqual((result.returncode, result.stdout), (1, ''))
        self.assertEqual(result.stderr,
                         f"{PROGRAM}: --fd=0: File descriptor '0' is not a socket\n")


class Status(DaemonCase):
    def serve(self):
        proxy, theirs = self.socketpair()
        process = self.start(*LSI, f'--fd={theirs.fileno()}', fds=[theirs])
        self.assertEqual(proxy.read(), LSI_IDS)
        return process, proxy

    def test_the_peer_breaks_the_protocol(self):
        process, proxy = self.serve()
        proxy.sock.sendall(struct.pack('<iIQ', 4711, 0, 0))
        self.assertTrue(proxy.at_end())
        self.ends(process, 2)

    def test_the_peer_breaks_the_protocol_before_another(self):
        path = self.folder / 'sock'
        process = self.start(*LSI, '-object', 'x-remote-object,id=o,devid=lsi,auto-shutdown=off,'
                             f'path={path}')
        proxy = self.connect(path)
        proxy.sock.sendall(struct.pack('<iIQ', 4711, 0, 0))
        self.assertTrue(proxy.at_end())
        proxy = self.connect(path)
        self.assertEqual(proxy.read(), LSI_IDS)
        process.send_signal(signal.SIGTERM)
        self.ends(process, 0)

    def test_asked_to_end(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                process, _ = self.serve()
                process.send_signal(number)
                self.assertIn(f'terminating on signal {int(number)} from pid {os.getpid()}',
                              self.ends(process, 0))


class Capabilities(RemoteCase):
    def test_capabilities(self):
        result = self.run_remote('--print-capabilities')
        self.assertEqual((result.returncode, result.stderr), (0, ''))
        said = json.loads(result.stdout)
        self.assertEqual(said['type'], 'remote-pci')
        self.assertEqual(said['program'], PROGRAM)
        self.assertLessEqual({'sd-notify', 'fd', 'socket-path'}, set(said['features']))
        self.assertEqual(said['protocols'], ['mpqemu', 'vfio-user'])
        self.assertIn({'driver': 'lsi53c895a', 'bus': 'PCI', 'alias': 'lsi'}, said['devices'])
        self.assertLessEqual({'file', 'raw'}, set(said['block-drivers']))
        self.assertEqual(said['sandbox']['modes'], ['on', 'log', 'off'])


if __name__ == '__main__':
    unittest.main()

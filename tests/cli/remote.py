# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cli tests share: the program, a folder for each case, the proxy's end of a socket."""

import os
import socket
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
REMOTE = os.environ.get('QEMU_REMOTE') or str(TOP / 'build/qemu-system-x86_64-remote')
PROGRAM = 'qemu-system-x86_64-remote'
DEADLINE = 30
LSI_IDS = 0x00121000

RET, CFGWRITE, CFGREAD = 1, 2, 3


def config_access(command, address, value, length):
    """A message, as the stock proxy sends it."""
    return struct.pack('<iIQIIi', command, 0, 12, address, value, length)


READ_IDS = config_access(CFGREAD, 0, 0, 4)


class Proxy:
    """The VM's end of a connection, as far as these tests need it."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(DEADLINE)

    def close(self):
        self.sock.close()

    def reply(self):
        """The value of the next reply."""
        data = b''
        while len(data) < 24:
            more = self.sock.recv(24 - len(data))
            if not more:
                raise EOFError(f'{len(data)} bytes of a reply')
            data += more
        command, _, size, value = struct.unpack('<iIQQ', data)
        if (command, size) != (RET, 8):
            raise AssertionError(f'reply {command} of {size} bytes')
        return value

    def read(self, address=0, length=4):
        self.sock.sendall(config_access(CFGREAD, address, 0, length))
        return self.reply()

    def write(self, address, value, length=4):
        self.sock.sendall(config_access(CFGWRITE, address, value, length))
        self.reply()

    def at_end(self):
        """True once the other side has hung up."""
        try:
            return self.sock.recv(1) == b''
        except ConnectionResetError:
            return True


def wait_for(condition, what):
    """The first true value of condition()."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f'{what}: not within {DEADLINE} s')


class RemoteCase(unittest.TestCase):
    binary = REMOTE

    def setUp(self):
        if not os.path.exists(self.binary):
            self.skipTest(f'{self.binary} is not there')
        # Not below the build folder: a socket's path has 107 bytes at most.
        folder = tempfile.TemporaryDirectory(prefix='qcli')
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def disk(self, name='disk.img', size=1 << 20):
        path = self.folder / name
        path.write_bytes(bytes(size))
        return path

    def socketpair(self):
        """(Proxy, the remote's socket)"""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        return Proxy(ours), theirs

    def start(self, *argv, fds=(), **keywords):
        """Runs the program in the background; the descriptors are closed here."""
        process = subprocess.Popen([self.binary, *argv], pass_fds=[fd.fileno() for fd in fds],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, **keywords)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for fd in fds:
            fd.close()
        return process

    def ends(self, process, status=0):
        """Waits for the end, and returns what was on standard error."""
        ended = process.wait(DEADLINE)
        said = process.stderr.read()
        self.assertEqual(ended, status, said)
        return said

    def run_remote(self, *argv, fds=()):
        return subprocess.run([self.binary, *argv], pass_fds=fds, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=DEADLINE)

    def connect(self, path):
        """A client of a listening socket, as soon as there is one."""
        def attempt():
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                sock.close()
                return None
            return sock
        sock = wait_for(attempt, f'somebody who listens on {path}')
        self.addCleanup(sock.close)
        return Proxy(sock)


def add_rows(case, rows):
    """One test method of case for each row, which is a name and what case.check() takes."""
    for name, *row in rows:
        method = 'test_' + name
        assert not hasattr(case, method), method

        def run(self, row=row):
            self.check(*row)
        setattr(case, method, run)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cli tests of the program with a board share: that program, and a tester."""

import os
import socket

from remote import DEADLINE, TOP, RemoteCase

BOARD = os.environ.get('QEMU_STOCK') or str(TOP / 'build/qemu-system-x86_64')
PROGRAM = 'qemu-system-x86_64'


class Tester:
    """A test's end of -qtest: a line there, a line back."""

    def __init__(self, sock):
        sock.settimeout(DEADLINE)
        self.sock = sock
        self.file = sock.makefile('rw', encoding='ascii', newline='\n')

    def close(self):
        self.file.close()
        self.sock.close()

    def command(self, line):
        self.file.write(line + '\n')
        self.file.flush()
        words = self.file.readline().split()
        if words[:1] != ['OK']:
            raise AssertionError(f'{line}: {" ".join(words) or "hung up"}')
        return int(words[1], 16) if len(words) > 1 else None

    def config(self, address):
        """A dword of configuration space: bus, devfn and register as in port 0xcf8."""
        self.command(f'outl 0xcf8 {0x80000000 | address:#x}')
        return self.command('inl 0xcfc')

    def exit(self, value):
        """Writes isa-debug-exit."""
        self.command(f'outb 0x501 {value:#x}')


class BoardCase(RemoteCase):
    binary = BOARD

    def listen(self, name='qtest'):
        """(listening socket, its path)"""
        path = self.folder / name
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.bind(str(path))
        sock.listen()
        sock.settimeout(DEADLINE)
        return sock, path

    def attach(self, sock):
        tester = Tester(sock)
        self.addCleanup(tester.close)
        return tester

    def start_board(self, *argv, **keywords):
        """(process, Tester)"""
        sock, path = self.listen()
        process = self.start('-qtest', f'unix:{path}', *argv, **keywords)
        return process, self.attach(sock.accept()[0])

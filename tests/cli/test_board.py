# SPDX-License-Identifier: GPL-2.0-or-later
"""What the program with a board does with its options: how a tester comes, memory, ports, devices,
and how it all ends."""

import os
import re
import signal
import socket
import subprocess
import unittest

from board import PROGRAM, BoardCase
from remote import DEADLINE, LSI_IDS, READ_IDS, REMOTE, add_rows, wait_for

HOST_BRIDGE = 0x12378086
LSI = ('-device', 'lsi53c895a,id=lsi,addr=05.0')

# Command lines with a tester on a listening socket {qtest}, or the connected one {fd}.
CONNECTED = [
    ('as_qemus_testers', ['-qtest', 'unix:{qtest}', '-qtest-log', '/dev/null', '-display', 'none',
                          '-accel', 'qtest']),
    ('without_accel', ['-qtest', 'unix:{qtest}']),
    ('accel_of_machine', ['-machine', 'pc,accel=qtest', '-qtest', 'unix:{qtest}']),
    ('machine_only', ['-M', 'pc', '-qtest', 'unix:{qtest}']),
    ('server_off', ['-qtest', 'unix:{qtest},server=off']),
    ('chardev', ['-chardev', 'socket,id=c,path={qtest}', '-qtest', 'chardev:c']),
    ('chardev_by_id', ['-qtest', 'c', '-chardev', 'socket,path={qtest},id=c']),
    ('frozen', ['-S', '-qtest', 'unix:{qtest}', '-accel', 'qtest']),
    ('taken_silently', ['-qtest', 'unix:{qtest}', '-nodefaults', '-no-user-config', '-nographic',
                        '-display', 'none', '-monitor', 'none', '-vga', 'none', '-net', 'none',
                        '-nic', 'none', '-no-reboot', '-serial', 'none', '-debugcon', 'null',
                        '-name', 'vm']),
    ('shared_memory', ['-object', 'memory-backend-memfd,id=ram,size=64M,share=on', '-M',
                       'pc,memory-backend=ram', '-m', '64', '-qtest', 'unix:{qtest}']),
    ('fd', ['-qtest', 'fd:{fd}']),
    ('chardev_fd', ['-chardev', 'socket,id=c,fd={fd}', '-qtest', 'c']),
]


class Testers(BoardCase):
    """Every way for a tester to come."""

    def check(self, argv):
        listening, path = self.listen()
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        words = [word.format(qtest=path, fd=theirs.fileno()) for word in argv]
        process = self.start(*words, fds=[theirs])
        tester = self.attach(ours if '{fd}' in ''.join(argv) else listening.accept()[0])
        self.assertEqual(tester.config(0), HOST_BRIDGE)
        tester.exit(1)
        self.assertEqual(self.ends(process, 3), '')

    def check_server(self, *argv):
        path = self.folder / 'server'
        pid = self.folder / 'pid'
        process = self.start(*argv, '-pidfile', str(pid))
        tester = self.attach(self.connect(path).sock)
        # A connection is the kernel's before it is the program's: only an answer says that the
        # tester has been taken. The file is there by then; the socket goes with the first one.
        self.assertEqual(tester.config(0), HOST_BRIDGE)
        self.assertEqual(pid.read_text().strip(), str(process.pid))
        self.assertFalse(path.exists())
        tester.close()
        self.assertEqual(self.ends(process), '')

    def test_server(self):
        self.check_server('-qtest', f'unix:{self.folder}/server,server=on')

    def test_server_without_wait(self):
        self.check_server('-qtest', f'unix:{self.folder}/server,server,nowait')

    def test_server_chardev(self):
        self.check_server('-chardev', f'socket,id=c,path={self.folder}/server,server=on,wait=off',
                          '-qtest', 'chardev:c')

    def test_server_that_nobody_connects_to(self):
        path = self.folder / 'server'
        process = self.start('-qtest', f'unix:{path},server=on')
        wait_for(path.exists, 'a listening socket')
        process.send_signal(signal.SIGTERM)
        self.assertIn('terminating on signal 15', self.ends(process))
        self.assertFalse(path.exists())

    def test_without_a_tester_it_waits_for_a_signal(self):
        pid = self.folder / 'pid'
        process = self.start('-accel', 'qtest', '-pidfile', str(pid))
        wait_for(lambda: pid.exists() and pid.read_text(), 'the pid file')
        process.send_signal(signal.SIGINT)
        self.assertIn('terminating on signal 2', self.ends(process))

    def test_log(self):
        process, tester = self.start_board('-qtest-log', '/dev/fd/2')
        tester.config(0)
        tester.exit(0)
        self.assertIn('outl 0xcf8', self.ends(process, 1))


class Ends(BoardCase):
    def test_hang_up_is_status_0(self):
        process, tester = self.start_board()
        tester.close()
        self.assertEqual(self.ends(process), '')

    def test_guest_chooses_the_status(self):
        for value in (0, 1, 0x10, 0x7f):
            with self.subTest(value):
                process, tester = self.start_board()
                tester.exit(value)
                self.assertEqual(self.ends(process, value << 1 | 1), '')
                (self.folder / 'qtest').unlink()

    def test_guest_resets(self):
        process, tester = self.start_board('-no-reboot')
        tester.command('outb 0xcf9 0x02')
        tester.command('outb 0xcf9 0x06')
        self.assertEqual(self.ends(process), '')

    def test_signal_with_a_tester(self):
        process, tester = self.start_board(*LSI)
        tester.config(0)
        process.send_signal(signal.SIGTERM)
        self.assertIn('terminating on signal 15', self.ends(process))
        self.assertEqual(tester.file.read(), '')

    def test_pid_file_goes_with_it(self):
        pid = self.folder / 'pid'
        process, tester = self.start_board('-pidfile', str(pid))
        tester.config(0)
        self.assertEqual(pid.read_text().strip(), str(process.pid))
        tester.exit(0)
        self.ends(process, 1)
        self.assertFalse(pid.exists())


class Memory(BoardCase):
    """-m in its spellings: the last byte is there, the one behind it is not."""

    def check(self, argv, size):
        process, tester = self.start_board(*argv)
        tester.command(f'writeb {size - 1:#x} 0x5a')
        self.assertEqual(tester.command(f'readb {size - 1:#x}'), 0x5a)
        tester.command(f'writeb {size:#x} 0x5a')
        self.assertEqual(tester.command(f'readb {size:#x}'), 0xff)
        tester.close()
        self.assertEqual(self.ends(process), '')


add_rows(Testers, CONNECTED)
add_rows(Memory, [
    ('default', [], 128 << 20),
    ('megs', ['-m', '64'], 64 << 20),
    ('suffix', ['-m', '16K'], 16 << 10),
    ('key', ['-m', 'size=1G'], 1 << 30),
    ('most', ['-m', '3G'], 3 << 30),
    ('last_one', ['-m', '64', '-m', '32'], 32 << 20),
    ('of_the_backend', ['-object', 'memory-backend-memfd,id=ram,size=48M', '-M',
                        'pc,memory-backend=ram'], 48 << 20),
])


class Ports(BoardCase):
    def send(self, tester, port, text):
        for char in text.encode():
            tester.command(f'outb {port:#x} {char}')

    def test_serial_and_debug_files(self):
        for name in ('serial', 'debug'):
            (self.folder / name).write_text('what was there before')
        process, tester = self.start_board('-serial', f'file:{self.folder}/serial',
                                           '-debugcon', f'file:{self.folder}/debug')
        self.send(tester, 0x3f8, 'from the guest\n')
        self.send(tester, 0xe9, 'debug\n')
        tester.exit(0)
        self.assertEqual(self.ends(process, 1), '')
        self.assertEqual((self.folder / 'serial').read_text(), 'from the guest\n')
        self.assertEqual((self.folder / 'debug').read_text(), 'debug\n')

    def test_serial_socket(self):
        listening, path = self.listen('line')
        process, tester = self.start_board('-serial', f'unix:{path}')
        line = listening.accept()[0]
        self.addCleanup(line.close)
        line.settimeout(DEADLINE)
        self.send(tester, 0x3f8, 'out')
        self.assertEqual(line.recv(3, socket.MSG_WAITALL), b'out')
        line.sendall(b'in')
        got = bytearray()
        while len(got) < 2:
            if tester.command('inb 0x3fd') & 1:
                got.append(tester.command('inb 0x3f8'))
        self.assertEqual(got, b'in')
        line.close()
        self.send(tester, 0x3f8, 'nobody')
        tester.close()
        self.assertIn('Broken pipe', self.ends(process))

    def test_serial_stdio(self):
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        listening, path = self.listen()
        process = subprocess.Popen([self.binary, '-serial', 'stdio', '-qtest', f'unix:{path}'],
                                   stdin=theirs_in, stdout=theirs_out)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.close(theirs_in)
        os.close(theirs_out)
        tester = self.attach(listening.accept()[0])
        self.send(tester, 0x3f8, 'hello')
        self.assertEqual(os.read(ours_out, 5), b'hello')
        os.write(ours_in, b'x')
        wait_for(lambda: tester.command('inb 0x3fd') & 1, 'input')
        self.assertEqual(tester.command('inb 0x3f8'), ord('x'))
        os.close(ours_in)
        tester.close()
        self.assertEqual(process.wait(DEADLINE), 0)
        os.close(ours_out)


class Devices(BoardCase):
    def test_addresses(self):
        process, tester = self.start_board('-device', 'lsi53c895a', '-device',
                                           'lsi53c895a,addr=1f.7', '-device', 'lsi53c895a',
                                           '-device', 'lsi53c895a,addr=0x5,bus=pci.0')
        found = [devfn for devfn in range(256) if tester.config(devfn << 8) == LSI_IDS]
        self.assertEqual(found, [2 << 3, 3 << 3, 5 << 3, 31 << 3 | 7])
        tester.close()
        self.ends(process)

    def test_one_on_the_board_one_served(self):
        proxy, theirs = self.socketpair()
        sock, path = self.listen()
        process = self.start('-qtest', f'unix:{path}', '-device', 'lsi53c895a,id=a', '-device',
                             'lsi53c895a,id=b', '-object',
                             f'x-remote-object,id=o,devid=b,fd={theirs.fileno()}', fds=[theirs])
        tester = self.attach(sock.accept()[0])
        self.assertEqual(tester.config(2 << 11), LSI_IDS)
        self.assertEqual(tester.config(3 << 11), 0xffffffff)
        self.assertEqual(proxy.read(), LSI_IDS)
        # A client that goes leaves the board alone; the board that goes ends the object.
        tester.exit(0)
        self.assertTrue(proxy.at_end())
        self.assertEqual(self.ends(process, 1), '')

    def test_the_remote_machine_is_there_too(self):
        proxy, theirs = self.socketpair()
        process = self.start('-machine', 'x-remote', '-device', 'lsi53c895a,id=lsi', '-object',
                             f'x-remote-object,id=o,devid=lsi,fd={theirs.fileno()}', fds=[theirs])
        proxy.sock.sendall(READ_IDS)
        self.assertEqual(proxy.reply(), LSI_IDS)
        proxy.close()
        self.assertEqual(self.ends(process), '')


class Help(BoardCase):
    def check(self, argv, pattern):
        result = self.run_remote(*argv)
        self.assertRegex(result.stdout, pattern)
        self.assertEqual((result.returncode, result.stderr), (0, ''))

    def test_options_are_those_of_the_program(self):
        def names(text):
            return re.findall(r'(?m)^-(\S+)', text)
        board = names(self.run_remote('-help').stdout)
        remote = names(subprocess.run([REMOTE, '-help'], stdout=subprocess.PIPE, text=True).stdout)
        self.assertEqual(sorted(set(board)), sorted(board))
        self.assertEqual(set(remote) - set(board), {'fd', 'socket-path'})
        for name in ('accel', 'kernel', 'append', 'qtest', 'debugcon', 'S'):
            self.assertIn(name, board)
            self.assertNotIn(name, remote)


add_rows(Help, [
    ('version', ['-version'], rf'^{PROGRAM} version \S+ \(x86_64-softmmu, default\)\n\Z'),
    ('accel', ['-accel', 'help'], r'\AAccelerators .*:\n(\w+\n)*qtest\n\Z'),
    ('machine', ['-machine', 'help'], r'(?m)^pc +.*\(default\)$'),
    ('machine_remote', ['-machine', 'help'], r'(?m)^x-remote +[^(]*$'),
    ('machine_properties', ['-machine', 'pc,help'], r'(?m)^  accel=<str> +- '),
    ('object', ['-object', 'help'], r'(?m)^  memory-backend-memfd$'),
    ('usage', ['-help'], r'(?m)^-m \[size=\]megs *\n? +sets'),
])

if __name__ == '__main__':
    unittest.main()

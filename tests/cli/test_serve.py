# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command line starts: spellings, sockets, several devices, and how the process ends."""

import os
import re
import resource
import signal
import socket
import stat
import subprocess
import unittest
from pathlib import Path

from lsi import DIP, ISTAT, SIP, Lsi
from qmp import Qmp
from remote import (DEADLINE, LSI_IDS, PROGRAM, READ_IDS, REMOTE, RemoteCase, add_rows,
                    wait_for)

LSI = ('-device', 'lsi53c895a,id=lsi')
MEDIUM_ERROR = 3
WRITE_64K = bytes([0x2a, 0, 0, 0, 0, 0, 0, 0, 128, 0])
SERVED = 'x-remote-object,id=robj1,devid=lsi'
DISK = ('-drive', 'if=none,id=d0,format=raw,file={disk}',
        '-device', 'scsi-hd,drive=d0,bus=lsi.0,scsi-id=0')
OBJECT = ('-object', SERVED + ',fd={fd}')

# Command lines that all come to one LSI adapter on one socket.
SPELLINGS = [
    ('upstream', ['-machine', 'x-remote', '-nodefaults', '-display', 'none', *LSI, *DISK, *OBJECT]),
    ('without_machine', [*LSI, *OBJECT]),
    ('machine_type_key', ['-M', 'type=x-remote', *LSI, *OBJECT]),
    ('machine_twice', ['-M', 'x-remote', '-machine', 'type=remote', *LSI, *OBJECT]),
    ('two_dashes', ['--machine', 'x-remote', '--nodefaults', '--device', 'lsi53c895a,id=lsi',
                    '--object', OBJECT[1]]),
    ('any_order', [*OBJECT, *LSI, *DISK[2:], *DISK[:2], '-M', 'x-remote']),
    ('alias_of_device', ['-device', 'lsi,id=lsi', *OBJECT]),
    ('driver_key', ['-device', 'id=lsi,driver=lsi53c895a', *OBJECT]),
    ('object_keys', [*LSI, '-object', 'fd={fd},id=o,devid=lsi,qom-type=x-remote-object']),
    ('json', ['-blockdev', '{{"driver":"raw","node-name":"d0","file":'
              '{{"driver":"file","filename":"{disk}"}}}}',
              '-device', '{{"driver":"lsi53c895a","id":"lsi"}}',
              '-device', '{{"driver":"scsi-hd","drive":"d0","bus":"lsi.0","scsi-id":0}}',
              '-object', '{{"qom-type":"x-remote-object","id":"o","devid":"lsi","fd":"{fd}"}}']),
    ('json_number', [*LSI, '-object',
                     '{{"qom-type":"x-remote-object","id":"o","devid":"lsi","fd":{fd}}}']),
    ('blockdev_keys', ['-blockdev', 'driver=raw,node-name=d0,file.driver=file,'
                       'file.filename={disk}', *LSI, *DISK[2:], *OBJECT]),
    ('chardev', ['-M', 'remote,chardev=c', '-chardev', 'socket,id=c,fd={fd}', *LSI, *DISK]),
    ('chardev_device_without_id', ['-device', 'lsi53c895a', '-chardev', 'socket,id=c,fd={fd}',
                                   '-M', 'remote,chardev=c']),
    ('taken_silently', ['-nodefaults', '-no-user-config', '-nographic', '-display', 'none',
                        '-serial', 'none', '-monitor', 'none', '-vga', 'none', '-m', '512',
                        *LSI, *OBJECT]),
    ('memory_sizes', ['-m', '1G', '-m', 'size=512M', *LSI, *OBJECT]),
    ('names', ['-name', 'guest=vm,debug-threads=on', '-name', 'vm', *LSI, *OBJECT]),
    ('log_items_of_qemu', ['-d', 'guest_errors,unimp', *LSI, *OBJECT]),
    ('device_that_nobody_serves', ['-device', 'lsi53c895a,id=other', *LSI, *OBJECT]),
    ('polling', ['-M', 'x-remote,poll-max-ns=0,poll-grow=4,poll-shrink=0', *LSI, *OBJECT]),
    ('polling_of_object', ['-M', 'x-remote,poll-max-ns=0', *LSI, '-object',
                           SERVED + ',fd={fd},poll-max-ns=32768,poll-grow=-1']),
    ('auto_shutdown_said', [*LSI, '-object', SERVED + ',fd={fd},auto-shutdown=on']),
]


class Spellings(RemoteCase):
    def check(self, argv):
        proxy, theirs = self.socketpair()
        words = [word.format(fd=theirs.fileno(), disk=self.disk()) for word in argv]
        process = self.start(*words, fds=[theirs])
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        self.assertEqual(self.ends(process), '')


add_rows(Spellings, SPELLINGS)


class ServeCase(RemoteCase):
    def serve_fd(self, *argv, **keywords):
        proxy, theirs = self.socketpair()
        process = self.start(*LSI, '-object', f'{SERVED},fd={theirs.fileno()}', *argv,
                             fds=[theirs], **keywords)
        self.assertEqual(proxy.read(), LSI_IDS)
        return process, proxy

    def serve_path(self, *argv, shutdown=None):
        path = self.folder / 'sock'
        extra = f',auto-shutdown={shutdown}' if shutdown else ''
        process = self.start(*LSI, '-object', f'{SERVED},path={path}{extra}', *argv)
        return process, path

    def socket_gone(self, path):
        wait_for(lambda: not path.exists(), f'{path} removed')


class Polling(ServeCase):
    """Who says whether a device's thread looks for the next message before it sleeps.

    It looks for up to a second here, so it sleeps after each of the messages only if it is not to;
    now and then a message is there in the moment it lies down, and it doesn't.
    """

    ALWAYS = 'poll-max-ns=1000000000,poll-grow=1000000'
    MESSAGES = 50

    def check(self, machine, own, sleeps):
        proxy, theirs = self.socketpair()
        process = self.start('-M', f'x-remote{machine}', *LSI, '-object',
                             f'{SERVED},fd={theirs.fileno()}{own}', fds=[theirs])
        self.assertEqual(proxy.read(), LSI_IDS)
        thread, = (task for task in Path(f'/proc/{process.pid}/task').iterdir()
                   if (task / 'comm').read_text() == 'robj1\n')

        def state(field):
            return re.search(rf'(?m)^{field}:\t(\w+)', (thread / 'status').read_text())[1]

        begin = int(state('voluntary_ctxt_switches'))
        for _ in range(self.MESSAGES):
            if sleeps:
                wait_for(lambda: state('State') == 'S', 'asleep')
            self.assertEqual(proxy.read(), LSI_IDS)
        times = int(state('voluntary_ctxt_switches')) - begin
        (self.assertGreater if sleeps else self.assertLess)(times, self.MESSAGES // 2)
        proxy.close()
        self.assertEqual(self.ends(process), '')


add_rows(Polling, [
    ('off_by_machine', ',poll-max-ns=0', '', True),
    ('on_by_machine', ',' + Polling.ALWAYS, '', False),
    ('off_by_object', ',' + Polling.ALWAYS, ',poll-max-ns=0', True),
    ('on_by_object', ',poll-max-ns=0', ',' + Polling.ALWAYS, False),
])


class Descriptors(ServeCase):
    def test_peer_gone_before_start(self):
        proxy, theirs = self.socketpair()
        proxy.close()
        process = self.start(*LSI, '-object', f'{SERVED},fd={theirs.fileno()}', fds=[theirs])
        self.assertEqual(self.ends(process), '')

    def test_peer_gone_before_its_reply(self):
        proxy, theirs = self.socketpair()
        proxy.sock.sendall(READ_IDS * 64)
        proxy.close()
        process = self.start(*LSI, '-object', f'{SERVED},fd={theirs.fileno()}', fds=[theirs])
        self.ends(process)

    def test_standard_descriptors_closed(self):
        proxy, theirs = self.socketpair()
        disk = self.disk()
        script = 'exec 0<&- 1>&- 2>&-; exec "$@"'
        words = [word.format(disk=disk) for word in DISK]
        process = subprocess.Popen(
            ['/bin/sh', '-c', script, 'sh', REMOTE, '-d', 'all', *LSI, *words, '-object',
             f'{SERVED},fd={theirs.fileno()}'], pass_fds=[theirs.fileno()])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        theirs.close()
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertEqual(disk.read_bytes(), bytes(1 << 20))

    def test_listening_descriptor(self):
        path = self.folder / 'sock'
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        process = self.start(*LSI, '-object',
                             f'{SERVED},fd={listening.fileno()},auto-shutdown=off',
                             fds=[listening])
        for _ in range(2):
            proxy = self.connect(path)
            self.assertEqual(proxy.read(), LSI_IDS)
            proxy.close()
        process.terminate()
        self.ends(process)
        self.assertTrue(path.exists(), 'who bound it removes it')


class Several(ServeCase):
    def test_devices_and_objects(self):
        pairs = [self.socketpair() for _ in range(3)]
        argv = []
        for i, (_, theirs) in enumerate(pairs):
            argv += ['-device', f'lsi53c895a,id=lsi{i}', '-object',
                     f'x-remote-object,id=o{i},devid=lsi{i},fd={theirs.fileno()}']
        process = self.start(*argv, fds=[theirs for _, theirs in pairs])
        proxies = [proxy for proxy, _ in pairs]
        for i, proxy in enumerate(proxies):
            proxy.write(0x3c, 0x40 + i, 1)
        for i, proxy in enumerate(proxies):
            self.assertEqual(proxy.read(), LSI_IDS)
            self.assertEqual(proxy.read(0x3c, 1), 0x40 + i)
        tasks = Path(f'/proc/{process.pid}/task')
        names = {path.read_text().strip() for path in tasks.glob('*/comm')}
        self.assertLessEqual({'o0', 'o1', 'o2', os.path.basename(REMOTE)[:15]}, names)
        proxies.pop(1).close()
        for proxy in proxies:
            self.assertEqual(proxy.read(), LSI_IDS)
        proxies.pop().close()
        self.assertEqual(proxies[0].read(), LSI_IDS)
        self.assertIsNone(process.poll())
        proxies[0].close()
        self.assertEqual(self.ends(process), '')

    def test_stop_ends_all(self):
        path = self.folder / 'sock'
        proxy, theirs = self.socketpair()
        process = self.start('-device', 'lsi53c895a,id=a', '-device', 'lsi53c895a,id=b',
                             '-object', f'x-remote-object,id=o,devid=a,fd={theirs.fileno()}',
                             '-object', f'x-remote-object,id=p,devid=b,path={path}', fds=[theirs])
        self.assertEqual(proxy.read(), LSI_IDS)
        second = self.connect(path)
        self.assertEqual(second.read(), LSI_IDS)
        process.terminate()
        self.ends(process)
        self.assertTrue(proxy.at_end() and second.at_end())

    def test_one_peer_breaks_the_protocol(self):
        pairs = [self.socketpair() for _ in range(2)]
        process = self.start(
            '-device', 'lsi53c895a,id=a', '-device', 'lsi53c895a,id=b',
            '-object', f'x-remote-object,id=o,devid=a,fd={pairs[0][1].fileno()}',
            '-object', f'x-remote-object,id=p,devid=b,fd={pairs[1][1].fileno()}',
            '-qmp', f'unix:{self.folder / "qmp"},server=on,wait=off',
            fds=[pairs[0][1], pairs[1][1]])
        qmp = Qmp(self.connect(self.folder / 'qmp').sock)
        pairs[0][0].sock.sendall(b'\xff' * 16)
        self.assertTrue(pairs[0][0].at_end())
        # Of two that end at once, either may be the last one.
        wait_for(lambda: any((one['id'], one['state']) == ('o', 'ended')
                             for one in qmp('query-remote')), 'o ended')
        self.assertEqual(pairs[1][0].read(), LSI_IDS)
        pairs[1][0].close()
        log = self.ends(process)
        self.assertRegex(log, rf'^{PROGRAM}: o: .+\n\Z')


class Listening(ServeCase):
    def test_one_client(self):
        process, path = self.serve_path()
        proxy = self.connect(path)
        self.assertEqual(proxy.read(), LSI_IDS)
        # Nobody else would be served, so nobody else can connect.
        self.socket_gone(path)
        proxy.close()
        self.assertEqual(self.ends(process), '')

    def test_mode(self):
        process, path = self.serve_path(shutdown='off')
        self.connect(path)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        process.terminate()
        self.ends(process)

    def test_next_client_finds_a_reset_device(self):
        process, path = self.serve_path(shutdown='off')
        for _ in range(5):
            proxy = self.connect(path)
            self.assertEqual(proxy.read(0x3c, 1), 0)
            proxy.write(0x3c, 11, 1)
            self.assertEqual(proxy.read(0x3c, 1), 11)
            proxy.close()
        process.terminate()
        self.ends(process)
        self.assertFalse(path.exists())

    def test_next_client_after_broken_protocol(self):
        process, path = self.serve_path(shutdown='off')
        bad = self.connect(path)
        bad.sock.sendall(b'\xff' * 16)
        self.assertTrue(bad.at_end())
        self.assertEqual(self.connect(path).read(), LSI_IDS)
        process.terminate()
        self.ends(process)

    def test_second_client_waits(self):
        process, path = self.serve_path(shutdown='off')
        first = self.connect(path)
        self.assertEqual(first.read(), LSI_IDS)
        second = self.connect(path)
        second.sock.sendall(READ_IDS)
        # The first one is served all the while, and nothing reaches the second.
        for _ in range(20):
            self.assertEqual(first.read(), LSI_IDS)
        second.sock.setblocking(False)
        self.assertRaises(BlockingIOError, second.sock.recv, 1)
        second.sock.settimeout(DEADLINE)
        first.close()
        self.assertEqual(second.reply(), LSI_IDS)
        process.terminate()
        self.ends(process)

    def test_dead_socket_is_replaced(self):
        path = self.folder / 'sock'
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(path))
        dead.close()
        process, _ = self.serve_path()
        proxy = self.connect(path)
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        self.ends(process)

    def test_after_a_kill(self):
        first, path = self.serve_path(shutdown='off')
        self.connect(path).read()
        first.kill()
        first.wait()
        second, _ = self.serve_path()
        proxy = self.connect(path)
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        self.ends(second)

    def test_socket_of_another_is_left_alone(self):
        process, path = self.serve_path(shutdown='off')
        self.connect(path).read()
        path.unlink()
        path.write_text('not ours')
        process.terminate()
        self.ends(process)
        self.assertEqual(path.read_text(), 'not ours')


class Signals(ServeCase):
    def ends_by(self, number, process):
        process.send_signal(number)
        self.assertEqual(self.ends(process),
                         f'{PROGRAM}: terminating on signal {int(number)} from pid {os.getpid()}\n')

    def test_with_a_client(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                process, proxy = self.serve_fd()
                self.ends_by(number, process)
                self.assertTrue(proxy.at_end())

    def test_while_listening(self):
        process, path = self.serve_path()
        wait_for(path.exists, 'socket')
        self.ends_by(signal.SIGTERM, process)
        self.assertFalse(path.exists())

    def test_with_io_under_way(self):
        """A write that would have to wait for minutes is given up."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        process = self.start(
            *LSI, '-drive',
            f'if=none,id=d,format=raw,file={self.disk()},throttling.bps-total=512',
            '-device', 'scsi-hd,drive=d', '-object', f'{SERVED},fd={theirs.fileno()}', fds=[theirs])
        guest = Lsi(ours)
        guest.until_ready(0)
        self.assertEqual(guest.command(0, 0, WRITE_64K, 1 << 16, True), 0)
        guest.start(0, 0, WRITE_64K, 1 << 16, True)
        self.assertEqual(guest.get(ISTAT) & (DIP | SIP), 0)
        self.ends_by(signal.SIGTERM, process)

    def test_twice(self):
        process, _ = self.serve_fd()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        self.ends(process)

    def test_broken_pipe_is_no_signal(self):
        process, proxy = self.serve_fd()
        process.send_signal(signal.SIGPIPE)
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        self.assertEqual(self.ends(process), '')

    def test_threads_leave_signals_to_main(self):
        process, _ = self.serve_fd()
        blocked = {}
        for task in Path(f'/proc/{process.pid}/task').iterdir():
            status = (task / 'status').read_text()
            mask = int(status.split('SigBlk:')[1].split()[0], 16)
            blocked[(task / 'comm').read_text().strip()] = mask

        def has(mask, number):
            return bool(mask >> (number - 1) & 1)
        mask = blocked['robj1']
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1,
                       signal.SIGCHLD):
            self.assertTrue(has(mask, number), number)
        # A fault that is blocked kills, and a torn RAM file is to be survived.
        for number in (signal.SIGBUS, signal.SIGSEGV):
            self.assertFalse(has(mask, number), number)


class StopWithoutMonitor(ServeCase):
    """rerror=stop and werror=stop where nobody could let the guest go on: as report."""

    DISK = ('-drive', 'if=none,id=d,format=raw,aio=threads,file={disk}', '-device')

    def serve_disk(self, device, *more, size=1 << 20):
        disk = self.disk(size=size)
        argv = [word.format(disk=disk) for word in self.DISK]
        process, proxy = self.serve_fd(*argv, device, *more)
        return process, proxy, disk

    def check(self, device, *said):
        process, proxy, _ = self.serve_disk(device)
        proxy.close()
        self.assertEqual(self.ends(process).splitlines(), [
            f'{PROGRAM}: hd: {option}=stop: nothing here can stop the guest; acts as report'
            for option in said])

    def test_said_once(self):
        self.check('scsi-hd,id=hd,drive=d')
        self.check('scsi-hd,id=hd,drive=d,rerror=stop', 'rerror')
        self.check('scsi-hd,id=hd,drive=d,rerror=stop,werror=stop', 'rerror', 'werror')

    def test_not_with_a_monitor(self):
        process, proxy, _ = self.serve_disk('scsi-hd,id=hd,drive=d,rerror=stop,werror=stop',
                                            '-qmp', f'unix:{self.folder}/q,server=on,wait=off')
        proxy.close()
        self.assertEqual(self.ends(process), '')

    def test_reported(self):
        """A write past RLIMIT_FSIZE fails, and the guest hears of it."""
        process, proxy, disk = self.serve_disk('scsi-hd,id=hd,drive=d,werror=stop', size=8192)
        guest = Lsi(proxy.sock)
        guest.until_ready(0)
        os.truncate(disk, 4096)  # what lies behind has to be allocated anew
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        write = bytes([0x2a, 0x08, 0, 0, 0, 8, 0, 0, 8, 0])
        self.assertEqual(guest.command(0, 0, write, 4096, out=True), 2)
        self.assertEqual(guest.sense(0, 0)[0], MEDIUM_ERROR)


class Files(ServeCase):
    def test_pidfile(self):
        pidfile = self.folder / 'pid'
        process, proxy = self.serve_fd('-pidfile', str(pidfile))
        self.assertEqual(pidfile.read_text(), f'{process.pid}\n')
        self.assertEqual(stat.S_IMODE(pidfile.stat().st_mode), 0o600)
        proxy.close()
        self.ends(process)
        self.assertFalse(pidfile.exists())

    def test_pidfile_says_that_all_is_ready(self):
        pidfile = self.folder / 'pid'
        process, path = self.serve_path('-pidfile', str(pidfile))
        wait_for(lambda: pidfile.exists() and pidfile.read_text().endswith('\n'), 'pid file')
        self.assertTrue(path.is_socket())
        process.terminate()
        self.ends(process)
        self.assertFalse(pidfile.exists())

    def test_pidfile_in_use(self):
        pidfile = self.folder / 'pid'
        process, _ = self.serve_fd('-pidfile', str(pidfile))
        result = self.run_remote(*LSI, '-object', f'{SERVED},path={self.folder}/s',
                                 '-pidfile', str(pidfile))
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, rf'^{PROGRAM}: -pidfile .*/pid: .*in use.*\n\Z')
        self.assertEqual(pidfile.read_text(), f'{process.pid}\n')
        self.assertEqual(os.listdir(self.folder), ['pid'])

    def test_pidfile_left_behind(self):
        pidfile = self.folder / 'pid'
        pidfile.write_text('1234567890\n')
        process, _ = self.serve_fd('-pidfile', str(pidfile))
        self.assertEqual(pidfile.read_text(), f'{process.pid}\n')

    def test_last_pidfile_wins(self):
        process, proxy = self.serve_fd('-pidfile', f'{self.folder}/a', '-pidfile',
                                       f'{self.folder}/b')
        self.assertEqual(os.listdir(self.folder), ['b'])
        proxy.close()
        self.ends(process)
        self.assertEqual(os.listdir(self.folder), [])

    def test_log_file(self):
        log = self.folder / 'log'
        process, _ = self.serve_fd('-D', str(log))
        process.terminate()
        self.assertEqual(self.ends(process), '')
        self.assertRegex(log.read_text(), rf'^{PROGRAM}: terminating on signal 15 .*\n\Z')

    def test_trace(self):
        process, proxy = self.serve_fd('-d', 'pci')
        proxy.close()
        self.assertIn(f'{PROGRAM}: pci: ', self.ends(process))

    def test_trace_of_counters(self):
        process, proxy = self.serve_fd('-d', 'stats')
        proxy.close()
        self.assertRegex(self.ends(process),
                         rf'(?m)^{PROGRAM}: stats: .*: PCI_CFGREAD=\d+ config-reads=\d+ '
                         r'config-writes=0 interrupts=0 errors=0$')


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""-sandbox, -run-with: what a serving process still has."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import unittest

from remote import LSI_IDS, RemoteCase, add_rows

LSI = ('-device', 'lsi53c895a,id=lsi')
# Words of -sandbox, and whether there is a filter then: of ours, and of the stock's spelling.
MODES = [
    ('default', [], True),
    ('on', ['-sandbox', 'on'], True),
    ('off', ['-sandbox', 'off'], False),
    ('enable', ['-sandbox', 'enable=on'], True),
    ('the_last_one_counts', ['-sandbox', 'off', '-sandbox', 'on'], True),
    ('log', ['-sandbox', 'log'], True),
    ('stock_deny', ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,'
                    'resourcecontrol=deny'], True),
    ('stock_allow', ['-sandbox', 'on,obsolete=allow,elevateprivileges=children,spawn=allow,'
                     'resourcecontrol=allow'], True),
]
WRONG = [
    ('word', 'maybe', "Parameter 'enable' expects one of off, on, log: 'maybe'"),
    ('empty', 'spawn=deny', "Parameter 'enable' is missing"),
    ('key', 'on,network=deny', "Invalid parameter 'network'"),
    ('value', 'on,spawn=children', "Parameter 'spawn' expects one of allow, deny: 'children'"),
]


def statuses(pid):
    """{thread id: {field: value}} of all threads of a process."""
    found = {}
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/status', encoding='utf-8') as file:
            found[task] = dict(re.findall(r'^(\w+):\s*(.*)$', file.read(), re.M))
    return found


class SandboxCase(RemoteCase):
    def serve(self, *argv, extra=(), **keywords):
        proxy, theirs = self.socketpair()
        fds = [theirs, *extra]
        process = self.start(*LSI, '-object',
                             f'x-remote-object,id=robj,devid=lsi,fd={theirs.fileno()}', *argv,
                             fds=fds, **keywords)
        self.assertEqual(proxy.read(), LSI_IDS)
        return process, proxy

    def ends_well(self, process, proxy):
        proxy.close()
        self.assertEqual(self.ends(process), '')


class Modes(SandboxCase):
    def check(self, words, confined):
        process, proxy = self.serve(*words)
        found = statuses(process.pid)
        self.assertGreater(len(found), 1, 'a main thread and one of the connection')
        for thread in found.values():
            self.assertEqual(thread['Seccomp'], '2' if confined else '0')
            self.assertEqual(thread['NoNewPrivs'], '1' if confined else '0')
            if confined:
                for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
                    self.assertEqual(int(thread[name], 16), 0, name)
        with open(f'/proc/{process.pid}/limits', encoding='utf-8') as file:
            core = re.search(r'^Max core file size +(\d+|unlimited)', file.read(), re.M)[1]
        if confined:
            self.assertEqual(core, '0')
        self.ends_well(process, proxy)


class Wrong(SandboxCase):
    def check(self, value, error):
        result = self.run_remote('-sandbox', value, *LSI)
        self.assertEqual(result.returncode, 1)
        self.assertIn(error, result.stderr)


class Descriptors(SandboxCase):
    def test_what_nobody_named_is_closed(self):
        stray, other = socket.socketpair()
        self.addCleanup(other.close)
        process, proxy = self.serve(extra=[stray])
        other.settimeout(30)
        self.assertEqual(other.recv(1), b'', 'the other end of the stray has hung up')
        self.ends_well(process, proxy)

    def test_it_stays_without_a_sandbox(self):
        stray, other = socket.socketpair()
        self.addCleanup(other.close)
        process, proxy = self.serve('-sandbox', 'off', extra=[stray])
        other.setblocking(False)
        self.assertRaises(BlockingIOError, other.recv, 1)
        self.ends_well(process, proxy)


class Files(SandboxCase):
    def test_pid_file_and_socket_are_removed(self):
        path, pidfile = self.folder / 'sock', self.folder / 'pid'
        process = self.start(*LSI, '-object', f'x-remote-object,id=o,devid=lsi,path={path},'
                             'auto-shutdown=off', '-pidfile', str(pidfile))
        proxy = self.connect(path)
        self.assertEqual(proxy.read(), LSI_IDS)
        self.assertEqual(int(pidfile.read_text()), process.pid)
        process.terminate()
        self.assertIn('terminating on signal 15', self.ends(process))
        self.assertEqual([path.exists(), pidfile.exists()], [False, False])


class RunWith(SandboxCase):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest('only root can become another user')

    def ids(self, *argv):
        """((uid, gid), supplementary groups) that the threads of a serving process have."""
        process, proxy = self.serve(*argv)
        found = {(thread['Uid'], thread['Gid'], thread['Groups'].strip())
                 for thread in statuses(process.pid).values()}
        root = os.readlink(f'/proc/{process.pid}/root')
        self.ends_well(process, proxy)
        self.assertEqual(len(found), 1, found)
        uid, gid, groups = found.pop()
        self.assertEqual([len(set(uid.split())), len(set(gid.split()))], [1, 1])
        return int(uid.split()[0]), int(gid.split()[0]), groups, root

    def test_user_by_name(self):
        entry = pwd.getpwnam('nobody')
        for words in (['-runas', 'nobody'], ['-run-with', 'user=nobody']):
            with self.subTest(words):
                self.assertEqual(self.ids(*words)[:2], (entry.pw_uid, entry.pw_gid))

    def test_user_by_number(self):
        self.assertEqual(self.ids('-runas', '12345:23456'), (12345, 23456, '23456', '/'))

    def test_other_root(self):
        for words in (['-chroot', str(self.folder)], ['-run-with', f'chroot={self.folder}'],
                      ['-run-with', f'async-teardown=on,chroot={self.folder},user=nobody']):
            with self.subTest(words):
                self.assertEqual(self.ids(*words)[3], str(self.folder))

    def test_without_a_sandbox(self):
        self.assertEqual(self.ids('-sandbox', 'off', '-runas', '12345:23456')[:2], (12345, 23456))


class RunWithWrong(RemoteCase):
    def check(self, words, error):
        result = self.run_remote(*words, *LSI)
        self.assertEqual((result.returncode, result.stdout), (1, ''))
        self.assertIn(error, result.stderr)

    def test_not_root(self):
        if os.geteuid() != 0:
            self.skipTest('only root can be made to be somebody else')
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.folder.chmod(0o755)
        program = shutil.copy(self.binary, self.folder)  # where anybody can run it
        result = subprocess.run(
            [program, *LSI, '-object', f'x-remote-object,id=o,devid=lsi,fd={theirs.fileno()}',
             '-runas', '1:1'], pass_fds=[theirs.fileno()], capture_output=True, text=True,
            user=65534, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("can't become user 1, group 1: ", result.stderr)


# Attempts of x-sandbox-test: the system call that ends the process, or an error that comes back.
ENDED, ANSWERED = True, False
ATTEMPTS = [
    ('execve', ENDED, 'execve'),
    ('open', ENDED, 'openat'),
    ('stat', ENDED, 'newfstatat'),
    ('unlink', ENDED, 'unlink'),
    ('socket', ENDED, 'socket'),
    ('ptrace', ENDED, 'ptrace'),
    ('mmap-exec', ENDED, 'mmap'),
    ('mprotect-exec', ENDED, 'mprotect'),
    ('fork', ENDED, 'clone'),
    ('clone-namespace', ENDED, 'clone'),
    ('kill', ENDED, 'tgkill'),
    ('ioctl', ENDED, 'ioctl'),
    ('prctl', ENDED, 'prctl'),
    ('futex', ENDED, 'futex'),
    ('ring-register', ENDED, 'io_uring_register'),
    ('clone3', ANSWERED, 'Function not implemented'),
    ('ring-setup', ANSWERED, 'Function not implemented'),
    # By the restrictions of the ring, which has no filter in front of it.
    ('ring-openat', ANSWERED, 'Permission denied'),
    ('ring-socket', ANSWERED, 'Permission denied'),
]


# What a build with sanitizers lets through for them (system/sandbox-base.c).
SANITIZERS_OWN = ('clone-namespace', 'fork', 'open', 'prctl', 'ptrace', 'stat')


def sanitized(program):
    with open(program, 'rb') as file:
        return b'__asan_init' in file.read()


class Attempts(SandboxCase):
    """What whoever takes the process over would try, by the program of the test profile."""
    binary = os.environ.get('QEMU_REMOTE_TEST', '')

    def attempt(self, name, *argv, thread='off'):
        """(process, proxy) of one that serves a disk by io_uring and makes the attempt."""
        proxy, theirs = self.socketpair()
        process = self.start(
            *LSI, '-drive', f'if=none,id=d,format=raw,aio=io_uring,file={self.disk()}',
            '-device', 'scsi-hd,drive=d,bus=lsi.0',
            '-object', f'x-remote-object,id=robj,devid=lsi,fd={theirs.fileno()}',
            '-object', f'x-sandbox-test,id=t,attempt={name},thread={thread}', *argv, fds=[theirs])
        return process, proxy

    def log_of(self, name, status, *argv, **keywords):
        process, proxy = self.attempt(name, *argv, **keywords)
        proxy.close()
        text = self.ends(process, status)
        if 'no io_uring' in text or 'has an io_uring' in text:
            self.skipTest('the kernel refuses io_uring')
        return text

    def check(self, name, ended, what):
        if name in SANITIZERS_OWN and sanitized(self.binary):
            self.skipTest('the sanitizers of this build make this call')
        for thread in ('off', 'on'):
            with self.subTest(thread=thread):
                if ended:
                    self.assertRegex(self.log_of(name, -signal.SIGSYS, thread=thread),
                                     rf'sandbox: system call {what} \(number \d+\) is not allowed')
                else:
                    self.assertIn(f'sandbox-test: {name}: {what}\n',
                                  self.log_of(name, 0, thread=thread))

    def test_x32(self):
        # Another table of system calls; a kernel without it has nothing to forbid.
        process, proxy = self.attempt('x32')
        proxy.close()
        self.assertEqual(process.wait(30), -signal.SIGSYS)

    def test_what_libraries_would_open(self):
        """When a thread's heap shrinks, and for the text of an error."""
        for name in ('shrink', 'message'):
            for thread in ('off', 'on'):
                with self.subTest(name, thread=thread):
                    self.assertIn(f'sandbox-test: {name}: done, 0\n',
                                  self.log_of(name, 0, thread=thread))

    def test_a_ring_does_what_it_is_for(self):
        self.assertIn('sandbox-test: ring-read: done, 512\n', self.log_of('ring-read', 0))

    def test_spare_rings(self):
        """Those that wait for disks to come: without one, the attempt finds one of them."""
        for name in ('ring-openat', 'ring-socket'):
            with self.subTest(name):
                process = self.start('-qmp', f'unix:{self.folder}/qmp,server=on,wait=off',
                                     '-object', f'x-sandbox-test,id=t,attempt={name}')
                process_log = self.ends(process)
                if 'has an io_uring' in process_log:
                    self.skipTest('the kernel refuses io_uring')
                self.assertIn(f'sandbox-test: {name}: Permission denied\n', process_log)

    def test_without_a_sandbox(self):
        for name in ('open', 'socket', 'fork', 'mmap-exec', 'ring-setup'):
            with self.subTest(name):
                self.assertNotIn('not allowed', self.log_of(name, 0, '-sandbox', 'off'))

    def test_log_lets_them_through(self):
        for name in ('open', 'socket', 'fork', 'mmap-exec', 'ioctl'):
            with self.subTest(name):
                self.assertNotIn('not allowed', self.log_of(name, 0, '-sandbox', 'log'))


add_rows(Modes, MODES)
add_rows(Wrong, WRONG)
add_rows(Attempts, [(name.replace('-', '_'), name, *row) for name, *row in ATTEMPTS])
add_rows(RunWithWrong, [
    ('user', ['-runas', 'no-such-user'], "-runas no-such-user: there is no user 'no-such-user'"),
    ('group', ['-runas', 'root:no-such-group'], "there is no group 'no-such-group'"),
    ('number', ['-runas', '4294967295:0'], "there is no user '4294967295'"),
    ('group_of_a_number', ['-runas', '1234567'], 'user 1234567 is in no database: say UID:GID'),
    ('chroot', ['-chroot', '/no/such'], "'/no/such' is not a folder"),
    ('key', ['-run-with', 'usr=x'], "Invalid parameter 'usr'"),
    ('teardown', ['-run-with', 'async-teardown=2'], 'async-teardown'),
])


if __name__ == '__main__':
    unittest.main()

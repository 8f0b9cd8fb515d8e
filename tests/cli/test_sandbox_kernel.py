# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels that lack what the sandbox is made of: a line says what, nothing is weaker in silence.

Such a kernel is this one behind a filter of the test's, which answers one system call by an error.
"""

import ctypes
import errno
import platform
import socket
import struct
import unittest

from remote import LSI_IDS, RemoteCase, add_rows

LSI = ('-device', 'lsi53c895a,id=lsi')
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
PR_SET_DUMPABLE = 4
# x86-64
CALLS = {'prctl': 157, 'seccomp': 317, 'capset': 126, 'landlock_create_ruleset': 444,
         'io_uring_setup': 425, 'io_uring_register': 427}
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7fff0000, 0x00050000


def instruction(code, yes, no, value):
    return struct.pack('<HBBI', code, yes, no, value)


def refuse(call, error, first_argument=None):
    """What a child does before it becomes the program."""
    program = [instruction(LOAD, 0, 0, 0), instruction(JUMP_EQUAL, 0, 3, CALLS[call])]
    if first_argument is None:
        program += [instruction(JUMP_EQUAL, 0, 2, CALLS[call]), instruction(LOAD, 0, 0, 0)]
    else:
        program += [instruction(LOAD, 0, 0, 16), instruction(JUMP_EQUAL, 0, 1, first_argument)]
    program += [instruction(RETURN, 0, 0, ERRNO | error), instruction(RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b''.join(program))
    header = ctypes.create_string_buffer(struct.pack('<H6xQ', len(program),
                                                     ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)

    def run():
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0:
            raise OSError('no_new_privs')
        if libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(header)) < 0:
            raise OSError('no filter')
        assert code  # is alive as long as this
    return run


class Case(RemoteCase):
    def setUp(self):
        super().setUp()
        if platform.machine() != 'x86_64':
            self.skipTest('its system calls are numbered for x86-64')

    def serve(self, preexec, *argv):
        proxy, theirs = self.socketpair()
        return proxy, self.start(*LSI, *argv, '-object',
                                 f'x-remote-object,id=o,devid=lsi,fd={theirs.fileno()}',
                                 fds=[theirs], preexec_fn=preexec)


class Refused(Case):
    """It doesn't start."""

    def check(self, call, error, argument, words):
        for sandbox in ([], ['-sandbox', 'on'], ['-sandbox', 'log']):
            with self.subTest(sandbox):
                proxy, process = self.serve(refuse(call, error, argument), *sandbox)
                self.assertRegex(self.ends(process, 1), rf'\A[^\n]*: sandbox: {words}\n\Z')
                self.assertTrue(proxy.at_end())
        proxy, process = self.serve(refuse(call, error, argument), '-sandbox', 'off')
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        self.assertEqual(self.ends(process), '')


class Served(Case):
    """It does without, and says so."""

    def check(self, call, error, words):
        proxy, process = self.serve(
            refuse(call, error), '-drive',
            f'if=none,id=d,format=raw,aio=io_uring,file={self.disk()}', '-device',
            'scsi-hd,drive=d,bus=lsi.0', '-qmp', f'unix:{self.folder}/q,server=on,wait=off')
        self.assertEqual(proxy.read(), LSI_IDS)
        proxy.close()
        self.assertRegex(self.ends(process), rf'\A[^\n]*{words}\n\Z')


add_rows(Refused, [
    ('filter', 'seccomp', errno.ENOSYS, None,
     r"the kernel (refuses the system call filter|can't log system calls) \(seccomp\)(: .*)?"),
    ('no_new_privs', 'prctl', errno.EINVAL, PR_SET_NO_NEW_PRIVS,
     "can't set no_new_privs: Invalid argument"),
    ('dumpable', 'prctl', errno.EINVAL, PR_SET_DUMPABLE,
     "can't turn core dumps off: Invalid argument"),
    ('capabilities', 'capset', errno.EPERM, None,
     "can't drop capabilities: Operation not permitted"),
])
add_rows(Served, [
    ('without_landlock', 'landlock_create_ruleset', errno.ENOSYS,
     'sandbox: no Landlock, the system call filter alone guards files: Function not implemented'),
    ('landlock_disabled', 'landlock_create_ruleset', errno.EOPNOTSUPP,
     'sandbox: no Landlock, the system call filter alone guards files: Operation not supported'),
    ('without_io_uring', 'io_uring_setup', errno.ENOSYS,
     'The kernel refuses io_uring: Function not implemented; using aio=threads'),
    ('without_restrictions', 'io_uring_register', errno.EINVAL,
     'The kernel refuses io_uring: Invalid argument; using aio=threads'),
])


if __name__ == '__main__':
    unittest.main()

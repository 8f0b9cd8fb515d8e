# SPDX-License-Identifier: GPL-2.0-or-later
"""The system calls that a serving process keeps: their number, and what docs/security.md says.
Prints them by module."""

import json
import os
import re
import subprocess
import unittest

import tree

COMMENTS = []
# What would bring code, processes, files or sockets into being, or other processes' memory.
NEVER = {'accept', 'bind', 'bpf', 'clone3', 'connect', 'creat', 'execve', 'execveat', 'fork',
         'io_uring_register', 'io_uring_setup', 'keyctl', 'kill', 'link', 'linkat', 'listen',
         'memfd_create', 'mknod', 'mount', 'open', 'openat', 'openat2', 'perf_event_open',
         'pkey_mprotect', 'process_vm_readv', 'process_vm_writev', 'ptrace', 'rename', 'renameat2',
         'seccomp', 'setns', 'setuid', 'shmat', 'socket', 'socketpair', 'symlink', 'tkill',
         'unshare', 'userfaultfd', 'vfork'}

DRIVERS = ['block/nbd.c', 'block/rbd.c']  # which have a network


def calls(variable):
    """{module: [call]} of a program, those included that only some command lines need."""
    path = os.environ.get(variable)
    if not path or not os.path.exists(path):
        raise unittest.SkipTest(f'${variable} is not built')
    said = subprocess.run([path, '--print-capabilities'], check=True, capture_output=True)
    sandbox = json.loads(said.stdout)['sandbox']
    return {**sandbox['calls'], **sandbox['on-demand']}


def of_driver(source):
    """(module, [call]) of a block driver that is a module of its own, from its source."""
    text = re.search(r'SandboxCalls \w+_sandbox = \{\n(.*?)\n\};', tree.read(source), re.S)[1]
    named = re.findall(r'\{ \.name = "(\w+)"(, \.answer)?', text)
    names = dict.fromkeys(name for name, answer in named if not answer)
    return re.search(r'\.module = "(\w+)"', text)[1], list(names)


def distinct(modules):
    return {name for names in modules.values() for name in names}


def sanitized(modules):
    """A build with sanitizers has their calls on top."""
    return 'ptrace' in modules['process']


class Calls(unittest.TestCase):
    def bounded(self, variable, bound):
        modules = calls(variable)
        if sanitized(modules):
            self.skipTest('sanitizers need more')
        names = distinct(modules)
        self.assertLessEqual(len(names), bound, sorted(names))
        self.assertEqual(names & NEVER, set())
        return modules

    def test_default(self):
        modules = self.bounded('QEMU_REMOTE', 60)
        for module, names in modules.items():
            COMMENTS.append(f'{module}: {" ".join(names)}')
        without = {module: names for module, names in modules.items() if module != 'monitor'}
        self.assertIn('monitor', modules)
        COMMENTS.append(f'{len(distinct(without))} system calls in all, '
                        f'{len(distinct(modules))} with a monitor')

    def test_minimal(self):
        self.bounded('QEMU_REMOTE_MINIMAL', 40)

    def test_the_manual_has_them_all(self):
        modules = calls('QEMU_REMOTE')
        if sanitized(modules):
            self.skipTest('sanitizers need more')
        rows = re.findall(r'^\| ([^|]+?) \| ((?:`\w+`(?:, )?)+) \|', tree.read('docs/security.md'),
                          re.M)
        told = {module: re.findall(r'`(\w+)`', names) for module, names in rows}
        drivers = dict(of_driver(source) for source in DRIVERS)
        self.assertEqual(told, {**modules, **drivers})

    def test_what_no_driver_needs(self):
        for source in DRIVERS:
            module, names = of_driver(source)
            self.assertIn('connect', names, module)
            self.assertEqual(set(names) & (NEVER - {'connect', 'socket'}), set(), module)


if __name__ == '__main__':
    unittest.main()

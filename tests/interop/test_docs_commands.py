# SPDX-License-Identifier: GPL-2.0-or-later
"""The documents' command lines for whoever is at the other end: the launcher's, and the VM's.

Those of the program itself are tests/cli/test_docs.py's.
"""

import json
import re
import shlex
import subprocess
import sys
import time
import unittest

from interop import REMOTE, TOP, VM, InteropCase
from vfio_user import newer_qemu

DOCS = [*TOP.glob('*.md'), *TOP.glob('docs/**/*.md'), *TOP.glob('docs/man/*.rst')]
FILES = ('disk.img', 'vmlinuz', 'initrd')


def commands(program):
    """(document, words, text before it) of each complete command line in the documents."""
    for path in DOCS:
        text = path.read_text(encoding='utf-8').replace('\\\n', ' ')
        for found in re.finditer(rf'(?m)^ *{program} (-.*)$', text):
            if '...' not in found[1]:
                yield path, shlex.split(found[1].rstrip(' &')), text[:found.start()]


class Case(InteropCase):
    def setUp(self):
        super().setUp()
        for name in FILES:
            with open(self.folder / name, 'wb') as file:
                file.truncate(1 << 20)

    def here(self, words):
        return [word.replace('/run/vm/', f'{self.folder}/') for word in words]


class Launcher(Case):
    def test_they_plan_a_launch(self):
        found = 0
        for path, words, _ in commands(r'(?:scripts/)?mpqemu-launcher(?:\.py)?'):
            with self.subTest(path=str(path), words=words):
                done = subprocess.run(
                    [sys.executable, str(TOP / 'scripts/mpqemu-launcher.py'), '--dry-run',
                     '--quiet', '--accel', 'tcg', '--remote-binary', REMOTE, '--vm-binary', VM,
                     *words],
                    cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                    check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ''))
                self.assertEqual(len(done.stdout.splitlines()), 2)
            found += 1
        self.assertGreater(found, 1)


class Vm(Case):
    programs = (REMOTE,)

    def start(self, argv, **pipes):
        process = subprocess.Popen(argv, cwd=self.folder, text=True, **pipes)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                self.addCleanup(pipe.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def run_both(self, server, client):
        """The VM has the device, and its end is the server's."""
        remote = self.start([REMOTE, *server], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(remote.stderr.close)
        path = self.folder / 'lsi0.sock'
        while not path.exists():
            self.assertIsNone(remote.poll())
            time.sleep(0.01)
        client[client.index('kvm')] = 'tcg'
        # What the guest would do is other tests'; the files are no kernel and no initrd.
        cut = client.index('-kernel') if '-kernel' in client else len(client)
        vm = self.start([newer_qemu(), *client[:cut], '-S', '-nodefaults', '-display', 'none',
                         '-qmp', 'stdio'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertIn('QMP', json.loads(vm.stdout.readline()))
        said, _ = vm.communicate('{"execute":"qmp_capabilities"}\n{"execute":"query-pci"}\n'
                                 '{"execute":"quit"}\n', timeout=self.deadline)
        ids = [device['id'] for line in said.splitlines() for bus in
               (json.loads(line).get('return') or []) for device in bus['devices']]
        self.assertIn({'vendor': 0x1000, 'device': 0x12},
                      [{name: pci[name] for name in ('vendor', 'device')} for pci in ids])
        self.assertEqual(remote.wait(self.deadline), 0, remote.stderr.read())

    def test_they_have_the_device(self):
        newer_qemu()
        found = 0
        for path, client, before in commands('qemu-system-x86_64'):
            if 'vfio-user-pci' not in ' '.join(client):
                continue
            server = shlex.split(re.findall(r'(?m)^ *qemu-system-x86_64-remote (-.*)$',
                                            before)[-1].rstrip(' &'))
            with self.subTest(path=str(path)):
                self.run_both(self.here(server), self.here(client))
            found += 1
        self.assertGreater(found, 1)


if __name__ == '__main__':
    unittest.main()

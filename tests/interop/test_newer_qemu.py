# SPDX-License-Identifier: GPL-2.0-or-later
"""newer-qemu.sh where it has nothing to give: one sentence that says why."""

import os
import subprocess
import unittest

from interop import TOP, InteropCase

PROGRAM = TOP / 'tests/interop/newer-qemu.sh'


class NewerQemu(InteropCase):
    programs = ()

    def ask(self, *options, **environment):
        """Its exit status and what it said, on a machine whose own QEMU is too old."""
        tools = self.folder / 'tools'
        tools.mkdir(exist_ok=True)
        (tools / 'qemu-system-x86_64').write_text('#!/bin/sh\nexit 1\n')
        (tools / 'qemu-system-x86_64').chmod(0o755)
        environment = {**os.environ, 'QEMU_VFIO_USER': '', 'PATH': f"{tools}:{os.environ['PATH']}",
                       **environment}
        done = subprocess.run([PROGRAM, '--cache', self.folder / 'cache', *options],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=environment, check=False)
        return done.returncode, done.stdout, done.stderr

    def refused(self, *options, **environment):
        status, printed, said = self.ask(*options, **environment)
        self.assertEqual((status, printed, said.count('\n')), (1, '', 1), said)
        return said

    def script(self, name, body):
        path = self.folder / name
        path.write_text(f'#!/bin/sh\n{body}\n')
        path.chmod(0o755)
        return str(path)

    def test_named_one(self):
        name = self.script('new', "echo 'vfio-user-pci options:'")
        self.assertEqual(self.ask(QEMU_VFIO_USER=name), (0, f'{name}\n', ''))

    def test_named_one_is_too_old(self):
        name = self.script('old', 'exit 1')
        self.assertIn(f'{name} has no vfio-user-pci', self.refused(QEMU_VFIO_USER=name))

    def test_named_one_is_not_there(self):
        self.assertIn('no program', self.refused(QEMU_VFIO_USER=str(self.folder / 'nothing')))

    def test_nothing_cached(self):
        self.assertIn('make check-interop', self.refused('--cached'))
        self.assertEqual(list((self.folder / 'cache').iterdir()), [])

    def test_no_archive(self):
        """A fetch that fails leaves nothing behind but its lock."""
        self.script('apt-get', 'exit 0')
        self.script('debootstrap', 'exit 1')
        self.script('sudo', 'exec "$@"')
        path = f"{self.folder}:{self.folder / 'tools'}:{os.environ['PATH']}"
        self.assertIn('name no archive', self.refused(PATH=path))
        self.assertEqual([p.suffix for p in (self.folder / 'cache').iterdir()], ['.lock'])


if __name__ == '__main__':
    unittest.main()

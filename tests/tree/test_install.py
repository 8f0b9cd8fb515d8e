# SPDX-License-Identifier: GPL-2.0-or-later
"""What `make install` puts where: all that a user needs, nothing of the tests, and it works there.

It installs below a DESTDIR. Another prefix is only configured, which says where everything goes.
"""

import glob
import json
import os
import subprocess
import tarfile
import tempfile
import unittest

import tree
from test_configure import Tree

NAME = 'qemu-system-x86_64-remote'
UNIT = 'lib/systemd/system/qemu-remote@.service'
CAPABILITIES = f'share/qemu/remote-pci/50-{NAME}.json'
LAUNCHER = 'share/qemu-system-x86-remote/mpqemu_launcher'
# Below the prefix, with their modes; modules and man pages come where they can be built.
ALWAYS = {
    f'bin/{NAME}': 0o755,
    'bin/mpqemu-launcher': 0o755,
    f'share/bash-completion/completions/{NAME}': 0o644,
    'share/bash-completion/completions/mpqemu-launcher': 0o644,
    CAPABILITIES: 0o644,
    UNIT: 0o644,
}
MAN_PAGES = (f'share/man/man1/{NAME}.1', 'share/man/man1/mpqemu-launcher.1')


def options():
    """The build folder's options by name."""
    said = json.loads(tree.run('meson', 'introspect', '--buildoptions', tree.BUILD))
    return {option['name']: option['value'] for option in said}


def expected(module_folder):
    """Names below the prefix, and modes."""
    files = dict(ALWAYS)
    for path in glob.glob(tree.path('scripts/mpqemu_launcher/*.py')):
        files[f'{LAUNCHER}/{os.path.basename(path)}'] = 0o644
    for name in MAN_PAGES:
        if os.path.exists(os.path.join(tree.BUILD, 'docs', os.path.basename(name))):
            files[name] = 0o644
    for path in glob.glob(os.path.join(tree.BUILD, 'block', '*-*.so')):
        files[f'{module_folder}/{NAME}/{os.path.basename(path)}'] = 0o755
    return files


class Installed(unittest.TestCase):
    """Installed once, below a DESTDIR."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.options = options()
        cls.destdir = folder.name
        cls.prefix = folder.name + cls.options['prefix']
        tree.run('meson', 'install', '-C', tree.BUILD, '--no-rebuild', '--destdir', folder.name)

    def read(self, name):
        with open(os.path.join(self.prefix, name), encoding='utf-8') as file:
            return file.read()

    def test_the_list(self):
        found = {}
        for where, _, names in os.walk(self.destdir):
            for path in (os.path.join(where, name) for name in names):
                found[os.path.relpath(path, self.prefix)] = os.stat(path).st_mode & 0o7777
        self.assertEqual(found, expected(self.options['libdir']))

    def test_the_launcher_finds_its_package(self):
        said = tree.run(os.path.join(self.prefix, 'bin/mpqemu-launcher'), '--help', cwd='/')
        self.assertIn('--protocol', said)

    def test_the_capability_file_is_what_the_program_says(self):
        said = json.loads(self.read(CAPABILITIES))
        binary = said.pop('binary')
        self.assertEqual(binary, f"{self.options['prefix']}/bin/{NAME}")
        self.assertTrue(said.pop('description'))
        self.assertEqual(said, json.loads(tree.run(self.destdir + binary, '--print-capabilities')))

    def test_the_unit_starts_the_installed_program(self):
        self.assertIn(f"\nExecStart={self.options['prefix']}/bin/{NAME} ", self.read(UNIT))
        self.assertNotIn('@bindir@', self.read(UNIT))

    def test_bash_takes_the_completions(self):
        for name in (NAME, 'mpqemu-launcher'):
            path = os.path.join(self.prefix, 'share/bash-completion/completions', name)
            done = subprocess.run(['bash', '-c', f'. {path} && complete -p {name}'], check=False,
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)


class OtherPrefix(Tree):
    def test_everything_goes_below_it(self):
        self.configure('--prefix=/opt/remote')
        said = json.loads(tree.run('meson', 'introspect', '--installed', f'{self.where}/build'))
        outside = [path for path in said.values() if not path.startswith('/opt/remote/')]
        self.assertEqual(outside, [])
        below = {os.path.relpath(path, '/opt/remote') for path in said.values()}
        self.assertLessEqual(set(ALWAYS), below)
        with open(f'{self.where}/build/data/qemu-remote@.service', encoding='utf-8') as file:
            self.assertIn(f'\nExecStart=/opt/remote/bin/{NAME} ', file.read())


class Dist(unittest.TestCase):
    """The source as a tar file."""

    def test_all_of_a_commit(self):
        listed = subprocess.run(['git', 'ls-tree', '-r', '--name-only', '-z', 'HEAD'],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                cwd=tree.ROOT, check=False)
        if listed.returncode:
            self.skipTest('not a clone of the repository')
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(['make', '-s', 'dist', f'BUILD={folder}'], cwd=tree.ROOT,
                                  stdout=subprocess.PIPE, text=True, check=True)
            path = done.stdout.strip()
            with tarfile.open(path) as archive:
                names = {member.name for member in archive if not member.isdir()}
        top = os.path.basename(path).removesuffix('.tar.xz')
        self.assertRegex(top, r'^qemu-remote-[0-9.]+$')
        self.assertEqual(names, {f'{top}/{path}' for path in listed.stdout.split('\0') if path})


if __name__ == '__main__':
    unittest.main()

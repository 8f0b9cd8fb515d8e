# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages of this tree: what is in them, and a round trip through a Debian.

The chroot is made once and kept in a cache; the packages are installed there beside Debian's own
qemu packages, their autopkgtest is run, and they are purged again.
"""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mpqemu'
MAIN, EXTRA = 'qemu-system-x86-remote', 'qemu-system-x86-remote-block-extra'
TOOLS = ('dpkg-buildpackage', 'dh', 'lintian', 'git')


def run(*argv, **more):
    return subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                          check=False, **more)


class Packages(unittest.TestCase):
    """Built once for all cases."""

    place = CACHE / 'debian-chroot'

    @classmethod
    def setUpClass(cls):
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        if missing:
            raise unittest.SkipTest(f'{missing[0]} is not installed')
        if run('git', '-C', TOP, 'rev-parse').returncode:
            raise unittest.SkipTest('this is not a checkout')
        folder = tempfile.TemporaryDirectory(prefix='mpqdeb')
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.first = cls.build('first')

    @classmethod
    def build(cls, name):
        """The packages by name."""
        done = run(TOP / 'scripts/build-deb', cls.folder / name)
        if done.returncode:
            raise AssertionError(done.stdout)
        return {path.name.partition('_')[0]: path for path in (cls.folder / name).glob('*.deb')
                if '-dbgsym_' not in path.name}

    def files(self, package):
        """Name to mode, of what is not a folder."""
        done = run('dpkg-deb', '-c', self.first[package])
        rows = [line.split(None, 5) for line in done.stdout.splitlines()]
        return {row[5].split(' -> ')[0].lstrip('.'): row[0] for row in rows if row[0][0] != 'd'}

    def test_what_is_in_them(self):
        main, extra = self.files(MAIN), self.files(EXTRA)
        for name in ('/usr/bin/qemu-system-x86_64-remote', '/usr/bin/mpqemu-launcher',
                     '/usr/share/man/man1/qemu-system-x86_64-remote.1.gz',
                     '/usr/share/man/man1/mpqemu-launcher.1.gz',
                     '/usr/share/bash-completion/completions/qemu-system-x86_64-remote',
                     '/etc/apparmor.d/usr.bin.qemu-system-x86_64-remote',
                     '/lib/systemd/system/qemu-remote@.service'):
            self.assertIn(name, main)
        modules = [name for name in extra if name.endswith('.so')]
        self.assertTrue(modules)
        self.assertFalse([name for name in main if name.endswith('.so')])
        self.assertFalse(set(main) & set(extra))
        for name, mode in {**main, **extra}.items():
            self.assertNotIn('s', mode.lower(), name)

    def test_the_program_needs_no_library_of_a_module(self):
        depends = run('dpkg-deb', '-f', self.first[MAIN], 'Depends').stdout
        self.assertNotRegex(depends, 'libnbd|librbd|zstd|zlib')
        self.assertIn('libglib2.0-0', depends)

    def test_lintian(self):
        done = run('lintian', '--allow-root', '--fail-on', 'error,warning',
                   '--tag-display-limit', '0', *self.first.values())
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_hardening(self):
        folder = self.folder / 'unpacked'
        run('dpkg-deb', '-x', self.first[MAIN], folder)
        program = folder / 'usr/bin/qemu-system-x86_64-remote'
        header = run('readelf', '-hlW', '-d', program).stdout
        self.assertRegex(header, r'Type: +DYN')
        self.assertIn('GNU_RELRO', header)
        self.assertRegex(header, r'FLAGS.*(BIND_NOW|NOW)')
        self.assertNotRegex(header, r'GNU_STACK.*RWE')
        self.assertIn('__stack_chk_fail', run('readelf', '-sW', '--dyn-syms', program).stdout)

    def test_reproducible(self):
        second = self.build('second/in-another-folder')
        self.assertEqual(sorted(second), sorted(self.first))
        for name, path in second.items():
            self.assertEqual(path.read_bytes(), self.first[name].read_bytes(), name)

    def chroot(self, script, *words):
        return run(TOP / 'scripts/deb-chroot', 'run', self.place, script, '-', *words)

    def left(self):
        """What of ours is in the chroot's file system, and what dpkg remembers."""
        names = [*self.files(MAIN), *self.files(EXTRA), '/etc/qemu-remote', '/var/lib/qemu-remote']
        known = self.chroot("dpkg-query -f '${db:Status-Status} ${Package}\\n' "
                            f'-W {MAIN} {EXTRA} || true')
        return ([name for name in names if os.path.lexists(f'{self.place}/root{name}')] +
                [line for line in known.stdout.splitlines()
                 if not line.startswith(('not-installed', 'dpkg-query'))])

    def test_install_boot_purge(self):
        made = run(TOP / 'scripts/deb-chroot', 'make', self.place)
        if made.returncode:
            self.skipTest(made.stdout.strip())
        purge = f'dpkg --purge {EXTRA} {MAIN}'
        self.chroot(f'{purge} || true')  # of a run that was interrupted
        self.assertEqual(self.left(), [])
        source = self.place / 'root/srv/qemu-remote'
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, source, ignore_errors=True)
        for path in self.first.values():
            shutil.copy(path, source)
        for name in ('debian/tests', 'scripts'):
            shutil.copytree(TOP / name, source / name)
        done = self.chroot('apt-get -qq update; '
                           'apt-get -qq -y --no-install-recommends install /srv/qemu-remote/*.deb')
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        self.addCleanup(self.chroot, f'{purge} || true')
        done = self.chroot('cd /srv/qemu-remote; export AUTOPKGTEST_TMP=/var/tmp/qemu-remote-test; '
                           'mkdir -p $AUTOPKGTEST_TMP; debian/tests/boot-guest')
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertIn('the guest booted from /dev/sda', done.stdout)
        self.assertIn('/usr/bin/qemu-system-x86_64-remote', done.stdout)
        done = self.chroot('dpkg -V; dpkg -s qemu-system-x86 | grep -q "ok installed"; '
                           f'{purge}')
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertEqual(self.left(), [])


if __name__ == '__main__':
    unittest.main()

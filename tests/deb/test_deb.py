# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages of this tree: what is in them, and a round trip through a Debian.

The chroot is made once and kept in a cache; the packages are installed there beside Debian's own
qemu packages, what they brought is looked at by the programs that it is for, their autopkgtest is
run, and they are purged again.
"""

import fcntl
import functools
import json
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
NAME = 'qemu-system-x86_64-remote'
CAPABILITIES = f'/usr/share/qemu/remote-pci/50-{NAME}.json'
UNIT = '/lib/systemd/system/qemu-remote@.service'
PROFILE = f'/etc/apparmor.d/usr.bin.{NAME}'
# In the chroot: what debian/tests/control asks for, and what reads the unit and the profile.
CHROOT = ('apparmor', 'ca-certificates', 'e2fsprogs', 'python3', 'qemu-system-x86', 'systemd')
WHERE = '/srv/qemu-remote'


def run(*argv, **more):
    return subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                          check=False, **more)


@functools.cache
def folder():
    made = tempfile.TemporaryDirectory(prefix='mpqdeb')
    unittest.addModuleCleanup(made.cleanup)
    return Path(made.name)


@functools.cache
def build(name='first'):
    """The packages by name; compiled, not taken from a cache, so that two builds are two."""
    done = run(TOP / 'scripts/build-deb', folder() / name,
               env={**os.environ, 'CCACHE_DISABLE': '1'})
    if done.returncode:
        raise AssertionError(done.stdout)
    return {path.name.partition('_')[0]: path for path in (folder() / name).glob('*.deb')
            if '-dbgsym_' not in path.name}


def files(package):
    """Name to mode, of what is not a folder."""
    done = run('dpkg-deb', '-c', build()[package])
    rows = [line.split(None, 5) for line in done.stdout.splitlines()]
    return {row[5].split(' -> ')[0].lstrip('.'): row[0] for row in rows if row[0][0] != 'd'}


def unpacked(name, packages):
    """The contents of each file of the packages, those for dpkg included."""
    place = folder() / 'unpacked' / name
    place.mkdir(parents=True)
    for package, path in packages.items():
        done = run('dpkg-deb', '-R', path, place / package)
        if done.returncode:
            raise AssertionError(done.stdout)
    return {path.relative_to(place): path.read_bytes() for path in place.rglob('*')
            if path.is_file() and not path.is_symlink()}


def tree_state():
    return run('git', '-C', TOP, 'rev-parse', 'HEAD').stdout + run('git', '-C', TOP, 'diff').stdout


class DebCase(unittest.TestCase):
    """The packages are built once for all."""

    @classmethod
    def setUpClass(cls):
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        if missing:
            raise unittest.SkipTest(f'{missing[0]} is not installed')
        if run('git', '-C', TOP, 'rev-parse').returncode:
            raise unittest.SkipTest('this is not a checkout')
        build()


class Packages(DebCase):
    """What is in them."""

    def test_what_is_in_them(self):
        main, extra = files(MAIN), files(EXTRA)
        for name in (f'/usr/bin/{NAME}', '/usr/bin/mpqemu-launcher',
                     f'/usr/share/man/man1/{NAME}.1.gz',
                     '/usr/share/man/man1/mpqemu-launcher.1.gz',
                     f'/usr/share/bash-completion/completions/{NAME}',
                     '/usr/share/bash-completion/completions/mpqemu-launcher',
                     CAPABILITIES, PROFILE, UNIT):
            self.assertIn(name, main)
        modules = [name for name in extra if name.endswith('.so')]
        self.assertTrue(modules)
        self.assertFalse([name for name in main if name.endswith('.so')])
        self.assertFalse(set(main) & set(extra))
        for name, mode in {**main, **extra}.items():
            self.assertNotIn('s', mode.lower(), name)

    def test_the_program_needs_no_library_of_a_module(self):
        depends = run('dpkg-deb', '-f', build()[MAIN], 'Depends').stdout
        self.assertNotRegex(depends, 'libnbd|librbd|zstd|zlib')
        self.assertIn('libglib2.0-0', depends)

    def test_lintian(self):
        done = run('lintian', '--allow-root', '--fail-on', 'error,warning',
                   '--tag-display-limit', '0', *build().values())
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_hardening(self):
        unpacked('hardening', {MAIN: build()[MAIN]})
        program = folder() / 'unpacked/hardening' / MAIN / f'usr/bin/{NAME}'
        header = run('readelf', '-hlW', '-d', program).stdout
        self.assertRegex(header, r'Type: +DYN')
        self.assertIn('GNU_RELRO', header)
        self.assertRegex(header, r'FLAGS.*(BIND_NOW|NOW)')
        self.assertNotRegex(header, r'GNU_STACK.*RWE')
        self.assertIn('__stack_chk_fail', run('readelf', '-sW', '--dyn-syms', program).stdout)

    def test_reproducible(self):
        before = tree_state()
        first = unpacked('first', build())
        second = unpacked('second', build('second/in-another-folder'))
        self.assertEqual(tree_state(), before, 'the tree was changed while this test ran')
        # By the files first, which say more.
        self.assertEqual([name for name in first | second if first.get(name) != second.get(name)],
                         [])
        for name, path in build('second/in-another-folder').items():
            self.assertEqual(path.read_bytes(), build()[name].read_bytes(), name)


class RoundTrip(DebCase):
    """Each case finds the packages installed, and purging them leaves nothing behind."""

    place = CACHE / 'debian-packages'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if os.geteuid():
            raise unittest.SkipTest('a chroot needs root')
        made = run(TOP / 'scripts/deb-chroot', 'make', cls.place, 'own', 'own', *CHROOT)
        if made.returncode:
            raise unittest.SkipTest(made.stdout.strip().splitlines()[-1])
        # One user of the chroot at a time.
        lock = open(f'{cls.place}.use', 'w', encoding='utf-8')
        cls.addClassCleanup(lock.close)
        fcntl.flock(lock, fcntl.LOCK_EX)
        cls.source = cls.place / f'root{WHERE}'
        shutil.rmtree(cls.source, ignore_errors=True)
        cls.source.mkdir(parents=True)
        cls.addClassCleanup(shutil.rmtree, cls.source)
        for path in build().values():
            shutil.copy(path, cls.source)
        for name in ('debian/tests', 'scripts'):
            shutil.copytree(TOP / name, cls.source / name)
        cls.inside('apt-get -qq update')

    @classmethod
    def inside(cls, script):
        """Runs a shell script in the chroot, beside the packages and the tree's scripts."""
        return run(TOP / 'scripts/deb-chroot', 'run', cls.place, f'cd {WHERE}; {script}')

    def works(self, script):
        done = self.inside(script)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        return done.stdout

    def left(self):
        """What of ours is in the chroot's file system, and what dpkg remembers."""
        names = [*files(MAIN), *files(EXTRA), '/etc/qemu-remote', '/var/lib/qemu-remote']
        known = self.inside("dpkg-query -f '${db:Status-Status} ${Package}\\n' "
                            f'-W {MAIN} {EXTRA} || true').stdout
        return ([name for name in names if os.path.lexists(f'{self.place}/root{name}')] +
                [line for line in known.splitlines()
                 if not line.startswith(('not-installed', 'dpkg-query'))])

    def purge(self):
        self.works(f'dpkg --purge {EXTRA} {MAIN}')
        self.assertEqual(self.left(), [])

    def setUp(self):
        self.purge()  # of a run that was interrupted
        self.addCleanup(self.purge)
        self.works('apt-get -qq -y --no-install-recommends install ./*.deb')

    def test_beside_the_distribution(self):
        self.works(f'dpkg -V {MAIN} {EXTRA}')
        self.works('dpkg -s qemu-system-x86 | grep -q "ok installed"')
        self.assertIn('[type=]name', self.works(f'{NAME} -help'))
        self.assertIn('nbd', self.works(f'{NAME} -preload help'))

    def test_capabilities(self):
        said = json.loads(self.works(f'cat {CAPABILITIES}'))
        self.assertTrue(said.pop('description'))
        printed = self.works(f'{said.pop("binary")} --print-capabilities')
        self.assertEqual(said, json.loads(printed))

    def test_unit(self):
        """systemd has nothing to say about it: it knows each directive, and finds the program."""
        self.assertEqual(self.works('systemd-analyze verify --man=no qemu-remote@vm1.service'), '')
        # Of 10: what is left is its uid, devices, and calls that its own filter denies.
        self.works('systemd-analyze security --offline=true --threshold=28 ' + UNIT)

    def test_apparmor(self):
        said = self.works(f'apparmor_parser --skip-kernel-load --skip-cache {PROFILE}')
        # A kernel without AppArmor is nothing that the profile could help.
        self.assertEqual([line for line in said.splitlines() if 'interface file' not in line], [])

    def test_autopkgtest(self):
        said = self.works('export AUTOPKGTEST_TMP=/var/tmp/qemu-remote-test; '
                          'mkdir -p $AUTOPKGTEST_TMP; debian/tests/boot-guest')
        self.assertIn('the guest booted from /dev/sda', said)
        self.assertIn(f'/usr/bin/{NAME}', said)


if __name__ == '__main__':
    unittest.main()

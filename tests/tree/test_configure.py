# SPDX-License-Identifier: GPL-2.0-or-later
"""configure's options, and that touching a Kconfig file or a profile configures again."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import tree

TARGET = 'x86_64-remote-softmmu'
PROFILE = f'configs/devices/{TARGET}/default.mak'


class Tree(unittest.TestCase):
    """A copy of the tree to configure, and the few seconds that takes."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.where = folder.name
        tree.copy_to(self.where)
        self.env = {key: value for key, value in os.environ.items()
                    if key not in ('CC', 'CFLAGS', 'LDFLAGS', 'DESTDIR', 'MAKEFLAGS')}

    def call(self, *command):
        return subprocess.run(command, cwd=self.where, env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)

    def configure(self, *options):
        run = self.call('./configure', *options)
        self.assertEqual(run.returncode, 0, run.stdout)
        return run.stdout

    def refused(self, *options):
        run = self.call('./configure', *options)
        self.assertNotEqual(run.returncode, 0, run.stdout)
        return run.stdout

    def read(self, path):
        with open(os.path.join(self.where, path), encoding='utf-8') as file:
            return file.read()

    def replace(self, path, old, new):
        text = self.read(path)
        self.assertIn(old, text)
        with open(os.path.join(self.where, path), 'w', encoding='utf-8') as file:
            file.write(text.replace(old, new))

    def regenerate(self):
        """What `make` does before it builds anything."""
        return self.call('ninja', '-C', 'build', 'build.ninja')

    def config(self, profile='default'):
        return self.read(f'build/config/{TARGET}/{profile}/config.mak').splitlines()


class Options(Tree):
    def test_help_names_targets_and_profiles(self):
        text = self.configure('--help')
        self.assertIn('--target-list=', text)
        self.assertRegex(text, f'{TARGET}, profiles:.*default.*minimal')
        self.assertFalse(os.path.exists(os.path.join(self.where, 'build')))

    def test_unknown_ones_are_refused(self):
        for option in ('--enable-everything', '--target-list', 'x86_64-remote-softmmu',
                       '--with-devices-=default', '--with-devices-x86_64-remote='):
            with self.subTest(option):
                self.assertEqual(self.refused(option), 'configure: unknown option '
                                 f'{option}; see ./configure --help\n')
        self.assertFalse(os.path.exists(os.path.join(self.where, 'build')))

    def test_unknown_targets_and_profiles_are_refused(self):
        self.assertIn('there is no target x86_65-softmmu',
                      self.refused('--target-list=x86_65-softmmu'))
        self.assertIn(f'there is no profile configs/devices/{TARGET}/maximal.mak',
                      self.refused(f'--target-list={TARGET}:maximal'))
        self.assertIn('there is no target x86_65-softmmu',
                      self.refused('--with-devices-x86_65=default'))
        self.assertIn(f'there is no profile configs/devices/{TARGET}/maximal.mak',
                      self.refused('--with-devices-x86_64-remote=maximal'))

    def test_an_impossible_profile_is_refused_by_file_and_line(self):
        self.replace(PROFILE, 'CONFIG_TCG=n', 'CONFIG_TCG=y')
        line = self.read(PROFILE).splitlines().index('CONFIG_TCG=y') + 1
        self.assertRegex(self.refused(), f'(?m)^{PROFILE}:{line}: CONFIG_TCG=y: ')

    def test_all_of_them(self):
        text = self.configure('--enable-debug', '--enable-sanitizers', '--enable-werror',
                              '--prefix=/opt/x', '--with-devices-x86_64-remote=minimal',
                              f'--target-list={TARGET},{TARGET}:default', '--build-dir=other')
        for value in (r'buildtype +: debug\n', r'b_sanitize +: address,undefined\n',
                      r'werror +: true\n', r'prefix +: /opt/x\n'):
            self.assertRegex(text, value)
        minimal = self.read(f'other/config/{TARGET}/minimal/config.mak')
        self.assertNotIn('CONFIG_IO_URING', minimal)
        self.assertIn('CONFIG_IO_URING=y', self.read(f'other/config/{TARGET}/default/config.mak'))
        programs = re.findall(r'(?m)^build (qemu-\S+): ', self.read('other/build.ninja'))
        self.assertIn('qemu-system-x86_64-remote', programs)
        self.assertIn('qemu-system-x86_64-remote-default', programs)


    def test_thread_sanitizer(self):
        self.assertRegex(self.configure('--enable-tsan'), r'b_sanitize +: thread\n')

    def installed(self):
        plan = json.loads(self.call('meson', 'introspect', '--installed', 'build').stdout)
        return {os.path.basename(name) for name in plan.values()
                if os.path.basename(os.path.dirname(name)) == 'bin'} - {'mpqemu-launcher'}

    def test_the_stock_program_is_built_and_not_installed(self):
        self.configure()
        programs = re.findall(r'(?m)^build (qemu-\S+): ', self.read('build/build.ninja'))
        self.assertIn('qemu-system-x86_64', programs)
        self.assertEqual(self.installed(), {'qemu-system-x86_64-remote'})
        self.configure('--install-stock')
        self.assertEqual(self.installed(), {'qemu-system-x86_64-remote', 'qemu-system-x86_64'})

    def test_the_stock_program_is_there_for_tests_in_any_case(self):
        self.configure(f'--target-list={TARGET}', '--install-stock')
        self.assertEqual(self.installed(), {'qemu-system-x86_64-remote'})
        self.assertIn('\nbuild qemu-system-x86_64: ', self.read('build/build.ninja'))


class Again(Tree):
    def setUp(self):
        super().setUp()
        self.configure()

    def test_nothing_touched_nothing_done(self):
        self.assertIn('no work to do', self.regenerate().stdout)

    def test_a_changed_profile(self):
        self.assertIn('CONFIG_SCSI_CD=y', self.config())
        self.replace(PROFILE, 'CONFIG_SCSI_CD=y', 'CONFIG_SCSI_CD=n')
        run = self.regenerate()
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertNotIn('CONFIG_SCSI_CD=y', self.config())
        self.assertNotIn('CONFIG_SCSI_CD', self.read(f'build/config/{TARGET}/default/config.h'))

        # And one that can't be had stops the build, until it is put right.
        self.replace(PROFILE, 'CONFIG_BLOCK_RAW=y', 'CONFIG_BLOCK_RAW=n')
        line = self.read(PROFILE).splitlines().index('CONFIG_SCSI_HD=y') + 1
        run = self.regenerate()
        self.assertNotEqual(run.returncode, 0)
        self.assertRegex(run.stdout, f'(?m)^{PROFILE}:{line}: CONFIG_SCSI_HD=y: it depends on')
        self.replace(PROFILE, 'CONFIG_BLOCK_RAW=n', 'CONFIG_BLOCK_RAW=y')
        self.assertEqual(self.regenerate().returncode, 0)

    def test_changed_kconfig_files(self):
        self.replace('remote/Kconfig', 'config MPQEMU\n',
                     'config EXTRA\n\tbool\n\tdefault y\n\nconfig MPQEMU\n')
        self.assertEqual(self.regenerate().returncode, 0)
        self.assertIn('CONFIG_EXTRA=y', self.config())
        self.assertIn('CONFIG_EXTRA=y', self.config('minimal'))
        self.replace('Kconfig', 'mainmenu', 'config TOP\n\tbool\n\tdefault y\n\nmainmenu')
        self.assertEqual(self.regenerate().returncode, 0)
        self.assertIn('CONFIG_TOP=y', self.config())

    def test_configure_forgets_what_it_was_told_before(self):
        text = self.configure('--enable-werror', '--with-devices-x86_64-remote=minimal')
        self.assertRegex(text, r'werror +: true\n')
        text = self.configure()
        self.assertRegex(text, r'werror +: false\n')
        self.assertRegex(text, r'with_devices *: *\n')

    def test_make_without_configure(self):
        shutil.rmtree(os.path.join(self.where, 'build'))
        run = self.call('make', '-n')
        self.assertIn('./configure', run.stdout)


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/kconfig.py: what a profile says is what the program gets, or configuration ends."""

import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

import tree

# There for profiles to state off; its code is not in this tree.
WITHOUT_CODE = {'TCG'}
# What a remote process is stripped of.
STRIPPED = {'TCG', 'KVM', 'QTEST', 'PC', 'PCI_PROXY'}

KCONFIG = '''\
config BUS
	bool

config ADAPTER
	bool "adapter"
	select BUS

config DISK
	bool "disk"
	depends on BUS && FORMAT

config FORMAT
	bool "format"

config ABSENT
	bool "absent"
	depends on n

config DEPTH
	int "depth"
	default 4
	range 1 64

config NAME
	string "name"
'''


def calls(text, function):
    """What stands in the parentheses of each call of a function in a meson.build file."""
    for part in text.split(function + '(')[1:]:
        depth = 1
        for end, char in enumerate(part):
            depth += (char == '(') - (char == ')')
            if not depth:
                yield part[:end]
                break


class Kconfig(unittest.TestCase):
    """Runs the script on a small tree of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.where = folder.name
        self.write('Kconfig', KCONFIG)
        self.write('t.mak', 'TARGET_ARCH=x\nTARGET_PROGRAM=prog\n')

    def write(self, name, text):
        with open(os.path.join(self.where, name), 'w', encoding='utf-8') as file:
            file.write(text)

    def read(self, name):
        with open(os.path.join(self.where, name), encoding='utf-8') as file:
            return file.read()

    def resolve(self, profile):
        self.write('p.mak', profile)
        return subprocess.run(
            [sys.executable, tree.path('scripts/kconfig.py'), '--kconfig',
             'Kconfig', '--target', 't.mak', '--profile', 'p.mak', '--header', 'config.h',
             'config.mak'],
            cwd=self.where, capture_output=True, text=True, check=False)

    def refused(self, profile):
        """The one line that a bad profile ends with."""
        run = self.resolve(profile)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.where, 'config.mak')))
        self.assertEqual(run.stderr.count('\n'), 1, run.stderr)
        return run.stderr.rstrip('\n')

    def accepted(self, profile):
        run = self.resolve(profile)
        self.assertEqual((run.returncode, run.stderr), (0, ''))
        return run.stdout


class Accepted(Kconfig):
    def test_writes_what_is_on(self):
        self.accepted('# a comment\n\nCONFIG_ADAPTER=y\nCONFIG_FORMAT=n\n')
        self.assertEqual(self.read('config.mak'),
                         'TARGET_ARCH=x\nTARGET_PROGRAM=prog\nTARGET_NAME=t\n'
                         'CONFIG_BUS=y\nCONFIG_ADAPTER=y\nCONFIG_DEPTH=4\n')
        header = self.read('config.h')
        for line in ('TARGET_PROGRAM "prog"', 'TARGET_NAME "t"', 'TARGET_PROFILE "p"',
                     'CONFIG_BUS 1', 'CONFIG_ADAPTER 1', 'CONFIG_DEPTH 4'):
            self.assertIn(f'#define {line}\n', header)
        self.assertNotIn('FORMAT', header)

    def test_order_does_not_matter(self):
        self.accepted('CONFIG_DISK=y\nCONFIG_FORMAT=y\nCONFIG_ADAPTER=y\n')
        self.assertIn('CONFIG_DISK=y\n', self.read('config.mak'))

    def test_the_same_twice(self):
        self.accepted('CONFIG_FORMAT=y\nCONFIG_FORMAT=y\n')

    def test_is_not_set(self):
        self.accepted('# CONFIG_ABSENT is not set\nCONFIG_ABSENT=n\n')

    def test_numbers_and_strings(self):
        self.accepted('CONFIG_DEPTH=64\nCONFIG_NAME="two words"\n')
        self.assertIn('#define CONFIG_DEPTH 64\n', self.read('config.h'))
        self.assertIn('#define CONFIG_NAME "two words"\n', self.read('config.h'))

    def test_prints_what_was_read(self):
        self.write('Kconfig', KCONFIG + 'source "sub/Kconfig"\n')
        os.mkdir(os.path.join(self.where, 'sub'))
        self.write('sub/Kconfig', 'config SUB\n\tbool "sub"\n')
        self.assertEqual(self.accepted('CONFIG_SUB=y\n').split(),
                         ['t.mak', 'p.mak', 'Kconfig', 'sub/Kconfig'])

    def test_an_equal_result_is_left_alone(self):
        self.accepted('CONFIG_ADAPTER=y\n')
        header = os.path.join(self.where, 'config.h')
        os.utime(header, (1, 1))
        self.accepted('CONFIG_ADAPTER=y\n# only a comment\n')
        self.assertEqual(os.stat(header).st_mtime, 1)
        self.accepted('CONFIG_ADAPTER=n\n')
        self.assertNotEqual(os.stat(header).st_mtime, 1)


class Refused(Kconfig):
    def test_unknown_symbol(self):
        self.assertEqual(self.refused('CONFIG_FORMAT=y\nCONFIG_FROMAT=y\n'),
                         'p.mak:2: CONFIG_FROMAT=y: there is no such symbol')

    def test_symbol_that_is_only_mentioned(self):
        self.write('Kconfig', KCONFIG + 'config X\n\tbool "x"\n\tdepends on BUS\n')
        self.assertEqual(self.refused('CONFIG_n=y\n'), 'p.mak:1: CONFIG_n=y: expected '
                         'CONFIG_NAME=VALUE')

    def test_unmet_dependency(self):
        self.assertEqual(self.refused('\nCONFIG_DISK=y\nCONFIG_FORMAT=y\n'),
                         'p.mak:2: CONFIG_DISK=y: it depends on BUS, not selected here')
        self.assertEqual(self.refused('CONFIG_DISK=y\n'),
                         'p.mak:1: CONFIG_DISK=y: it depends on BUS && FORMAT, not selected here')

    def test_symbol_without_code(self):
        self.assertEqual(self.refused('CONFIG_ABSENT=y\n'),
                         'p.mak:1: CONFIG_ABSENT=y: this tree has no code for it')

    def test_symbol_that_others_select(self):
        self.assertEqual(self.refused('CONFIG_BUS=y\n'),
                         "p.mak:1: CONFIG_BUS=y: it is n by what selects it, and can't be assigned")
        self.write('Kconfig', KCONFIG + 'config MORE\n\tbool "more"\n\tselect FORMAT\n')
        self.assertEqual(self.refused('CONFIG_MORE=y\nCONFIG_FORMAT=n\n'),
                         'p.mak:2: CONFIG_FORMAT=n: selected by MORE')

    def test_value_of_another_type(self):
        self.assertEqual(self.refused('CONFIG_FORMAT=yes\n'),
                         'p.mak:1: CONFIG_FORMAT=yes: not a value of type bool')
        self.assertEqual(self.refused('CONFIG_FORMAT=m\n'),
                         'p.mak:1: CONFIG_FORMAT=m: not a value of type bool')
        self.assertEqual(self.refused('CONFIG_FORMAT=\n'),
                         'p.mak:1: CONFIG_FORMAT=: not a value of type bool')
        self.assertEqual(self.refused('CONFIG_DEPTH=deep\n'),
                         'p.mak:1: CONFIG_DEPTH=deep: not a value of type int')

    def test_value_out_of_range(self):
        self.assertEqual(self.refused('CONFIG_DEPTH=65\n'),
                         'p.mak:1: CONFIG_DEPTH=65: out of its range')

    def test_assigned_twice(self):
        self.assertEqual(self.refused('CONFIG_FORMAT=y\nCONFIG_DEPTH=2\nCONFIG_FORMAT=n\n'),
                         'p.mak:3: CONFIG_FORMAT=n: p.mak:1 says y')

    def test_malformed_lines(self):
        for line in ('CONFIG_FORMAT', 'FORMAT=y', 'CONFIG_FORMAT y', 'CONFIG_FORMAT =y',
                     'include other.mak', '=y'):
            with self.subTest(line):
                self.assertEqual(self.refused('\n' + line + '\n'),
                                 f'p.mak:2: {line}: expected CONFIG_NAME=VALUE')

    def test_malformed_kconfig(self):
        self.write('Kconfig', 'config A\n\tbool "a"\n\tdepends on B\n')
        self.assertIn('Kconfig:1', self.refused_kconfig())
        self.write('Kconfig', 'config A\n\tbol "a"\n')
        self.assertIn('Kconfig:2', self.refused_kconfig())
        self.write('Kconfig', 'source "not/there"\n')
        self.assertIn('Kconfig:1', self.refused_kconfig())

    def refused_kconfig(self):
        run = self.resolve('')
        self.assertEqual(run.returncode, 1)
        self.assertNotIn('Traceback', run.stderr)
        return run.stderr

    def test_target_without_a_program(self):
        self.write('t.mak', 'TARGET_ARCH=x\n')
        self.assertEqual(self.refused(''), 't.mak: TARGET_PROGRAM is missing')

    def test_target_that_is_not_there(self):
        os.unlink(os.path.join(self.where, 't.mak'))
        self.assertIn('t.mak', self.refused(''))


class ThisTree(unittest.TestCase):
    """The symbols, files and profiles that the tree has."""

    def symbols(self):
        found = []
        for path in ['Kconfig'] + [name for name in tree.files(*tree.C_FOLDERS)
                                   if os.path.basename(name) == 'Kconfig']:
            found += re.findall(r'^(?:menu)?config (\w+)', tree.read(path), re.M)
        self.assertTrue(found)
        return found

    def test_each_symbol_selects_something(self):
        # A source, or a type whose code the linker drops when the registry doesn't name it.
        chosen = set(re.findall(r'^#ifdef CONFIG_(\w+)', tree.read('system/registry.c'), re.M))
        for path in tree.files(*tree.C_FOLDERS, suffixes=('meson.build',)):
            for call in calls(tree.read(path), 'ss.add'):
                when, _, sources = call.partition('if_true:')
                if re.search(r"'[\w-]+\.c'", sources):
                    chosen |= set(re.findall(r"'CONFIG_(\w+)'", when))
        self.assertEqual(set(self.symbols()) - chosen, WITHOUT_CODE)
        self.assertEqual(chosen - set(self.symbols()), set(), 'asked for, but in no Kconfig file')

    def test_each_kconfig_file_is_sourced(self):
        sourced = set(re.findall(r'^source "(.*)"', tree.read('Kconfig'), re.M))
        self.assertEqual({name for name in tree.files(*tree.C_FOLDERS)
                          if os.path.basename(name) == 'Kconfig'}, sourced)

    def test_the_distributor_is_told_of_each_symbol(self):
        rows = re.findall(r'^\| (`.*?) \|', tree.read('configs/devices/README.md'), re.M)
        told = {name for row in rows for name in re.findall(r'`([A-Z0-9_]+)`', row)}
        self.assertEqual(told, set(self.symbols()))

    def test_each_profile_resolves(self):
        profiles = glob.glob(tree.path('configs/devices/*/*.mak'))
        self.assertTrue(profiles)
        for profile in profiles:
            target = os.path.basename(os.path.dirname(profile))
            with self.subTest(profile), tempfile.TemporaryDirectory() as out:
                tree.run(sys.executable, tree.path('scripts/kconfig.py'),
                         '--kconfig', tree.path('Kconfig'),
                         '--target', tree.path(f'configs/targets/{target}.mak'),
                         '--profile', profile, os.path.join(out, 'config.mak'))

    def test_remote_profiles_state_the_board_and_accelerators_off(self):
        for profile in glob.glob(tree.path('configs/devices/*-remote-softmmu/*.mak')):
            with open(profile, encoding='utf-8') as file:
                lines = file.read().splitlines()
            for name in sorted(STRIPPED):
                with self.subTest(f'{profile} {name}'):
                    self.assertIn(f'CONFIG_{name}=n', lines)

    def test_the_stock_profile_has_all_that_the_remote_one_has(self):
        def selected(target):
            text = tree.read(f'configs/devices/{target}/default.mak')
            return set(re.findall(r'^CONFIG_(\w+)=y$', text, re.M))
        remote, stock = selected('x86_64-remote-softmmu'), selected('x86_64-softmmu')
        self.assertEqual(remote - stock, set())
        self.assertEqual(stock - remote, STRIPPED - WITHOUT_CODE)


if __name__ == '__main__':
    unittest.main()

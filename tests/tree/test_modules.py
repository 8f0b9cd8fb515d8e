# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules keep their libraries to themselves: the programs need none of them, and a module gives
one symbol away and asks the program for none that it doesn't export."""

import glob
import os
import re
import unittest

import tree

LIBRARIES = re.compile(r'lib(nbd|rbd|rados|z|zstd|gnutls)\.so')
PROGRAMS = ('QEMU_REMOTE', 'QEMU_REMOTE_MINIMAL', 'QEMU_REMOTE_TEST', 'QEMU_STOCK')

MODULES = ('block-nbd', 'block-rbd', 'codec-zlib', 'codec-zstd')


def defined(path):
    """Functions and data of the program itself."""
    rows = [line.split() for line in tree.run('nm', '--defined-only', path).splitlines()]
    return {row[2] for row in rows if len(row) == 3 and row[1] in 'TDBR'}


def dynamic(path, *kinds):
    """Dynamic symbols of the given kinds of nm."""
    text = tree.run('nm', '-D', '--without-symbol-versions', path)
    rows = [line.split()[-2:] for line in text.splitlines()]
    return {name for kind, name in rows if kind in kinds}


def needed(path):
    return re.findall(r'\(NEEDED\).*\[(.*)\]', tree.run('readelf', '-dW', path))


def programs():
    return [os.environ[name] for name in PROGRAMS if os.path.exists(os.environ.get(name, ''))]


class Modules(unittest.TestCase):
    def setUp(self):
        self.modules = glob.glob(os.path.join(tree.BUILD, 'block', '*-*.so'))
        if not self.modules:
            self.skipTest('no module is built')

    def test_the_programs_need_no_library_of_a_module(self):
        self.assertTrue(programs())
        for path in programs():
            with self.subTest(path):
                self.assertEqual([name for name in needed(path) if LIBRARIES.match(name)], [])

    def test_each_module_needs_its_library(self):
        for path in self.modules:
            with self.subTest(path):
                self.assertTrue([name for name in needed(path) if LIBRARIES.match(name)])

    def test_each_module_exports_one_symbol(self):
        for path in self.modules:
            with self.subTest(path):
                self.assertEqual(dynamic(path, 'D', 'T', 'B', 'R', 'V', 'W'), {'remote_module'})

    def test_modules_ask_for_what_the_list_has(self):
        listed = set(re.findall(r'^    (\w+);$', tree.read('block/module.exports'), re.M))
        for path in programs():
            with self.subTest(path):
                self.assertEqual(listed - dynamic(path, 'T', 'D', 'B', 'R'), set())
        if len(self.modules) < len(MODULES):
            self.skipTest('not all modules are built')
        asked = set().union(*(dynamic(path, 'U') for path in self.modules))
        own = {name for path in programs() for name in defined(path)}
        self.assertEqual(asked & own, listed)


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""The remote program is the stock one without its board: the profiles tell them apart, and nothing
of what was left out has come along. Prints both programs side by side."""

import os
import re
import unittest

import tree

# What a remote process has no use for, by the objects' names in the library of all sources.
STRIPPED = {
    'accel': re.compile(r'accel_'),
    'hw/i386': re.compile(r'hw_i386_'),
    'hw/proxy': re.compile(r'hw_proxy_'),
    'the memory map': re.compile(r'hw_core_memory-map'),
    'the board': re.compile(r'system_(board|memory-backend|pc-machine)'),
}
PROGRAMS = {'QEMU_REMOTE': 'remote', 'QEMU_REMOTE_MINIMAL': 'remote, minimal',
            'QEMU_STOCK': 'stock'}

COMMENTS = []


def program(variable):
    path = os.environ.get(variable)
    if not path or not os.path.exists(path):
        raise unittest.SkipTest(f'${variable} is not built')
    return path


def symbols(*command):
    """(type, name) of each defined symbol; several objects come as one."""
    text = tree.run('nm', '--defined-only', *command, cwd=tree.BUILD)
    return {tuple(line.split()[-2:]) for line in text.splitlines() if len(line.split()) == 3}


def functions(path):
    return {name for kind, name in symbols(path) if kind in 'tT'}


def sources(path):
    """Base names of the source files that something in the program is from."""
    text = tree.run('readelf', '-sW', path)
    return set(re.findall(r' FILE +LOCAL +DEFAULT +ABS (\S+\.c)$', text, re.M))


def needed(path):
    return sorted(re.findall(r'\(NEEDED\).*\[(.*)\]', tree.run('readelf', '-dW', path)))


def stripped_size(path):
    out = os.path.join(tree.BUILD, 'meson-private', f'strip-{os.getpid()}')
    tree.run('strip', '-o', out, path)
    try:
        return os.path.getsize(out)
    finally:
        os.unlink(out)


def library():
    """Object names in the library of all sources."""
    return tree.run('ar', 't', 'libcommon.a', cwd=tree.BUILD).split()


class Strip(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stock = program('QEMU_STOCK')
        cls.remotes = [program('QEMU_REMOTE'), program('QEMU_REMOTE_MINIMAL')]
        cls.objects = [os.path.join(tree.BUILD, name) for name in library()]

    def chosen(self, pattern):
        """Objects, external names and source files of a part."""
        objects = [name for name in self.objects if pattern.match(os.path.basename(name))]
        self.assertTrue(objects, 'there is no such part')
        names = {name for kind, name in symbols(*objects) if kind.isupper()}
        files = {os.path.basename(name).removesuffix('.c.o').split('_')[-1] + '.c'
                 for name in objects}
        return names, files

    def other_files(self):
        """Base names of sources that are no part of what is left out."""
        return {os.path.basename(name).removesuffix('.c.o').split('_')[-1] + '.c'
                for name in self.objects
                if not any(part.match(os.path.basename(name)) for part in STRIPPED.values())}

    def test_no_symbol_of_what_is_left_out(self):
        for path in self.remotes:
            own = {name for _, name in symbols(path)}
            for what, pattern in STRIPPED.items():
                with self.subTest(f'{os.path.basename(path)}: {what}'):
                    names, _ = self.chosen(pattern)
                    self.assertEqual(names & own, set())

    def test_no_code_from_its_files(self):
        # Functions that are static there have common names, so this goes by file.
        for path in self.remotes:
            for what, pattern in STRIPPED.items():
                with self.subTest(f'{os.path.basename(path)}: {what}'):
                    _, files = self.chosen(pattern)
                    self.assertEqual((files - self.other_files()) & sources(path), set())

    def test_the_stock_program_has_each_part(self):
        own = {name for _, name in symbols(self.stock)}
        for what, pattern in STRIPPED.items():
            with self.subTest(what):
                names, files = self.chosen(pattern)
                self.assertTrue(names & own)
                self.assertTrue(files & sources(self.stock))

    def test_the_remote_is_a_part_of_the_stock(self):
        # A compiler's own names (constprop, part, numbered statics) may differ by inlining.
        plain = {name for name in functions(self.remotes[0]) if '.' not in name}
        self.assertEqual(plain - functions(self.stock), set())

    def test_the_remote_needs_no_library_that_the_stock_does_not(self):
        for path in self.remotes:
            self.assertEqual(set(needed(path)) - set(needed(self.stock)), set())

    def test_the_remote_is_smaller(self):
        minimal, remote, stock = (stripped_size(path) for path in
                                  (self.remotes[1], self.remotes[0], self.stock))
        self.assertLess(minimal, remote)
        self.assertLess(remote, stock)

    def test_table(self):
        COMMENTS.append('| program | KiB, stripped | functions | libraries |')
        COMMENTS.append('|---|---|---|---|')
        for variable, name in PROGRAMS.items():
            path = program(variable)
            COMMENTS.append(f'| {name} | {stripped_size(path) / 1024:.0f} | '
                            f'{len(functions(path))} | {", ".join(needed(path))} |')
        self.assertEqual(len(COMMENTS), 5)


if __name__ == '__main__':
    unittest.main()

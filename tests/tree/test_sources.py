# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules that hold for every source file: licence, columns, headers, who may test CONFIG_*."""

import concurrent.futures
import os
import re
import subprocess
import unittest

import tree

unittest.TestCase.maxDiff = None

SPDX = 'SPDX-License-Identifier: GPL-2.0-or-later'
CORPUS = 'tests/fuzz/corpus/'  # recorded messages
NO_COMMENTS = ('.md', '.json', '.txt.in', '.bin', '.hex', '.out')


def c_files():
    return tree.files(*tree.C_FOLDERS, 'include', 'tests', suffixes=('.c', '.h'))


class Licence(unittest.TestCase):
    def test_each_file_names_it_in_its_first_lines(self):
        for path in list(tree.TOP_FILES) + tree.files(*tree.FOLDERS):
            if path.endswith(NO_COMMENTS) or path.startswith(CORPUS):
                continue
            with self.subTest(path), open(tree.path(path), encoding='utf-8') as file:
                first = [file.readline(), file.readline()]
                # A script's first line is the interpreter's.
                line = first[1] if first[0].startswith('#!') else first[0]
                self.assertIn(SPDX, line)


class Text(unittest.TestCase):
    def test_no_tab_no_trailing_blank_no_line_over_100_columns(self):
        wrong = []
        for path in c_files() + tree.files('scripts', 'tests', suffixes=('.py',)):
            for number, line in enumerate(tree.read(path).splitlines(), 1):
                tab = '\t' in line and not path.endswith('.py')
                if tab or len(line) > 100 or line != line.rstrip():
                    wrong.append(f'{path}:{number}')
        self.assertEqual(wrong, [])


class Tracked(unittest.TestCase):
    def test_only_the_corpus_is_not_text(self):
        """No dump, program or object has come along with a commit."""
        if not os.path.exists(tree.path('.git')):
            self.skipTest('not a clone of the repository')
        listed = subprocess.run(['git', 'ls-files', '-z'], stdout=subprocess.PIPE, text=True,
                                cwd=tree.ROOT, check=False)
        if listed.returncode:
            self.skipTest("git doesn't list this clone's files")
        wrong = []
        for path in listed.stdout.rstrip('\0').split('\0'):
            if path.startswith(CORPUS) or not os.path.isfile(tree.path(path)):
                continue
            with open(tree.path(path), 'rb') as file:
                if b'\0' in file.read(1 << 20):
                    wrong.append(path)
        self.assertEqual(wrong, [])


class Headers(unittest.TestCase):
    def compile_alone(self, path, flags):
        include = f'#include "{path.removeprefix("include/")}"\n' * 2
        command = flags + ['-Werror', '-fsyntax-only', '-x', 'c', '-']
        return path, subprocess.run(command, input=include, capture_output=True, text=True,
                                    cwd=tree.BUILD, check=False)

    def test_each_compiles_alone_and_twice(self):
        headers = tree.files('include', suffixes=('.h',))
        self.assertTrue(headers)
        flags = tree.compiler_flags()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for path, done in pool.map(lambda path: self.compile_alone(path, flags), headers):
                with self.subTest(path):
                    self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_source_includes_its_own_header_first(self):
        for path in tree.files(*tree.C_FOLDERS, suffixes=('.c',)):
            header = path.removesuffix('.c') + '.h'
            own = [name for name in (header, 'include/' + header)
                   if os.path.exists(tree.path(name))]
            if not own:
                continue
            with self.subTest(path):
                first = re.search(r'^#include ["<]([^">]+)', tree.read(path), re.M)
                self.assertEqual(os.path.basename(first[1]), os.path.basename(header))


class Config(unittest.TestCase):
    def test_only_the_registry_asks_what_is_selected(self):
        asking = [path for path in tree.files(*tree.C_FOLDERS, 'include', suffixes=('.c', '.h'))
                  if re.search(r'\bCONFIG_[A-Z]', tree.read(path))]
        self.assertEqual(asking, ['system/registry.c'])


class Build(unittest.TestCase):
    def test_each_source_is_compiled_once_and_the_registry_for_each_program(self):
        seen = {}
        for source, _, _ in tree.compile_commands():
            if not source.startswith('tests/'):
                seen[source] = seen.get(source, 0) + 1
        programs = seen.pop('system/registry.c')
        seen.pop('block/module-entry.c', None)  # for each module
        self.assertGreaterEqual(programs, 2, 'nothing shows that programs share objects')
        self.assertEqual({source: count for source, count in seen.items() if count > 1}, {})

    def test_each_source_is_built(self):
        seen = {source for source, _, _ in tree.compile_commands()}
        forgotten = set(tree.files(*tree.C_FOLDERS, suffixes=('.c',))) - seen
        self.assertEqual(forgotten, set())


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Each test that docs/devel, and the tables of drivers' features, name is there."""

import os
import re
import unittest

import tree

# `/lsi/bus/reselect`; `test-lsi-bus`, `test_linux`
PATH = re.compile(r'`(/(?!proc/|dev/|sys/)[a-z-]+/[\w/.-]+)`')
PROGRAM = re.compile(r'`((?:test|random)[-_][\w-]+)`')
# test-qcow2 (`chain`, `large`); in tables
TABLES = ('docs/block-drivers.md', 'docs/qcow2.md')
ROW = re.compile(r'\b((?:test|fuzz)[-_][\w-]+)(?: \(((?:`[\w-]+`(?:, )?)+)\))?')


class NamedTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        files = tree.files('tests', suffixes=('.c', '.py'))
        cls.programs = {os.path.splitext(os.path.basename(path))[0] for path in files}
        cls.sources = {name: '' for name in cls.programs}
        for path in files:
            cls.sources[os.path.splitext(os.path.basename(path))[0]] += tree.read(path)
        cls.text = '\n'.join(tree.read(path) for path in files if path.endswith('.c'))

    def exists(self, path):
        """As a literal, or put together from its group's format and a case's name."""
        group, _, case = path.rpartition('/')
        return f'"{path}"' in self.text or (f'"{group}/%s"' in self.text and
                                            f'"{case}"' in self.text)

    def test_named(self):
        for doc in tree.files('docs/devel', suffixes=('.md',)):
            text = tree.read(doc)
            for path in PATH.findall(text):
                with self.subTest(doc=doc, test=path):
                    self.assertTrue(self.exists(path))
            for name in PROGRAM.findall(text):
                with self.subTest(doc=doc, program=name):
                    self.assertIn(name, self.programs)

    def test_tables(self):
        for doc in TABLES:
            rows = ROW.findall('\n'.join(line for line in tree.read(doc).splitlines()
                                         if line.startswith('|')))
            self.assertGreater(len(rows), 20)
            for program, cases in rows:
                self.assertIn(program, self.programs, doc)
                for case in re.findall(r'`([\w-]+)`', cases):
                    with self.subTest(doc=doc, program=program, case=case):
                        self.assertRegex(self.sources[program],
                                         rf'["/]{case}[/"]|def test_{case}\(|class {case}\(')


if __name__ == '__main__':
    unittest.main()

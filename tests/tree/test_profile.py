# SPDX-License-Identifier: GPL-2.0-or-later
"""A symbol that is off is gone from everything that a user can ask the program for.

The registry is the one source that is compiled for each profile, so a profile without something is
the program linked anew with a registry that was compiled without it.
"""

import os
import re
import shlex
import subprocess
import tempfile
import unittest

import tree

PROGRAM = 'qemu-system-x86_64-remote'
OBJECT = f'{PROGRAM}.p/system_registry.c.o'
CONFIG = 'config/x86_64-remote-softmmu/default'


class WithoutCds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        with open(os.path.join(tree.BUILD, CONFIG, 'config.h'), encoding='utf-8') as file:
            config = file.read()
        assert '#define CONFIG_SCSI_CD ' in config
        with open(os.path.join(folder.name, 'config.h'), 'w', encoding='utf-8') as file:
            file.write(re.sub(r'#define CONFIG_SCSI_CD .*\n', '', config))
        compiled = os.path.join(folder.name, 'registry.o')
        [words] = [words for _, output, words in tree.compile_commands() if output == OBJECT]
        cls.call([compiled if word == OBJECT else
                  f'-I{folder.name}' if word == f'-I{CONFIG}' else word for word in words])
        linked = tree.run('ninja', '-C', tree.BUILD, '-t', 'commands', PROGRAM).splitlines()[-1]
        cls.program = os.path.join(folder.name, PROGRAM)
        cls.call([{OBJECT: compiled, PROGRAM: cls.program}.get(word, word)
                  for word in shlex.split(linked)])

    @staticmethod
    def call(words):
        subprocess.run(words, cwd=tree.BUILD, check=True)

    def says(self, *words, program=None, text=''):
        done = subprocess.run([program or self.program, *words], input=text, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.stdout

    def compare(self, pattern, *words, text=''):
        """What matches is in the program with CDs, and not in the one without."""
        whole = os.path.join(tree.BUILD, PROGRAM)
        self.assertRegex(self.says(*words, program=whole, text=text), pattern)
        said = self.says(*words, text=text)
        self.assertTrue(said)
        self.assertNotRegex(said, pattern)

    def test_device(self):
        self.compare('scsi-cd', '-device', 'help')

    def test_commands_for_people(self):
        for name in ('change', 'eject'):
            self.compare(rf'(?m)^{name} ', '-monitor', 'stdio', text='help\nquit\n')

    def test_commands_for_programs(self):
        for name in ('eject', 'blockdev-change-medium', 'DEVICE_TRAY_MOVED'):
            self.compare(name, '-qmp', 'help')

    def test_others_stay(self):
        self.assertRegex(self.says('-device', 'help'), 'scsi-hd')
        self.assertRegex(self.says('-monitor', 'stdio', text='help\nquit\n'), r'(?m)^device_add ')


if __name__ == '__main__':
    unittest.main()

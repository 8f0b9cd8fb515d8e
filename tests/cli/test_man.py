# SPDX-License-Identifier: GPL-2.0-or-later
"""The man pages say what the programs say of themselves: every option, and no other."""

import dataclasses
import re
import subprocess
import sys
import tempfile
import unittest

from remote import REMOTE, TOP, RemoteCase

sys.path.insert(0, str(TOP / 'scripts'))

import mpqemu_launcher  # noqa: E402 (its folder has to be on the path first)
from mpqemu_launcher import description  # noqa: E402


def man(name):
    return (TOP / 'docs/man' / f'{name}.rst').read_text(encoding='utf-8')


def bold(text, dashes):
    return set(re.findall(rf'\*\*{dashes}([A-Za-z][A-Za-z-]*)', text))


class Remote(RemoteCase):
    def test_options(self):
        usage = subprocess.run([REMOTE, '-help'], stdout=subprocess.PIPE, text=True,
                               check=True).stdout
        said = set()
        for line in re.findall(r'(?m)^-.*', usage):
            said.update(re.findall(r'(?:^|or )--?([A-Za-z][A-Za-z-]*)', line.split('  ')[0]))
        self.assertIn('machine', said)
        self.assertEqual(said, bold(man('qemu-system-x86_64-remote'), '--?'))


class Launcher(unittest.TestCase):
    def test_options(self):
        said = {word[2:] for action in mpqemu_launcher.parser()._actions
                for word in action.option_strings if word.startswith('--')}
        said.add('help')
        self.assertEqual(said, bold(man('mpqemu-launcher'), '--'))

    def test_keys(self):
        text = man('mpqemu-launcher')
        for kind in (description.Launch, description.Vm, description.Remote,
                     description.Function, description.Disk):
            for field in dataclasses.fields(kind):
                key = field.metadata['key'] or field.name.replace('_', '-')
                kind_of_key = field.metadata['kind']
                if not kind_of_key:
                    continue
                table = dataclasses.is_dataclass(kind_of_key) or (
                    isinstance(kind_of_key, tuple) and dataclasses.is_dataclass(kind_of_key[0]))
                pattern = rf'\[[a-z.]*{key}\]' if table else rf'(?m)^  {key} = '
                self.assertRegex(text, pattern)

    @unittest.skipIf(sys.version_info < (3, 11), 'a launcher file needs Python 3.11')
    def test_the_example_is_a_launcher_file(self):
        text = man('mpqemu-launcher')
        toml = re.search(r'(?s)::\n\n(  protocol = .*?)\n\nEXIT STATUS', text)[1]
        with tempfile.NamedTemporaryFile('w', suffix='.toml') as file:
            file.write(re.sub(r'(?m)^  ', '', toml))
            file.flush()
            launch = mpqemu_launcher.config.load(file.name)
        self.assertEqual(launch.remotes[0].functions[0].disks[0].scsi_id, 0)
        self.assertEqual(launch.vm.memory, '2G')


if __name__ == '__main__':
    unittest.main()

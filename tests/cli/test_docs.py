# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documents show works: command lines serve, goals and links exist."""

import json
import re
import shlex
import signal
import subprocess
import time
import unittest
from xml.etree import ElementTree

from remote import DEADLINE, REMOTE, TOP, RemoteCase

DOCS = [*TOP.glob('*.md'), *TOP.glob('docs/**/*.md'), *TOP.glob('docs/man/*.rst'),
        *TOP.glob('configs/**/*.md')]
PROGRAM = 'qemu-system-x86_64-remote'


def text(path):
    return path.read_text(encoding='utf-8')


def command_lines():
    """Every one of the program in a document, and that of the unit's example."""
    for path in DOCS:
        joined = text(path).replace('\\\n', ' ')
        for line in re.findall(rf'(?m)^ *{PROGRAM} (-.*)$', joined):
            if '...' not in line:
                yield path, shlex.split(line.rstrip(' &'))
        for line in re.findall(r'(?m)^OPTIONS=(.*)$', joined):
            yield path, shlex.split(line)


class CommandLines(RemoteCase):
    def serve(self, words):
        """Starts it on files and sockets of the case's own folder; it must serve, and end well."""
        folder = str(self.folder)
        for name in ('disk.img', 'system.img', 'data.img', 'vm1.img'):
            with open(f'{folder}/{name}', 'wb') as image:
                image.truncate(1 << 20)
        words = [re.sub(r'/(run|var/lib)/(qemu-remote/vm1|qemu-remote|vm)/', f'{folder}/', word)
                 for word in words]
        sockets = re.findall(r'path=([^,]+)', ' '.join(words))
        self.assertTrue(sockets, words)
        with subprocess.Popen([REMOTE, *words], cwd=folder, stderr=subprocess.PIPE,
                              text=True) as process:
            end = time.monotonic() + DEADLINE
            while process.poll() is None and time.monotonic() < end:
                if all((self.folder / name).exists() for name in sockets):
                    break
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read()
        self.assertEqual(process.returncode, 0, said)

    def test_they_serve(self):
        found = 0
        for path, words in command_lines():
            with self.subTest(path=str(path), words=words):
                self.serve(words)
            found += 1
        self.assertGreater(found, 3)


class Names(unittest.TestCase):
    def test_goals(self):
        goals = set(re.findall(r'(?m)^([a-z-]+):', text(TOP / 'Makefile')))
        goals |= {f'check-{suite}' for suite in ('unit', 'tree', 'cli', 'wire', 'device', 'fuzz')}
        for path in DOCS:
            for goal in re.findall(r'`make ([a-z-]+)', text(path)):
                self.assertIn(goal, goals, path)

    def test_links(self):
        for path in DOCS:
            for link in re.findall(r'\]\(([^)#]+)', text(path)):
                if '://' not in link:
                    self.assertTrue((path.parent / link).exists(), f'{path}: {link}')

    def test_xml_and_json(self):
        """Of libvirt's domains: well-formed, and so is the JSON in them."""
        found = 0
        for path in DOCS:
            for block in re.findall(r'(?ms)^```xml\n(.*?)^```', text(path)):
                names = ' '.join(f'xmlns:{name}="x"' for name in set(re.findall(r'<(\w+):', block))
                                 if f'xmlns:{name}=' not in block)
                document = ElementTree.fromstring(f'<document {names}>{block}</document>')
                for element in document.iter():
                    value = element.get('value') or ''
                    if value.startswith('{'):
                        json.loads(value)
                        found += 1
        self.assertGreater(found, 0)

    def test_headings(self):
        """One that is there twice is a sign of a page that was mended in the wrong place."""
        for path in DOCS:
            code = re.sub(r'(?ms)^ *```.*?^ *```', '', text(path))
            headings = re.findall(r'(?m)^##? .*$', code)
            self.assertEqual(len(headings), len(set(headings)), path)

    def test_files(self):
        for path in DOCS:
            for name in re.findall(r'`((?:scripts|tests|hw|block|include|system|remote|util)/'
                                   r'[a-z0-9_./-]+\.[a-z]+)`', text(path)):
                self.assertTrue((TOP / name).exists(), f'{path}: {name}')


if __name__ == '__main__':
    unittest.main()

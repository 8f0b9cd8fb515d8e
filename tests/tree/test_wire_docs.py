# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/devel/wire-protocols.md has every command of the headers, with its number, and no other."""

import re
import unittest

import tree

DOC = 'docs/devel/wire-protocols.md'


def commands(header, prefix):
    """Name to number of an enum's members; those without a number end it."""
    text = tree.read(f'include/remote/{header}')
    text = text[text.index('typedef enum'):text.index('typedef struct')]
    return {name: int(number)
            for name, number in re.findall(rf'{prefix}_([A-Z_]+) = (\d+)', text)}


def section(title):
    return re.search(rf'(?ms)^## {title}$(.*?)(?=^## |\Z)', tree.read(DOC))[1]


class Commands(unittest.TestCase):
    def documented(self, title):
        """Of the table's rows, and of the sentence about what is not supported."""
        found = re.findall(r'(?m)^\| (\d+) \| ([A-Z_]+) \|', section(title))
        for sentence in re.findall(r'(?s)Not supported.*?\.\n', section(title)):
            found += re.findall(r'(\d+)\s([A-Z_]{4,})', sentence)
        return {name: int(number) for number, name in found}

    def test_mpqemu(self):
        self.assertEqual(self.documented('mpqemu'), commands('mpqemu-proto.h', 'MPQ'))

    def test_vfio_user(self):
        self.assertEqual(self.documented('vfio-user'), commands('vfio-user-proto.h', 'VFU'))


if __name__ == '__main__':
    unittest.main()

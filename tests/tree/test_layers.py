# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree keeps to its layers, and scripts/check-layers sees it when one doesn't."""

import os
import subprocess
import tempfile
import unittest

import tree


def check_layers(where):
    return subprocess.run([tree.path('scripts/check-layers'), where], capture_output=True,
                          text=True, check=False)


class ThisTree(unittest.TestCase):
    def test_has_no_violation(self):
        run = check_layers(tree.ROOT)
        self.assertEqual(run.returncode, 0, run.stdout)


class MadeUpTrees(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.where = folder.name
        self.add('include/util/fd.h')
        self.add('include/block/block.h')
        self.add('include/remote/link.h')
        self.add('include/hw/scsi/scsi.h')
        self.add('include/hw/scsi/lsi.h')

    def add(self, path, *lines):
        path = os.path.join(self.where, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(''.join(line + '\n' for line in lines))

    def violations(self):
        run = check_layers(self.where)
        lines = run.stdout.splitlines() if run.returncode else []
        self.assertEqual(run.stderr, '')
        return lines

    def test_lower_rank_and_own_module_are_fine(self):
        self.add('hw/scsi/lsi-regs.h')
        self.add('hw/scsi/lsi.c', '#include "hw/scsi/lsi.h"', '#include "lsi-regs.h"',
                 '#include "hw/scsi/lsi-regs.h"', '#include "hw/scsi/scsi.h"',
                 '#include "util/fd.h"', '#include <stdio.h>')
        self.assertEqual(self.violations(), [])

    def test_higher_rank(self):
        self.add('hw/scsi/scsi-bus.c', '', '#include "hw/scsi/lsi.h"')
        self.assertEqual(self.violations(), [
            'hw/scsi/scsi-bus.c:2: '
            'hw/scsi (rank 2) includes hw/scsi/lsi.h of hw/scsi/lsi (rank 3)'])

    def test_equal_rank_of_another_module(self):
        self.add('block/block.c', '#include "remote/link.h"')
        self.assertEqual(self.violations(), [
            'block/block.c:1: block (rank 1) includes remote/link.h of remote/link (rank 1)'])

    def test_header_counts_as_its_module(self):
        self.add('include/util/log.h', '#  include "block/block.h"')
        self.assertEqual(self.violations(), [
            'include/util/log.h:1: util (rank 0) includes block/block.h of block (rank 1)'])

    def test_private_header_of_another_module(self):
        self.add('util/fd-internal.h')
        self.add('block/block.c', '#include "util/fd-internal.h"')
        self.assertEqual(self.violations(),
                         ['block/block.c:1: util/fd-internal.h is private to util'])

    def test_folder_without_a_rank(self):
        self.add('hw/net/nic.c', '#include "util/fd.h"')
        self.assertEqual(self.violations(), ['hw/net/nic.c:1: belongs to no layer'])

    def test_header_that_is_not_there(self):
        self.add('util/fd.c', '#include "util/df.h"')
        self.assertEqual(self.violations(), ['util/fd.c:1: util/df.h: no such header'])

    def test_target_config_is_for_the_registry_alone(self):
        self.add('system/registry.c', '#include "config.h"')
        self.add('system/main.c', '#include "config-host.h"', '#include "config.h"')
        self.assertEqual(self.violations(),
                         ['system/main.c:2: only system/registry.c may include config.h'])

    def test_an_empty_tree_does_not_pass(self):
        with tempfile.TemporaryDirectory() as empty:
            self.assertEqual(check_layers(empty).returncode, 1)


if __name__ == '__main__':
    unittest.main()

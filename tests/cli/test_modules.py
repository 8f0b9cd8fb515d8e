# SPDX-License-Identifier: GPL-2.0-or-later
"""-preload, and which files of which folder the program takes for its modules."""

import os
import shutil
import unittest
from pathlib import Path

from remote import PROGRAM, REMOTE, RemoteCase

MODULE = 'codec-zlib.so'
NOTHING = f'{PROGRAM}: nothing to serve: no -object is given (see -object help)\n'
MARK = b'qemu-remote-build:'


class Modules(RemoteCase):
    """A copy of the program and of one module, each in its place of a build folder."""

    def setUp(self):
        super().setUp()
        module = Path(REMOTE).parent / 'block' / MODULE
        if not module.exists():
            self.skipTest(f'{module} is not built')
        self.binary = str(self.folder / PROGRAM)
        shutil.copy(REMOTE, self.binary)
        self.modules = self.folder / 'block'
        self.modules.mkdir(0o755)
        self.module = self.modules / MODULE
        shutil.copy(module, self.module)

    def preload(self, name='zlib'):
        result = self.run_remote('-preload', name)
        self.assertEqual((result.returncode, result.stdout), (1, ''))
        return result.stderr

    def refused(self, words):
        self.assertRegex(self.preload(), f'^{PROGRAM}: -preload zlib: {words}\n\\Z')

    def test_loaded(self):
        self.assertEqual(self.preload(), NOTHING)

    def test_listed(self):
        result = self.run_remote('-preload', 'help')
        self.assertEqual((result.returncode, result.stderr), (0, ''))
        self.assertRegex(result.stdout, r'(?m)^zlib +\S')

    def test_not_installed(self):
        self.module.unlink()
        self.refused(f"Module 'zlib' is not installed: there is no {MODULE} in "
                     f'{self.modules} or /.*')

    def test_from_another_build(self):
        data = bytearray(self.module.read_bytes())
        start = data.index(MARK) + len(MARK)
        data[start:start + 1] = b'0' if data[start:start + 1] != b'0' else b'1'
        self.module.write_bytes(data)
        self.refused(f"Module 'zlib' can't be loaded: '{self.module}' is from another build of "
                     'this program')

    def test_another_module(self):
        other = Path(REMOTE).parent / 'block/codec-zstd.so'
        if not other.exists():
            self.skipTest(f'{other} is not built')
        shutil.copy(other, self.module)
        self.refused(f"Module 'zlib' can't be loaded: '{self.module}' is not the module 'zlib'")

    def test_no_module_at_all(self):
        stamp = Path(self.binary).read_bytes()
        start = stamp.index(MARK)
        self.module.write_bytes(stamp[start:start + len(MARK) + 64])
        self.refused(f"Module 'zlib' can't be loaded: {self.module}: .*")

    def test_folder_that_anybody_can_write_to(self):
        self.modules.chmod(0o777)
        self.refused("Module 'zlib' is not installed: .*")

    def test_folder_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest('only root gives a folder away')
        os.chown(self.modules, 65534, 65534)
        self.refused("Module 'zlib' is not installed: .*")

    def test_folder_that_is_a_link(self):
        self.modules.rename(self.folder / 'elsewhere')
        self.modules.symlink_to(self.folder / 'elsewhere')
        self.refused("Module 'zlib' is not installed: .*")


if __name__ == '__main__':
    unittest.main()

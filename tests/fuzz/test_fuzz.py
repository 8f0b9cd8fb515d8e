# SPDX-License-Identifier: GPL-2.0-or-later
"""libFuzzer on the codecs, 60 s each, with ASan and UBSan, beginning with the corpus."""

import glob
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HERE = TOP / 'tests/fuzz'
SECONDS = int(os.environ.get('FUZZ_SECONDS', '60'))
FLAGS = ['-std=gnu11', '-g', '-O1', '-D_GNU_SOURCE', '-fsanitize=fuzzer,address,undefined',
         '-fno-sanitize-recover=all']
LIBRARIES = ['glib-2.0', 'jansson']
# What stands below the codecs.
SOURCES = ['util/*.c', 'hw/core/device.c', 'hw/core/guest-memory*.c', 'hw/pci/*.c', 'remote/*.c']


class Fuzz(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which('clang'):
            raise unittest.SkipTest('no clang')
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        empty = Path(cls.folder.name) / 'empty.c'
        empty.write_text('int LLVMFuzzerTestOneInput(const char *p, unsigned long n);'
                         'int LLVMFuzzerTestOneInput(const char *p, unsigned long n)'
                         '{ return !p && n; }')
        done = subprocess.run(['clang', *FLAGS, str(empty), '-o', str(empty.with_suffix(''))],
                              stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise unittest.SkipTest("clang's runtime has no libFuzzer here (libclang-rt-dev)")

    def fuzz(self, name):
        folder = Path(self.folder.name) / name
        folder.mkdir()
        program = folder / 'fuzz'
        config = subprocess.check_output(['pkg-config', '--cflags', '--libs', *LIBRARIES],
                                         text=True).split()
        sources = [path for pattern in SOURCES for path in glob.glob(str(TOP / pattern))]
        subprocess.run(['clang', *FLAGS, f'-I{TOP}', f'-I{TOP}/include', f'-I{TOP}/tests/unit',
                        str(HERE / f'fuzz-{name}.c'), *sources, *config, '-o', str(program)],
                       check=True)
        found = folder / 'found'
        found.mkdir()
        done = subprocess.run(
            [str(program), f'-max_total_time={SECONDS}', '-timeout=10', '-rss_limit_mb=1024',
             '-max_len=8192', '-print_final_stats=1', f'-artifact_prefix={folder}/', str(found),
             str(HERE / 'corpus' / name)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            inputs = [f'{path.name}: {path.read_bytes().hex()}' for path in folder.glob('*-*')]
            self.fail('\n'.join([done.stdout.decode(errors='replace')[-6000:], *inputs]))

    def test_mpqemu(self):
        self.fuzz('mpqemu')

    def test_vfio_user(self):
        self.fuzz('vfio-user')


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""libFuzzer on codecs, qcow2 images, QMP and the LSI, 60 s each, with ASan and UBSan.

FUZZ_SECONDS=0 lets it work until it is stopped. What it finds is kept in FUZZ_KEEP, if that names a
folder.
"""

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
LIBRARIES = ['glib-2.0', 'gmodule-no-export-2.0', 'jansson']
# What stands below all, the codecs, and the LSI with its targets on a driver of the test's.
COMMON = ['util/*.c', 'hw/core/device.c', 'hw/core/guest-memory*.c', 'hw/pci/*.c']
CODECS = ['remote/*.c']
# Not modules, nor what needs liburing.
LEFT_OUT = ('codec-*.c', 'engine-io-uring.c', 'module-entry.c', 'nbd*.c', 'rbd.c')
BLOCK = [f'block/{path.name}' for path in TOP.glob('block/*.c')
         if not any(path.match(pattern) for pattern in LEFT_OUT)]
LSI = ['hw/scsi/*.c', 'tests/fuzz/lsi-machine.c', 'tests/fuzz/lsi-program.c', *BLOCK]
QCOW2 = BLOCK
QMP = ['monitor/*.c', 'hw/scsi/scsi*.c', *BLOCK]


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

    def fuzz(self, name, below, corpus=True):
        folder = Path(self.folder.name) / name
        folder.mkdir()
        program = folder / 'fuzz'
        config = subprocess.check_output(['pkg-config', '--cflags', '--libs', *LIBRARIES],
                                         text=True).split()
        sources = [path for pattern in [*COMMON, *below] for path in glob.glob(str(TOP / pattern))]
        subprocess.run(['clang', *FLAGS, f'-I{TOP}', f'-I{TOP}/include', f'-I{TOP}/tests/unit',
                        str(HERE / f'fuzz-{name}.c'), *sources, *config, '-o', str(program)],
                       check=True)
        found = Path(os.environ.get('FUZZ_KEEP', folder)) / 'found'
        found.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [str(program), f'-max_total_time={SECONDS}', '-timeout=10', '-rss_limit_mb=1024',
             '-max_len=8192', '-print_final_stats=1', f'-artifact_prefix={folder}/', str(found),
             *([str(HERE / 'corpus' / name)] if corpus else [])],
            stdout=subprocess.PIPE if SECONDS else None, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            inputs = [f'{path.name}: {path.read_bytes().hex()}' for path in folder.glob('*-*')]
            output = (done.stdout or b'').decode(errors='replace')
            self.fail('\n'.join([output[-6000:], *inputs]))

    def test_mpqemu(self):
        self.fuzz('mpqemu', CODECS)

    def test_qcow2(self):
        self.fuzz('qcow2', QCOW2)

    def test_qmp(self):
        self.fuzz('qmp', QMP)

    def test_vfio_user(self):
        self.fuzz('vfio-user', CODECS)

    def test_lsi(self):
        self.fuzz('lsi', LSI, corpus=False)


if __name__ == '__main__':
    unittest.main()

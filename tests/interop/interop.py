# SPDX-License-Identifier: GPL-2.0-or-later
"""What the interop tests share: the programs, the launcher, a folder for each case."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / 'scripts'))

import guestkit  # noqa: E402 (its folder has to be on the path first)

launcher = guestkit.load_launcher()

REMOTE = os.environ.get('QEMU_REMOTE') or str(TOP / 'build/qemu-system-x86_64-remote')
VM = os.environ.get('QEMU_VM') or 'qemu-system-x86_64'


def assemble(source, target, start, **symbols):
    """Turns one .S file into the bytes it stands for, linked to run at an address."""
    for tool in ('as', 'ld'):
        if not shutil.which(tool):
            raise unittest.SkipTest(f'{tool} (binutils) is not installed')
    unit = f'{target}.o'
    defined = [f'--defsym={name}={value}' for name, value in symbols.items()]
    subprocess.run(['as', *defined, '-o', unit, str(source)], check=True)
    subprocess.run(['ld', '-m', 'elf_x86_64', f'-Ttext={start:#x}', '--oformat=binary', '-e', '0',
                    '-o', str(target), unit], check=True)
    return Path(target).read_bytes()


def proxy_needs_kvm():
    """Whether the VM's x-pci-proxy-dev is one of those that crash at start under TCG.

    That of 7.2 does not, that of 11.1 does; whoever has vfio-user-pci counts as the latter.
    """
    return launcher.has(VM, '-device', 'vfio-user-pci,help', 'vfio-user-pci')


class InteropCase(unittest.TestCase):
    """A case with a folder of its own and, unless it says otherwise, a remote and a VM."""

    programs = (REMOTE, VM)
    deadline = 60

    @classmethod
    def class_folder(cls):
        """A folder for all cases of the class."""
        folder = tempfile.TemporaryDirectory(prefix='mpqit')
        cls.addClassCleanup(folder.cleanup)
        return Path(folder.name)

    def setUp(self):
        for program in self.programs:
            if not shutil.which(program):
                self.skipTest(f'{program} is not there')
        folder = tempfile.TemporaryDirectory(prefix='mpqit')
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def comment(self, text):
        print(text, file=sys.stderr, flush=True)

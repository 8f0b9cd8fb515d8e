# SPDX-License-Identifier: GPL-2.0-or-later
"""The bare-metal guest of tests/guest on every pair of board and adapter: the same block checksums.

The guest drives the LSI by SCRIPTS, polled and by interrupts, and tells on port 0xe9 and on the
serial port what it finds. What it has to say follows from the disk that is made here, so each run
is checked against the same words; a run that delivers interrupts also against their count.
"""

import functools
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

from interop import REMOTE, TOP, VM, InteropCase

STOCK = os.environ.get('QEMU_STOCK') or str(TOP / 'build/qemu-system-x86_64')
GUEST = TOP / 'tests/guest'
SOURCES = ('start.S', 'platform.c', 'lsi.c', 'main.c')
CFLAGS = ('-m32', '-march=i686', '-std=gnu11', '-Os', '-Wall', '-Wextra', '-Werror',
          '-ffreestanding', '-mgeneral-regs-only', '-fno-pic', '-fno-stack-protector',
          '-fcf-protection=none', '-fno-asynchronous-unwind-tables')
LDFLAGS = ('-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none', '-Wl,-z,noexecstack',
           '-Wl,--no-warn-rwx-segments')

BLOCKS = 4096
PASSED = 0x10 << 1 | 1      # the exit status that isa-debug-exit makes of the guest's
DEADLINE = 40.0             # seconds of one run; a software KVM takes 6
APPEND = 'checked by test_guest'

# (mode, writes, first block, blocks), as in the guest's main.c.
TRANSFERS = (
    ('polled', False, 0, 1), ('polled', False, 5, 8), ('polled', False, 1000, 64),
    ('polled', True, 2000, 2), ('polled', False, 1999, 4),
    ('interrupt', False, 0, 1), ('interrupt', False, 1000, 64), ('tagged', False, 7, 3),
    ('tagged', True, 2010, 16), ('tagged', False, 2009, 18),
    ('interrupt', True, 2012, 1), ('interrupt', False, 2000, 32),
)
INTERRUPTS = sum(mode != 'polled' for mode, *_ in TRANSFERS)

# The last 16 bytes of a ROM, where a PC's CPU starts: mov $0x21, %al; out %al, $0xf4; hlt; jmp.
PROBE_ROM = bytes(65536 - 16) + b'\xb0\x21\xe6\xf4\xf4\xeb\xfd' + bytes(9)
PROBE_PASSED = 0x21 << 1 | 1


@functools.lru_cache(maxsize=None)
def kvm_refusal():
    """Why KVM runs no guest here, or None: found out by running one of four instructions."""
    try:
        with open('/dev/kvm', 'r+b', buffering=0):
            pass
    except OSError as err:
        return f'/dev/kvm: {err.strerror}'
    if not shutil.which(VM):
        return None
    rom = os.memfd_create('probe')
    try:
        os.write(rom, PROBE_ROM)
        done = subprocess.run(
            [VM, '-accel', 'kvm', '-m', '16', '-nodefaults', '-no-user-config', '-display', 'none',
             '-bios', f'/proc/self/fd/{rom}', '-device', 'isa-debug-exit,iobase=0xf4,iosize=1'],
            pass_fds=[rom], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=DEADLINE, check=False)
    except subprocess.TimeoutExpired:
        return 'a guest of four instructions does not end under KVM'
    finally:
        os.close(rom)
    if done.returncode != PROBE_PASSED:
        return f'KVM runs no guest here: {done.stderr.strip() or done.returncode}'
    return None


def build(folder):
    """Compiles the guest; returns its path."""
    if not shutil.which('gcc') or not shutil.which('ld'):
        raise unittest.SkipTest('gcc and ld are needed to make the guest')
    image = folder / 'guest.elf'
    trial = subprocess.run(['gcc', *CFLAGS[:2], '-x', 'c', '-c', '-o', str(image), '-'],
                           input='int x;', capture_output=True, text=True, check=False)
    if trial.returncode:
        raise unittest.SkipTest(f'gcc makes no 32-bit code: {trial.stderr.strip()}')
    subprocess.run(['gcc', *CFLAGS, *LDFLAGS, f'-Wl,-T,{GUEST}/guest.ld', '-o', str(image),
                    *(str(GUEST / name) for name in SOURCES)], check=True)
    return image


def checksum(data):
    """As the guest's sum()."""
    total = 0
    for word, in struct.iter_unpack('<I', data):
        total = ((total << 5 | total >> 27) + word) & 0xffffffff
    return total


def written(number, block, blocks):
    """As the guest's fill()."""
    return b''.join(struct.pack('<I', ((block * 128 + i) * 2654435761 + number) & 0xffffffff)
                    for i in range(blocks * 128))


class Disk:
    """The image before the guest, and what it has to make of it."""

    def __init__(self):
        self.before = b''.join(struct.pack('<I', (i * 2246822519 + 12345) & 0xffffffff)
                               for i in range(BLOCKS * 128))
        data = bytearray(self.before)
        self.lines = []
        for number, (mode, writes, block, blocks) in enumerate(TRANSFERS):
            part = slice(block * 512, (block + blocks) * 512)
            if writes:
                data[part] = written(number, block, blocks)
            what = 'write' if writes else 'read'
            self.lines.append(f'{mode} {what} {block}+{blocks} sum {checksum(data[part]):08x}')
        self.after = bytes(data)


class GuestCase(InteropCase):
    programs = ()

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix='mpqguest')
        cls.addClassCleanup(folder.cleanup)
        cls.guest = build(Path(folder.name))
        cls.disk = Disk()

    def setUp(self):
        super().setUp()
        self.image = self.folder / 'disk.img'
        self.image.write_bytes(self.disk.before)
        self.console = self.folder / 'console'
        self.serial = self.folder / 'serial'

    def need(self, *programs, kvm=True):
        for program in programs:
            if not shutil.which(program):
                self.skipTest(f'{program} is not there')
        if kvm and kvm_refusal():
            self.skipTest(kvm_refusal())

    # --- command lines ---

    def disk_args(self):
        return ['-device', 'lsi53c895a,id=lsi0',
                '-drive', f'if=none,id=drive0,format=raw,file={self.image}',
                '-device', 'scsi-hd,drive=drive0,bus=lsi0.0,scsi-id=0']

    def common_args(self, program, accel, kernel):
        return [program, '-accel', accel, '-m', '32M', '-nodefaults', '-display', 'none',
                '-kernel', str(kernel), '-append', APPEND, '-debugcon', f'file:{self.console}',
                '-serial', f'file:{self.serial}']

    def stock_args(self, kernel):
        return [*self.common_args(STOCK, 'kvm', kernel), '-machine', 'pc']

    def distribution_args(self, accel):
        return [*self.common_args(VM, accel, self.guest), '-no-user-config', '-no-reboot',
                '-machine', 'pc,memory-backend=mem',
                '-object', 'memory-backend-memfd,id=mem,size=32M,share=on',
                '-device', 'isa-debug-exit,iobase=0x501,iosize=2']

    # --- running ---

    def finish(self, process, what):
        try:
            _, errors = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            _, errors = process.communicate()
            self.fail(f'{what} did not end in {DEADLINE:.0f} s:\n{errors}\n{self.said()}')
        return process.returncode, errors

    def start(self, argv, fds=()):
        process = subprocess.Popen(argv, pass_fds=fds, stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   errors='replace')
        self.addCleanup(self.reap, process)
        return process

    @staticmethod
    def reap(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def run_local(self, argv):
        return self.finish(self.start([*argv, *self.disk_args()]), 'the machine')

    def run_remote(self, argv, vfio_user=False):
        """The machine with x-pci-proxy-dev, and our remote on the other end."""
        here, there = socket.socketpair()
        with here, there:
            remote = self.start(
                [REMOTE, '-machine', 'x-remote' + (',vfio-user=on' if vfio_user else ''),
                 '-nodefaults', '-display', 'none', *self.disk_args(),
                 '-object', ('x-vfio-user-server,id=robj0,device=lsi0' if vfio_user else
                             'x-remote-object,id=robj0,devid=lsi0') + f',fd={there.fileno()}'],
                [there.fileno()])
            machine = self.start(
                [*argv, '-device', f'x-pci-proxy-dev,id=lsi0,fd={here.fileno()}' +
                 (',protocol=vfio-user' if vfio_user else '')], [here.fileno()])
        ended = self.finish(machine, 'the machine')
        status, errors = self.finish(remote, 'the remote')
        self.assertEqual(status, 0, errors)
        return ended

    # --- what came of it ---

    def said(self):
        if not self.console.exists():
            return ''
        return self.console.read_text(encoding='utf-8', errors='replace')

    def check(self, ended, interrupts, start='multiboot', others='idle 0 spurious 0'):
        status, errors = ended
        text = self.said()
        self.assertEqual(status, PASSED, f'{errors}\n{text}')
        # A firmware's own words may come first.
        lines = text[text.index('start '):].splitlines()
        self.assertEqual(lines[0].split()[1], start)
        self.assertTrue(lines[0].endswith(f'{APPEND}]'), lines[0])
        self.assertEqual(lines[1], 'lsi 00121000 class 010000 bars 256 1024 8192')
        self.assertEqual(lines[2], f'disk [QEMU    QEMU HARDDISK   ] {BLOCKS} blocks of 512')
        self.assertEqual([line for line in lines if ' sum ' in line], self.disk.lines)
        self.assertRegex(lines[-2], rf'^interrupts {interrupts} {others}$')
        self.assertEqual('no interrupt: polling' in lines, interrupts == 0)
        self.assertEqual(lines[-1], 'passed')
        self.assertIn('\n'.join(lines[1:]), self.serial.read_text(errors='replace'))
        self.assertEqual(self.image.read_bytes(), self.disk.after)


class GuestOnOurBoard(GuestCase):
    def test_local(self):
        self.need(STOCK)
        self.check(self.run_local(self.stock_args(self.guest)), INTERRUPTS)

    def test_proxy(self):
        """Interrupts by irqfd: each line the guest routes to is bound in turn."""
        self.need(STOCK, REMOTE)
        ended = self.run_remote([*self.stock_args(self.guest), '-d', 'irq'])
        self.check(ended, INTERRUPTS)
        for line in (11, 10):
            self.assertRegex(ended[1], rf'irqfd [0-9]+ on GSI {line}\b')
        self.assertRegex(ended[1], r'irqfd [0-9]+ leaves GSI 11\b')

    def test_proxy_vfio_user(self):
        """The same in the other protocol: the resample descriptor is what unmasks."""
        self.need(STOCK, REMOTE)
        self.check(self.run_remote(self.stock_args(self.guest), vfio_user=True), INTERRUPTS)

    def test_pvh(self):
        """Without its multiboot header the image starts by its PVH note."""
        self.need(STOCK)
        image = self.guest.read_bytes()
        kernel = self.folder / 'pvh.elf'
        kernel.write_bytes(image.replace(struct.pack('<I', 0x1badb002), bytes(4), 1))
        self.check(self.run_local(self.stock_args(kernel)), INTERRUPTS, 'pvh')


class GuestOnTheDistributionsBoard(GuestCase):
    def test_kvm(self):
        self.need(VM, REMOTE)
        self.check(self.run_remote(self.distribution_args('kvm')), INTERRUPTS)

    def test_tcg(self):
        """Its proxy delivers interrupts to KVM only; the guest finds out and polls."""
        self.need(VM, REMOTE, kvm=False)
        ended = self.run_remote(self.distribution_args('tcg'))
        if ended[0] == -signal.SIGSEGV and not self.said():
            self.skipTest("this QEMU's x-pci-proxy-dev crashes at start under TCG, as 11.1's does")
        self.check(ended, 0)


class KvmEnds(InteropCase):
    """Ends that are not the guest's own."""

    programs = (STOCK,)

    def start(self, code):
        if kvm_refusal():
            self.skipTest(kvm_refusal())
        magic, flags, load = 0x1badb002, 1 << 16, 0x100000
        kernel = self.folder / 'kernel'
        kernel.write_bytes(struct.pack('<8I', magic, flags, -(magic + flags) & 0xffffffff, load,
                                       load, 0, 0, load + 32) + code)
        process = subprocess.Popen(
            [STOCK, '-machine', 'pc', '-accel', 'kvm', '-m', '16M', '-nodefaults', '-display',
             'none', '-kernel', str(kernel), '-debugcon', 'stdio'], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(GuestCase.reap, process)
        return process

    def test_terminated(self):
        """A signal ends it while the guest loops, and while it is halted."""
        for name, code in {'loop': b'\xeb\xfe', 'halt': b'\xfa\xf4\xeb\xfd'}.items():
            with self.subTest(name):
                # mov $'!', %al; out %al, $0xe9: it runs.
                process = self.start(b'\xb0!\xe6\xe9' + code)
                self.assertEqual(process.stdout.read(1), '!')
                process.terminate()
                _, errors = process.communicate(timeout=DEADLINE)
                self.assertEqual(process.returncode, 0, errors)
                self.assertRegex(errors, r'\A[^\n]*terminating on signal 15[^\n]*\n\Z')

    def test_triple_fault(self):
        process = self.start(b'\x0f\x0b')  # ud2, without an IDT
        _, errors = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, 1, errors)
        self.assertRegex(errors, r'\A[^\n]*triple fault at 0x100020\n\Z')


class KvmRefused(InteropCase):
    """What -accel kvm says where it can't: one line and exit status 1."""

    programs = (STOCK,)

    def refusal(self, *args, **popen):
        done = subprocess.run([STOCK, '-machine', 'pc', '-accel', 'kvm', '-m', '16M', '-nodefaults',
                               '-display', 'none', *args], stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=DEADLINE, check=False, **popen)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        return done.stderr

    def test_no_kernel(self):
        self.assertIn('-kernel', self.refusal())

    def test_not_a_kernel(self):
        if kvm_refusal():
            self.skipTest(kvm_refusal())
        bad = self.folder / 'bad.elf'
        bad.write_bytes(b'\x7fELF' + bytes(100))
        self.assertIn(str(bad), self.refusal('-kernel', str(bad)))

    def test_no_permission(self):
        if os.geteuid() != 0 or not os.path.exists('/dev/kvm') or os.stat('/dev/kvm').st_mode & 6:
            self.skipTest('needs root, and a /dev/kvm that is not for everybody')
        if subprocess.run(['test', '-x', STOCK], user=65534, check=False).returncode:
            self.skipTest(f'{STOCK} is not for everybody')
        self.assertIn('/dev/kvm: Permission denied', self.refusal('-kernel', '/dev/null',
                                                                  user=65534, group=65534))


if __name__ == '__main__':
    unittest.main()

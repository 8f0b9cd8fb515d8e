# SPDX-License-Identifier: GPL-2.0-or-later
"""The launch that upstream's functional test and orchestrators use: two subprocess calls.

No launcher and no guest: the VM stays stopped, and -qtest, which works beside any accelerator,
makes the accesses a guest would make. The stock remote gets the very same arguments, so an
orchestrator only has to exchange the program's name.
"""

import shutil
import socket
import subprocess
import unittest

from interop import REMOTE, VM, InteropCase, proxy_needs_kvm

STOCK = 'qemu-system-x86_64'
PROXY_SLOT = 2  # the first free one of a pc machine without default devices
IO_BASE, MMIO_BASE, RAM_BASE = 0xc000, 0xe0000000, 0xe0002000


class Board:
    """The VM seen from its CPU, by the text protocol of -qtest."""

    def __init__(self, process):
        self.process = process

    def ask(self, command):
        self.process.stdin.write(command + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if answer[:1] != ['OK']:
            raise AssertionError(f'{command}: {answer}')
        return int(answer[1], 0) if len(answer) > 1 else None

    def _select(self, offset):
        self.ask(f'outl 0xcf8 {0x80000000 | PROXY_SLOT << 11 | offset & 0xfc:#x}')

    def config(self, offset):
        self._select(offset)
        return self.ask('inl 0xcfc')

    def set_config(self, offset, value):
        self._select(offset)
        self.ask(f'outl 0xcfc {value:#x}')

    def size_bar(self, offset):
        self.set_config(offset, 0xffffffff)
        mask = self.config(offset)
        self.set_config(offset, 0)
        return mask

    def describe(self):
        """What the first steps of any driver would find out."""
        seen = {
            'ids': f'{self.config(0x00):08x}',
            'class and revision': f'{self.config(0x08):08x}',
            'header type': self.config(0x0c) >> 16 & 0xff,
            'interrupt pin': self.config(0x3c) >> 8 & 0xff,
        }
        for bar in range(7):
            seen[f'bar {bar}'] = f'{self.size_bar(0x10 + 4 * bar):08x}'
        for bar, base in enumerate((IO_BASE, MMIO_BASE, RAM_BASE)):
            self.set_config(0x10 + 4 * bar, base)
        self.set_config(0x04, 7)
        # SCSI id and scratch register A, written by port, read by memory; then on-chip RAM.
        self.ask(f'outb {IO_BASE + 0x04:#x} 0x7')
        self.ask(f'outl {IO_BASE + 0x34:#x} 0x12345678')
        self.ask(f'writel {RAM_BASE + 0x1ffc:#x} 0xcafe')
        seen['SCID'] = self.ask(f'readb {MMIO_BASE + 0x04:#x}')
        seen['SCRATCHA'] = self.ask(f'readl {MMIO_BASE + 0x34:#x}')
        seen['RAM'] = self.ask(f'readl {RAM_BASE + 0x1ffc:#x}')
        return seen


class UpstreamLaunch(InteropCase):
    def setUp(self):
        super().setUp()
        if proxy_needs_kvm():
            self.skipTest(f'the proxy of {VM} does not start without KVM')

    def launch(self, remote, *storage):
        """Starts both and looks at the device; returns what it shows and both exit statuses."""
        proxy_end, remote_end = socket.socketpair()
        with proxy_end, remote_end:
            server = subprocess.Popen(
                [remote, '-machine', 'x-remote', '-nodefaults', '-display', 'none',
                 '-device', 'lsi53c895a,id=lsi1', *storage,
                 '-object', f'x-remote-object,id=robj1,devid=lsi1,fd={remote_end.fileno()}'],
                pass_fds=[remote_end.fileno()], stdin=subprocess.DEVNULL)
            self.addCleanup(server.wait)
            self.addCleanup(server.kill)
            vm = subprocess.Popen(
                [VM, '-accel', 'tcg', '-S', '-qtest', 'stdio', '-qtest-log', 'none',
                 '-machine', 'pc', '-nodefaults', '-display', 'none',
                 '-object', 'memory-backend-memfd,id=sysmem-file,size=128M,share=on',
                 '-m', '128M', '-machine', 'memory-backend=sysmem-file',
                 '-device', f'x-pci-proxy-dev,id=lsi1,fd={proxy_end.fileno()}'],
                pass_fds=[proxy_end.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True)
        with vm:
            self.addCleanup(vm.kill)
            seen = Board(vm).describe()
            vm.terminate()
            vm.wait(self.deadline)
        server.wait(self.deadline)
        return seen, vm.returncode, server.returncode

    def test_without_disk(self):
        seen, vm, remote = self.launch(REMOTE)
        self.assertEqual(seen['ids'], '00121000')
        self.assertEqual((vm, remote), (0, 0))

    def test_same_as_stock(self):
        if not shutil.which(STOCK):
            self.skipTest(f'{STOCK} is not there')
        disk = self.folder / 'disk.img'
        disk.write_bytes(bytes(1 << 20))
        storage = ['-drive', f'if=none,id=drive0,format=raw,file={disk}',
                   '-device', 'scsi-hd,drive=drive0,bus=lsi1.0,scsi-id=0']
        self.assertEqual(self.launch(REMOTE, *storage), self.launch(STOCK, *storage))


if __name__ == '__main__':
    unittest.main()

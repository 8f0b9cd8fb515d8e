# SPDX-License-Identifier: GPL-2.0-or-later
"""An unmodified QEMU's vfio-user-pci, under TCG, against one server that outlives its clients.

Linux gets no kernel parameter but those that name console and disk, so interrupts have to work. One
server process has two devices, each with a socket; the first has the root disk of a running Linux
in all cases of LinuxOnServer, which leave it at its prompt. Three boots in all.
"""

import hashlib
import re
import unittest

from interop import InteropCase, guestkit
from linux_guest import START, complaints
import test_seabios
import vfio_user

# Whatever the adapter is, this kernel's driver frees DMA memory with interrupts off when it is
# unbound, and the kernel says so at length.
UNBIND_WARNING = re.compile(
    r'[^\n]*\[ cut here \][^\n]*\n[^\n]*WARNING: [^\n]* dma_free_attrs.*?end trace[^\n]*\n', re.S)

# The second adapter comes and goes: the driver resets the bus, and at the end the chip.
PLUGGED = re.compile(rf'{START.pattern}|sym1: (SCSI BUS has been reset\.|resetting chip)')

PAYLOAD_SUM = hashlib.sha256(guestkit.payload()).hexdigest()


class LinuxOnServer(InteropCase):
    """Each case finds Linux at its prompt, and leaves one there."""

    vm = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        vfio_user.newer_qemu()
        missing = guestkit.missing_tools()
        if missing:
            raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
        cls.place = cls.class_folder()
        try:
            cls.guest = guestkit.Guest(cls.place, init=vfio_user.CONSOLE_INIT)
        except guestkit.GuestError as err:
            raise unittest.SkipTest(f'no guest: {err}') from err
        cls.second = cls.place / 'second.img'
        cls.second.write_bytes(guestkit.payload() + bytes(1 << 20))
        cls.server = vfio_user.Server(cls.place, [cls.guest.image, cls.second])
        cls.addClassCleanup(cls.server.kill)
        cls.server.wait_listening(30)
        cls.start_vm()

    @classmethod
    def start_vm(cls):
        guest = cls.guest
        cls.vm = vfio_user.Vm(
            cls.place, [cls.server.device(0)], '-serial', 'stdio', '-kernel',
            str(guest.parts.kernel), '-initrd', str(guest.initrd), '-append', guestkit.KERNEL_ARGS)
        cls.addClassCleanup(cls.vm.kill)
        cls.vm.wait_ready()

    def root_is_well(self):
        """Reads the payload past the page cache; Linux must have found nothing to complain of."""
        self.vm.run('echo 3 > /proc/sys/vm/drop_caches')
        self.assertEqual(self.vm.run(f'sha256sum /{guestkit.PAYLOAD}').split()[0], PAYLOAD_SUM)
        log = UNBIND_WARNING.sub('', self.vm.run('dmesg'))
        self.assertEqual(complaints(log, PLUGGED), [])

    def write_for_ever(self):
        """Returns with writes in flight; no further command reaches this guest."""
        self.vm.type('while cat /payload > /scratch; do sync; echo written; done')
        self.vm.read_until('written')

    def test_interrupts(self):
        """The disk's interrupts arrive, though nobody polls."""
        self.root_is_well()
        self.assertNotRegex(self.vm.run('cat /proc/cmdline'), 'irqpoll|noapic|nolapic|nohpet')
        self.assertRegex(self.vm.run('cat /proc/interrupts'), r'\d+: +[1-9]\d+ .*sym53c8xx')

    def test_hot_plug(self):
        """The second device of the same process comes and goes, twice, while the first is used."""
        for turn in range(2):
            self.vm.type('while [ ! -e /stop ]; do cat /payload /payload > /scratch; done & '
                         'while [ ! -s /scratch ]; do usleep 10000; done')
            self.vm.read_until('status 0')
            self.vm.qmp('device_add', **self.server.device(1))
            self.vm.wait_for('[ -b /dev/sdb ]')
            self.assertEqual(
                self.vm.run('dd if=/dev/sdb bs=64k count=16 2>/dev/null | sha256sum').split()[0],
                PAYLOAD_SUM)
            self.vm.run(f'echo turn {turn} | dd of=/dev/sdb bs=512 seek=2048 conv=notrunc,sync && '
                        'sync')
            self.vm.qmp('device_del', id='lsi1')
            self.vm.qmp.wait_event('DEVICE_DELETED', device='lsi1')
            self.vm.wait_for('[ ! -e /dev/sdb ]')
            self.vm.run('touch /stop; wait; rm /stop /scratch; true')
            written = self.second.read_bytes()
            self.assertEqual(written[:1 << 20], guestkit.payload())
            self.assertEqual(written[1 << 20:].rstrip(b'\0'), f'turn {turn}\n'.encode())
        self.root_is_well()

    def test_system_reset(self):
        self.vm.run('echo before > /reset; sync')
        self.write_for_ever()
        self.vm.qmp('system_reset')
        self.vm.wait_ready()
        self.assertEqual(self.vm.run('cat /reset'), 'before')
        self.root_is_well()

    def test_client_is_killed(self):
        """With writes in flight; the next VM finds what was synced, on the same server."""
        self.vm.run('echo before > /kill; sync')
        self.write_for_ever()
        self.vm.kill()
        self.start_vm()
        self.assertEqual(self.vm.run('cat /kill'), 'before')
        self.root_is_well()

    def test_zz_power_off(self):
        """Last, by its name: what all of them have left on the disk is a clean file system."""
        self.vm.type('rm -f /scratch; mount -o remount,ro / && poweroff -f')
        self.assertEqual(self.vm.wait_end(), 0)
        self.assertEqual(self.server.stop(), 0)
        self.assertIsNone(guestkit.fsck(self.guest.image))


class TwoVms(test_seabios.SeabiosCase):
    """Two devices of one process, one in each of two VMs that run at the same time."""

    programs = InteropCase.programs[:1]

    def test_two_boots(self):
        vfio_user.newer_qemu()
        disks = [self.disk(f'disk{number}') for number in range(2)]
        server = vfio_user.Server(self.folder, [disk.path for disk in disks])
        self.addCleanup(server.kill)
        server.wait_listening(self.deadline)
        vms = []
        for number in range(2):
            folder = self.folder / str(number)
            folder.mkdir()
            vms.append(vfio_user.Vm(folder, [server.device(number)], '-no-reboot', '-boot', 'c',
                                    '-debugcon', 'stdio', memory='64M'))
            self.addCleanup(vms[-1].kill)
        for vm, disk in zip(vms, disks):
            self.assertEqual(vm.wait_end(), 0)
            self.check(disk, vm.log)
        self.assertEqual(server.stop(), 0)


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Register accesses and interrupts for one I/O of a Linux guest, four disks at once.

Both are counts, of the remote's own counters, which it shows when the connection ends: so one guest
reads and another one only boots, and the difference is what the reads took.
"""

import re
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / 'scripts'), str(TOP / 'tests/interop')]

import guestkit  # noqa: E402 (its folder has to be on the path first)
import linux_guest  # noqa: E402
import vfio_user  # noqa: E402
from guest_iops import Unavailable  # noqa: E402

DISKS = 4
DISK_SIZE = 64 << 20
MILLISECONDS = 6000


def _devices(folder):
    argv = ['-device', 'lsi53c895a,id=lsi0']
    for number in range(DISKS):
        disk = folder / f'disk{number}'
        if not disk.exists():
            disk.write_bytes(guestkit.payload() * (DISK_SIZE >> 20))
        argv += ['-drive', f'if=none,id=disk{number},format=raw,readonly=on,file={disk}',
                 '-device', f'scsi-hd,drive=disk{number},bus=lsi0.0,scsi-id={number}']
    return argv


def _reads_done(vm):
    return int(vm.run("cat /sys/block/sd?/stat | awk '{n += $1} END {print n}'"))


def _session(folder, parts, devices, protocol, depth):
    """One guest: its reads, and the remote's (accesses, interrupts) from the first to the last."""
    place = folder / f'depth{depth}'
    place.mkdir()
    machine = linux_guest.Machine(place, parts.kernel, folder / 'initrd', protocol, devices)
    try:
        before = _reads_done(machine.vm)
        if depth:
            loads = ''.join(f'guest-load /dev/sd{name} {depth} {MILLISECONDS} & '
                            for name in 'abcd'[:DISKS])
            machine.vm.run(f'{loads}wait')
        reads = _reads_done(machine.vm) - before
    finally:
        machine.stop()
    counted = dict(re.findall(r'(\S+)=(\d+)', machine.remote_log.read_text()))
    accesses = sum(int(counted.get(f'bar1-{kind}', 0)) for kind in ('reads', 'writes'))
    return reads, accesses, int(counted['interrupts'])


def measure(remote, load, depths, protocol='vfio-user'):
    """{depth: (accesses, interrupts) per read}, the depth being that of each disk."""
    linux_guest.REMOTE = remote
    missing = guestkit.missing_tools()
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix='mpqbench') as name:
        folder = Path(name)
        try:
            if protocol == 'vfio-user':
                vfio_user.newer_qemu()
            parts = guestkit.Parts()
            guestkit.make_initramfs(parts, folder / 'initrd', linux_guest.INIT, [load],
                                    guestkit.MODULES + guestkit.MODULES_MORE)
            idle = _session(folder, parts, _devices(folder), protocol, 0)
            figures = {}
            for depth in depths:
                reads, *counts = _session(folder, parts, _devices(folder), protocol, depth)
                figures[depth] = tuple((n - none) / reads
                                       for n, none in zip(counts, idle[1:]))
            return figures
        except (unittest.SkipTest, guestkit.GuestError, AssertionError, OSError) as err:
            raise Unavailable(str(err).splitlines()[0]) from err

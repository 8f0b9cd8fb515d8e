# SPDX-License-Identifier: GPL-2.0-or-later
"""4 KiB random reads in a Linux guest, of the LSI behind vfio-user and of the same QEMU's own.

Both guests run under TCG in the same QEMU, with the same kernel, memory and image, and are at
their prompts all the time; they take turns in short rounds, in which the other one is idle.
"""

import re
import sys
import tempfile
import unittest
from collections import defaultdict
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / 'scripts'), str(TOP / 'tests/interop')]

import guestkit  # noqa: E402 (its folder has to be on the path first)
import vfio_user  # noqa: E402

DEPTHS = (1, 4, 16)
MILLISECONDS = 700
DISK_SIZE = 64 << 20

GUEST_INIT = guestkit.INITRAMFS_HEAD + f"""\
stty -echo
dmesg -n 1
echo "{vfio_user.PROMPT}"
while read -r line; do
    echo "[[begin]]"
    eval "$line"
    echo "[[status $?]]"
done
"""


class Unavailable(Exception):
    """The guests can't be run here; the text says why."""


def _own_disk(disk):
    """The arguments of a QEMU that has the adapter in its own process."""
    return ['-device', 'lsi53c895a,id=lsi0',
            '-drive', f'if=none,id=drive0,format=raw,readonly=on,file={disk}',
            '-device', 'scsi-hd,drive=drive0,bus=lsi0.0,scsi-id=0']


def _iops(vm, depth):
    said = vm.run(f'guest-load /dev/sda {depth} {MILLISECONDS}')
    found = re.search(r'^iops (\d+)$', said, re.M)
    if not found:
        raise Unavailable(f'the guest said: {said}')
    return int(found[1])


def _take_turns(guests, rounds):
    """Samples of each guest by depth."""
    samples = {name: defaultdict(list) for name in guests}
    for vm in guests.values():
        _iops(vm, max(DEPTHS))  # for QEMU to translate the guest's code
    for _ in range(rounds):
        for depth in DEPTHS:
            for name, vm in guests.items():
                samples[name][depth].append(_iops(vm, depth))
    return samples


def _run(folder, load, rounds):
    parts = guestkit.Parts()
    initrd = folder / 'initrd'
    disks = [folder / 'served.img', folder / 'own.img']  # each is locked by who has it
    guestkit.make_initramfs(parts, initrd, GUEST_INIT, [load])
    for disk in disks:
        disk.write_bytes(guestkit.payload() * (DISK_SIZE >> 20))
    boot = ['-serial', 'stdio', '-kernel', str(parts.kernel), '-initrd', str(initrd),
            '-append', guestkit.KERNEL_ARGS]
    started = []
    try:
        server = vfio_user.Server(folder, disks[:1])
        started.append(server)
        server.wait_listening(30)
        guests = {}
        for name, devices, more in (('vfio-user', [server.device(0)], []),
                                    ('own', [], _own_disk(disks[1]))):
            place = folder / name
            place.mkdir()
            guests[name] = vfio_user.Vm(place, devices, *boot, *more)
            started.append(guests[name])
        for vm in guests.values():
            vm.wait_ready()
        return _take_turns(guests, rounds)
    finally:
        for each in reversed(started):
            each.kill()


def measure(remote, load, rounds):
    """{'vfio-user': {depth: [IOPS, ...]}, 'own': the same}; load is guest-load's program."""
    vfio_user.REMOTE = remote
    missing = guestkit.missing_tools()
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix='mpqbench') as folder:
        try:
            return _run(Path(folder), load, rounds)
        except (unittest.SkipTest, guestkit.GuestError, AssertionError, OSError) as err:
            raise Unavailable(str(err).splitlines()[0]) from err

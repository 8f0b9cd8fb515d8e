# SPDX-License-Identifier: GPL-2.0-or-later
"""fio verifies in a Linux guest what it has written, over raw disks of every cache and aio mode.

One guest has a disk of each mode on its bus, and each is loaded alone.
"""

import errno
import os
import unittest

from linux_guest import DEPTH, DISK_SIZE, GuestCase

# aio=native is O_DIRECT's alone.
MODES = [(cache, aio)
         for cache in ('none', 'writeback', 'writethrough', 'directsync', 'unsafe')
         for aio in ('io_uring', 'threads', 'native')
         if aio != 'native' or cache in ('none', 'directsync')]
IDS = [number for number in range(16) if number != 7]  # 7: the adapter
JOB = ('--thread --direct=1 --ioengine=libaio --bsrange=512-64k --blockalign=512 --rw=randrw '
       f'--iodepth={DEPTH} --size=8M --loops=2 --verify=crc32c --verify_backlog=128 '
       '--verify_fatal=1 --randseed=1')


def refuses_direct(folder):
    """Whether the folder's file system has no O_DIRECT."""
    try:
        os.close(os.open(folder / 'probe', os.O_RDWR | os.O_CREAT | os.O_DIRECT))
    except OSError as err:
        if err.errno != errno.EINVAL:
            raise
        return True
    return False


class LinuxModes(GuestCase):
    tools = ('fio',)

    @classmethod
    def devices(cls, folder):
        if refuses_direct(folder):
            raise unittest.SkipTest(f'the file system of {folder} has no O_DIRECT')
        argv = ['-device', f'{cls.device},id=lsi0']
        for number, (cache, aio) in zip(IDS, MODES):
            path = folder / f'disk{number}'
            with path.open('wb') as image:
                image.truncate(DISK_SIZE)
            argv += ['-drive', f'if=none,id=disk{number},format=raw,file={path},cache={cache},'
                               f'aio={aio}',
                     '-device', f'scsi-hd,drive=disk{number},bus=lsi0.0,scsi-id={number}']
        return argv

    def check(self, number, cache):
        wce = self.vm.run(f'cat $(block disk{number})/device/scsi_disk/*/cache_type')
        self.assertEqual(wce, 'write through' if cache in ('writethrough', 'directsync')
                         else 'write back')
        status, said = self.vm.try_run(
            f'fio --eta=never --name=load --filename=/dev/disk{number} {JOB}')
        self.assertEqual(status, 0, said)
        self.assertIn('err= 0', said)
        self.check_log()


def add_case(number, cache, aio):
    def run(self):
        self.check(number, cache)
    setattr(LinuxModes, f'test_{cache}_{aio}', run)


for mode_id, mode in zip(IDS, MODES):
    add_case(mode_id, *mode)


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""fio verifies in a Linux guest what it has written, on disks that NBD servers have, while those
are killed and started again. One disk is raw, the other a qcow2 image.

$KILL_ROUNDS is how often, 12 unless it says otherwise.
"""

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

from linux_guest import DISK_SIZE, DISKS, GuestCase, Load, programs

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'cli'))

from remote import wait_for  # noqa: E402 (its folder has to be on the path first)

ROUNDS = int(os.environ.get('KILL_ROUNDS', '12'))


class Server:
    """nbdkit on a file; what it was given is the kernel's, so a kill loses nothing of it."""

    def __init__(self, path):
        self.path, self.socket = path, path.with_suffix('.sock')
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ['nbdkit', '-f', '-U', str(self.socket), 'file', str(self.path)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.socket.exists, 'the NBD server')

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.socket.unlink()


class LinuxNbd(GuestCase):
    tools = ('fio',)
    cpus = 2
    usual = re.compile('stats:|sandbox: widened for nbd by|connection to the NBD server lost'
                       '|connected to the NBD server again|no connection to the NBD server')

    @classmethod
    def devices(cls, folder):
        programs(('nbdkit', 'qemu-img'))
        argv = ['-device', f'{cls.device},id=lsi0']
        cls.servers = []
        for number, kind in enumerate(('raw', 'qcow2')):
            path = folder / DISKS[number]
            subprocess.run(['qemu-img', 'create', '-q', '-f', kind, path, str(DISK_SIZE)],
                           check=True)
            os.truncate(path, 2 * DISK_SIZE if kind == 'qcow2' else DISK_SIZE)  # exports don't grow
            server = Server(path)
            cls.addClassCleanup(server.kill)
            cls.servers.append(server)
            argv += ['-blockdev',
                     f'driver={kind},node-name=n{number},file.driver=nbd,'
                     f'file.server.type=unix,file.server.path={server.socket},'
                     'file.reconnect-delay=60',
                     '-device', f'scsi-hd,drive=n{number},bus=lsi0.0,scsi-id={number}']
        return argv

    def test_killed(self):
        load = Load(self.vm, '--size=16M', '--time_based', '--runtime=3000',
                    '--verify_backlog=64', disks=DISKS[:2], cd=False)
        try:
            for number in range(ROUNDS):
                load.wait_progress()
                server = self.servers[number % 2]
                server.kill()
                server.start()
            load.wait_progress()
        finally:
            load.end()
            wrong = load.wait()
        self.assertEqual(wrong, '')
        self.check_log()
        lost = self.machine.remote_log.read_text(errors='replace').count('server lost')
        self.comment(f'{ROUNDS} kills, {lost} of them in the log')
        self.assertGreater(lost, 0)


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""The load of test_linux_load.py for long, and resets of all kinds again and again in it.

$LOAD_SECONDS is how long each of the two goes on, 600 unless it says otherwise.
"""

import os
import unittest

import test_linux_load as load
from linux_guest import GuestCase, Load, complaints

SECONDS = int(os.environ.get('LOAD_SECONDS', '600'))


class LinuxLoadSlow(GuestCase):
    cpus = load.ResetCases.cpus

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.vm.deadline = SECONDS + 300

    def begin(self):
        # Each pass writes and then verifies the whole of its part.
        return Load(self.vm, '--size=32M', '--time_based', f'--runtime={SECONDS}',
                    '--verify_backlog=256')

    def test_load(self):
        self.assertEqual(self.begin().wait(), '')
        self.check_log()

    def test_resets(self):
        running = self.begin()
        log, rounds = '', 0
        while running.running():
            how = sorted(load.RESETS)[rounds % len(load.RESETS)]
            self.vm.run(f'sg_reset {how} /dev/sg-id{rounds % 4}')
            said = self.vm.run('dmesg -c')
            log += said
            rounds += 1
            if running.running():
                running.wait_progress()
        self.comment(f'{rounds} resets')
        self.assertEqual(running.wait(cd_errors=rounds), '')
        self.assertEqual([line for line in complaints(log + self.vm.run('dmesg -c'))
                          if not any(how.search(line) for how in load.RESETS.values())], [])
        self.assertGreater(rounds, 3)


if __name__ == '__main__':
    unittest.main()

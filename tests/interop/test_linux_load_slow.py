# SPDX-License-Identifier: GPL-2.0-or-later
"""The load of test_linux_load.py for long, and resets of all kinds again and again in it.

$LOAD_SECONDS is how long each of them goes on, 600 unless it says otherwise.
"""

import os
import unittest

import test_linux_load as load
from linux_guest import DISKS, GuestCase, Load, aborted_extents, complaints

SECONDS = int(os.environ.get('LOAD_SECONDS', '600'))


class Cases:
    cpus = load.ResetCases.cpus

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.vm.deadline = SECONDS + 300

    def begin(self):
        # Each pass writes and then verifies the whole of its part.
        return Load(self.vm, '--size=32M', '--time_based', f'--runtime={SECONDS}',
                    '--verify_backlog=256')

    def reset_under_load(self, kinds, first):
        """Resets of these kinds until a load has ended; returns how many, and what was given up.

        Before each one all disks have gone on: no command meets two of them.
        """
        running = self.begin()
        log, rounds = '', 0
        running.wait_progress()
        while running.running():
            number = first + rounds
            how = kinds[number % len(kinds)]
            self.vm.run(f'sg_reset {how} /dev/sg-id{number % len(DISKS)}')
            log += self.vm.run('dmesg -c') + '\n'
            rounds += 1
            running.wait_progress()
        running.wait_end()
        log += self.vm.run('dmesg -c')
        aborted = aborted_extents(log)
        self.comment(f'{rounds} resets, {sum(map(len, aborted.values()))} sectors given up')
        self.assertEqual(running.wait(rounds, aborted), '')
        self.assertEqual([line for line in complaints(log)
                          if not any(load.RESETS[how].search(line) for how in kinds)], [])
        return rounds, aborted

    def reset(self, kinds):
        """Each kind, and on each disk; where a load is too short for that, under more of them."""
        done, given_up = 0, set()
        self.log_results()
        self.addCleanup(self.log_results, False)
        while done < len(DISKS):
            rounds, aborted = self.reset_under_load(kinds, done)
            self.assertGreater(rounds, 0)
            done += rounds
            given_up |= set(aborted)
        return given_up

    def test_resets(self):
        self.reset(sorted(load.RESETS))


class LinuxLoadSlow(Cases, GuestCase):
    def test_load(self):
        self.assertEqual(self.begin().wait(), '')
        self.check_log()


class LinuxLoadSlowDisks(Cases, GuestCase):
    """With disks so slow that at most times commands have been taken and not answered."""

    @classmethod
    def devices(cls, folder):
        return [f'{option},throttling.iops-total=40' if 'id=disk' in option else option
                for option in super().devices(folder)]

    def test_device_resets(self):
        self.assertNotEqual(self.reset(['-d']), set())


if __name__ == '__main__':
    unittest.main()

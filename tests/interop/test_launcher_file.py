# SPDX-License-Identifier: GPL-2.0-or-later
"""Launcher files: what they make of processes, and how they are refused; readiness and pinning."""

import os
import signal
import subprocess
import sys
import time
import unittest

from interop import TOP, InteropCase, launcher

PROGRAM = TOP / 'scripts/mpqemu-launcher.py'

GOOD = '''
protocol = "mpqemu"

[vm]
binary = "sh"
accel = "tcg"
memory = "1G"
kernel = "vmlinuz"
args = ["-nographic"]

[[remote]]
name = "fast"
binary = "sh"
args = ["-d", "lsi"]

[[remote.device]]
id = "lsi0"
disk = [{ file = "one,a", cache = "none", serial = "S1" }]

[[remote.device]]
id = "lsi1"
model = "lsi53c810"
[[remote.device.disk]]
file = "cd"
cdrom = true
readonly = true
scsi-id = 4

[[remote]]
name = "slow"
binary = "sh"
[[remote.device]]
id = "lsi2"
'''


class FileCase(InteropCase):
    programs = ()

    def setUp(self):
        super().setUp()
        if sys.version_info < (3, 11):
            self.skipTest('a launcher file needs Python 3.11')
        for name in ('vmlinuz', 'one,a', 'cd'):
            (self.folder / name).touch()

    def run_file(self, text, *options):
        path = self.folder / 'vm.toml'
        path.write_text(text)
        return subprocess.run([sys.executable, str(PROGRAM), str(path), *options],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=self.deadline, check=False)


class Good(FileCase):
    def test_processes(self):
        done = self.run_file(GOOD, '--dry-run', '--quiet', '--', '-S')
        self.assertEqual(done.returncode, 0, done.stderr)
        fast, slow, vm = done.stdout.splitlines()
        self.assertIn(f'file={self.folder}/one,,a,cache=none', fast)
        self.assertIn('scsi-hd,drive=lsi0-drive0,bus=lsi0.0,scsi-id=0,serial=S1', fast)
        self.assertIn('-device lsi53c810,id=lsi1', fast)
        self.assertIn('readonly=on', fast)
        self.assertIn('scsi-cd,drive=lsi1-drive0,bus=lsi1.0,scsi-id=4', fast)
        self.assertTrue(fast.endswith('-d lsi'))
        self.assertIn('devid=lsi2', slow)
        self.assertNotIn('lsi0', slow)
        self.assertEqual(vm.count('x-pci-proxy-dev'), 3)
        self.assertIn('size=1G', vm)
        self.assertTrue(vm.endswith('-nographic -S'))

    def test_options_go_first(self):
        done = self.run_file(GOOD, '--dry-run', '--quiet', '--memory', '2G', '--append', 'quiet')
        self.assertIn('size=2G', done.stdout)
        self.assertIn(f'quiet {launcher.POLLING_ARGS}', done.stdout)

    def test_perf_splits_and_pins(self):
        path = self.folder / 'vm.toml'
        path.write_text(GOOD)
        options = launcher.parser().parse_args([str(path), '--perf'])
        plan = launcher.plan(options)
        self.assertEqual([remote.name for remote in plan.remotes], ['lsi0', 'lsi1', 'lsi2'])
        mine = {str(cpu) for cpu in os.sched_getaffinity(0)}
        self.assertTrue({remote.cpus for remote in plan.remotes} <= mine)
        self.assertGreaterEqual(len({r.cpus for r in plan.remotes}), min(3, len(mine)))


class Refused(FileCase):
    def refused(self, text, *options):
        done = self.run_file(text, '--dry-run', *options)
        self.assertEqual(done.returncode, launcher.EXIT_SETUP, done.stdout)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        return done.stderr

    def line(self, text, word):
        return next(n for n, line in enumerate(text.splitlines(), 1) if word in line)

    def test_misspelt_key_tells_file_line_key(self):
        for right, wrong in (('memory', 'memroy'), ('scsi-id', 'scsi_id'), ('model', 'modle'),
                             ('args = ["-d"', 'arsg = ["-d"'), ('protocol', 'portocol')):
            text = GOOD.replace(right, wrong)
            key = wrong.split()[0]
            said = self.refused(text)
            self.assertIn(f'vm.toml:{self.line(text, wrong)}: unknown key \'{key}\'', said)
            self.assertIn(f"'{right.split()[0]}'", said)

    def test_key_of_a_table_on_one_line(self):
        said = self.refused(GOOD.replace('serial', 'seriall'))
        self.assertIn(f"vm.toml:{self.line(GOOD, 'serial')}: unknown key 'seriall'", said)

    def test_unknown_table(self):
        self.assertIn("unknown key 'vms'", self.refused(GOOD.replace('[vm]', '[vms]')))

    def test_wrong_types(self):
        self.assertIn("'memory' is not a string", self.refused(GOOD.replace('"1G"', '1024')))
        self.assertIn("'readonly' is not true or false",
                      self.refused(GOOD.replace('readonly = true', 'readonly = 1')))
        self.assertIn("'scsi-id' is not a number",
                      self.refused(GOOD.replace('scsi-id = 4', 'scsi-id = true')))
        self.assertIn("'accel' is one of auto, kvm, tcg",
                      self.refused(GOOD.replace('"tcg"', '"xen"')))
        self.assertIn("'remote' is not a list", self.refused('[remote]\nname = "x"\n'))
        self.assertIn("'args' is not a string", self.refused('[vm]\nargs = [1]\n'))

    def test_incomplete(self):
        self.assertIn("key 'file' is missing", self.refused(
            '[[remote]]\n[[remote.device]]\n[[remote.device.disk]]\ncdrom = true\n'))
        self.assertIn('serves nothing', self.refused('[[remote]]\nname = "x"\n'))

    def test_not_toml(self):
        self.assertRegex(self.refused('[vm\n'), r'vm\.toml: .*line 1')
        self.assertIn('no such file', self.refused(GOOD.replace('"vmlinuz"', '"nothing"')))

    def test_duplicate_id(self):
        self.assertIn("two devices have the id 'lsi0'",
                      self.refused(GOOD.replace('"lsi2"', '"lsi0"')))

    def test_devices_by_option_and_by_file(self):
        self.assertIn('--disk: ', self.refused(GOOD, '--disk', 'x'))

    def test_cpus(self):
        pinned = GOOD.replace('name = "slow"', 'name = "slow"\ncpus = "0-zero"')
        self.assertIn('cpus = "0-zero"', self.refused(pinned))
        self.assertIn('cpus = "4000"', self.refused(pinned.replace('0-zero', '4000')))


class Running(FileCase):
    """Scripts in the place of the programs."""

    def script(self, name, body):
        path = self.folder / name
        path.write_text(f'#!/bin/sh\n{body}\n')
        path.chmod(0o755)
        return path

    def argv(self, remote, vm):
        return [sys.executable, str(PROGRAM), '--accel', 'tcg', '--protocol', 'mpqemu',
                '--remote-binary', str(self.script('remote', remote)),
                '--vm-binary', str(self.script('vm', vm))]

    def test_vm_waits_for_ready(self):
        mark = self.folder / 'served'
        notify = (f'{sys.executable} -c "import os, socket; '
                  "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
                  "s.connect(os.environ['NOTIFY_SOCKET']); s.send(b'READY=1')\"")
        remote = ('case $1 in --print-capabilities) echo \'{"features": ["sd-notify"]}\'; exit ;; '
                  f'esac; sleep 0.3; touch {mark}; {notify}')
        done = subprocess.run(self.argv(remote, f'[ -e {mark} ]'), stderr=subprocess.PIPE,
                              text=True, timeout=self.deadline, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_remote_that_ends_before_ready(self):
        remote = ('case $1 in --print-capabilities) echo \'{"features": ["sd-notify"]}\'; exit ;; '
                  'esac; exit 1')
        done = subprocess.run(self.argv(remote, f'touch {self.folder}/vm-ran'),
                              stderr=subprocess.PIPE, text=True, timeout=self.deadline,
                              check=False)
        self.assertEqual(done.returncode, launcher.EXIT_REMOTE, done.stderr)
        self.assertIn('exit status 1 before it was ready', done.stderr)
        self.assertFalse((self.folder / 'vm-ran').exists())

    def test_sigterm_before_ready(self):
        """It isn't waited for a remote that nobody wants any more, and there is no VM."""
        began = self.folder / 'began'
        remote = ('case $1 in --print-capabilities) echo \'{"features": ["sd-notify"]}\'; exit ;; '
                  f'esac; touch {began}; while :; do sleep 0.05; done')
        argv = self.argv(remote, f'touch {self.folder}/vm-ran')
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
            end = time.monotonic() + self.deadline
            while not began.exists() and time.monotonic() < end:
                time.sleep(0.01)
            process.terminate()
            said = process.stderr.read()
            self.assertEqual(process.wait(self.deadline), 128 + signal.SIGTERM, said)
        self.assertIn('SIGTERM: ending the remotes', said)
        self.assertNotIn('not ready', said)
        self.assertFalse((self.folder / 'vm-ran').exists())

    def test_pinned(self):
        cpu = max(os.sched_getaffinity(0))
        out = self.folder / 'cpus'
        argv = self.argv(f'grep Cpus_allowed_list /proc/self/status > {out}; eval "cat <&3"',
                         f'while [ ! -s {out} ]; do sleep 0.05; done')
        subprocess.run([*argv, '--perf'], stderr=subprocess.DEVNULL, timeout=self.deadline,
                       check=False)
        self.assertEqual(out.read_text().split()[1], str(cpu))


if __name__ == '__main__':
    unittest.main()

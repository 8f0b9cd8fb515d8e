# SPDX-License-Identifier: GPL-2.0-or-later
"""The launcher itself, with scripts in the place of both processes: who died how, exit status."""

import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from interop import TOP, VM, InteropCase, assemble, launcher

PROGRAM = TOP / 'scripts/mpqemu-launcher.py'
POLL = 'while :; do sleep 0.05; done'
SERVE = 'eval "cat <&$fd" >/dev/null'  # like a remote: ends when the VM hangs up


class LauncherCase(InteropCase):
    programs = ()

    def program(self, name, body):
        """A shell script that finds its end of the socket pair in $fd."""
        path = self.folder / name
        path.write_text('#!/bin/sh\n'
                        'for word; do case $word in *fd=*) fd=${word##*fd=} ;; esac; done\n'
                        f'{body}\n')
        path.chmod(0o755)
        return str(path)

    def argv(self, remote, vm, *options):
        return [sys.executable, str(PROGRAM), '--accel', 'tcg', '--protocol', 'mpqemu',
                '--remote-binary', self.program('remote', remote),
                '--vm-binary', self.program('vm', vm), *options]

    def launch(self, remote, vm, *options):
        """Runs the launcher over two script bodies; returns its exit status and what it said."""
        done = subprocess.run(self.argv(remote, vm, *options), stderr=subprocess.PIPE, text=True,
                              timeout=self.deadline, check=False)
        return done.returncode, done.stderr


class Fates(LauncherCase):
    def test_both_end_well(self):
        status, said = self.launch('exit 0', 'sleep 0.1')
        self.assertEqual(status, 0, said)

    def test_socket_connects_both(self):
        status, said = self.launch('eval "echo word >&$fd"; ' + SERVE,
                                   'eval "read -r word <&$fd"; [ "$word" = word ]')
        self.assertEqual(status, 0, said)

    def test_vm_fails(self):
        status, said = self.launch(SERVE, 'exit 7')
        self.assertEqual(status, launcher.EXIT_VM, said)
        self.assertIn('VM: exit status 7', said)

    def test_remote_fails(self):
        status, said = self.launch('exit 1', POLL)
        self.assertEqual(status, launcher.EXIT_REMOTE, said)
        self.assertIn('remote lsi0: exit status 1', said)

    def test_remote_leaves_early(self):
        status, said = self.launch('exit 0', POLL)
        self.assertEqual(status, launcher.EXIT_REMOTE, said)

    def test_remote_is_killed(self):
        status, said = self.launch('kill -SEGV $$', POLL)
        self.assertEqual(status, launcher.EXIT_REMOTE, said)
        self.assertIn('remote lsi0: ended by SIGSEGV', said)

    def test_stubborn_processes_are_killed(self):
        status, said = self.launch(f'trap "" TERM; {POLL}', f'trap "" TERM; {POLL}',
                                   '--timeout', '0.3')
        self.assertEqual(status, launcher.EXIT_TIMEOUT, said)

    def test_signal_is_forwarded(self):
        asked = self.folder / 'asked'
        ready = self.folder / 'ready'
        vm = f'trap "touch {asked}; exit 0" TERM; touch {ready}; {POLL}'
        with subprocess.Popen(self.argv(SERVE, vm), stderr=subprocess.DEVNULL) as process:
            end = time.monotonic() + self.deadline
            while not ready.exists() and time.monotonic() < end:
                time.sleep(0.01)
            process.terminate()
            self.assertEqual(process.wait(self.deadline), 128 + signal.SIGTERM)
        self.assertTrue(asked.exists())


    def test_signal_with_a_remote_that_does_not_end(self):
        """It is killed in time, which is told, and so does the exit status: data may be lost."""
        self.assertLess(launcher.session.END_ASKED, 2)
        pids = [self.folder / name for name in ('remote-pid', 'vm-pid')]
        stubborn = [f'trap "" TERM; echo $$ >{path}.new; mv {path}.new {path}; {POLL}'
                    for path in pids]
        with subprocess.Popen(self.argv(*stubborn), stderr=subprocess.PIPE, text=True) as process:
            end = time.monotonic() + self.deadline
            while not all(path.exists() for path in pids) and time.monotonic() < end:
                time.sleep(0.01)
            process.terminate()
            said = process.communicate(timeout=self.deadline)[1]
        self.assertEqual(process.returncode, launcher.EXIT_REMOTE)
        for name in ('VM', 'remote lsi0'):
            self.assertIn(f'{name}: ended by SIGKILL from the launcher', said)
        for path in pids:
            with self.assertRaises(ProcessLookupError):
                os.kill(int(path.read_text()), 0)


class VfioUser(LauncherCase):
    """Scripts that say they have it, and pass a word over the socket that the launcher made."""

    SERVER = """
case $* in '-object help') echo '  x-vfio-user-server'; exit ;; esac
exec PYTHON -c 'import socket, sys
print(socket.socket(fileno=int(sys.argv[1])).accept()[0].recv(9), file=open("OUT", "w"))' $fd
"""
    CLIENT = """
case $* in *help) echo 'vfio-user-pci options:'; exit ;; esac
exec PYTHON -c 'import json, socket, sys
device = next(json.loads(word) for word in sys.argv if word.startswith("{"))
client = socket.socket(socket.AF_UNIX)
client.connect(device["socket"]["path"])
client.send(b"word")' "$@"
"""

    def argv(self, remote, vm, *options):
        scripts = [text.replace('PYTHON', sys.executable).replace('OUT', str(self.folder / 'out'))
                   for text in (remote, vm)]
        return super().argv(*scripts, '--protocol', 'auto', *options)

    def test_taken_where_both_have_it(self):
        status, said = self.launch(self.SERVER, self.CLIENT)
        self.assertEqual(status, 0, said)
        self.assertIn('vfio-user: both', said)
        self.assertEqual((self.folder / 'out').read_text(), "b'word'\n")

    def test_remote_is_asked_for_its_capabilities(self):
        """What they say goes before what its help says."""
        for protocols, word in (('["mpqemu", "vfio-user"]', 'vfio-user: both programs have it'),
                                ('["mpqemu"]', 'remote has no x-vfio-user-server')):
            with self.subTest(protocols):
                said = f'case $1 in --print-capabilities) echo \'{{"protocols": {protocols}}}\'; ' \
                       'exit ;; esac; '
                server = self.SERVER if 'user"' in protocols else SERVE
                client = self.CLIENT if 'user"' in protocols else \
                    'case $* in *help) echo "vfio-user-pci options:"; exit ;; esac; sleep 0.1'
                status, said = self.launch(said + server, client)
                self.assertEqual(status, 0, said)
                self.assertIn(word, said)

    def test_client_is_not_polling(self):
        disk = self.folder / 'disk'
        disk.touch()
        done = subprocess.run(
            self.argv(self.SERVER, self.CLIENT, '--kernel', str(disk), '--dry-run'),
            stdout=subprocess.PIPE, text=True, check=True)
        self.assertIn('vfio-user=on', done.stdout)
        self.assertNotIn('irqpoll', done.stdout)

    def test_else_mpqemu_with_the_reason(self):
        _, said = self.launch(SERVE, self.CLIENT)
        self.assertRegex(said, 'mpqemu, since .*/remote has no x-vfio-user-server')
        _, said = self.launch(self.SERVER, 'exit 0')
        self.assertRegex(said, 'mpqemu, since .*/vm has no vfio-user-pci')

    def test_asked_for_but_not_there(self):
        status, said = self.launch(self.SERVER, 'exit 0', '--protocol', 'vfio-user')
        self.assertEqual(status, launcher.EXIT_SETUP, said)
        self.assertIn('has no vfio-user-pci', said)

    def test_socket_path_too_long(self):
        deep = self.folder / ('d' * 100)
        deep.mkdir()
        done = subprocess.run(self.argv(self.SERVER, self.CLIENT), stderr=subprocess.PIPE,
                              text=True, env=dict(os.environ, TMPDIR=str(deep)), check=False)
        self.assertEqual(done.returncode, launcher.EXIT_SETUP)
        self.assertIn('too long', done.stderr.splitlines()[-1])


class Options(LauncherCase):
    def refused(self, *options):
        done = subprocess.run([sys.executable, str(PROGRAM), '--accel', 'tcg', *options],
                              stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, launcher.EXIT_SETUP)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        return done.stderr

    def test_bad_options(self):
        shell = ['--remote-binary', 'sh', '--vm-binary', 'sh']
        self.assertIn('--disk /no/disk: no such file', self.refused(*shell, '--disk', '/no/disk'))
        self.assertIn('no such program', self.refused('--remote-binary', '/no/program'))
        self.assertIn('--nonsense', self.refused('--nonsense'))
        self.assertIn('--timeout', self.refused('--timeout', 'soon'))

    def test_dry_run(self):
        disks = [self.folder / 'one', self.folder / 'two,b']
        for disk in disks:
            disk.touch()
        done = subprocess.run(
            [sys.executable, str(PROGRAM), '--accel', 'tcg', '--quiet', '--dry-run',
             '--remote-binary', 'sh', '--vm-binary', 'sh', '--kernel', str(disks[0]),
             '--append', 'root=/dev/sda',
             *(word for disk in disks for word in ('--disk', str(disk))), '--', '-S'],
            stdout=subprocess.PIPE, text=True, check=True)
        remote, vm = done.stdout.splitlines()
        self.assertIn('x-remote-object', remote)
        self.assertIn('scsi-id=1', remote)
        self.assertIn('two,,b', remote)
        self.assertIn('share=on', vm)
        self.assertIn(f'root=/dev/sda {launcher.POLLING_ARGS}', vm)
        self.assertTrue(vm.endswith(' -S'))


class Probe(InteropCase):
    programs = ()

    def test_bytes_match_source(self):
        built = assemble(TOP / 'scripts/kvm-probe.S', self.folder / 'probe', 0xfffffc00)
        self.assertEqual(built, launcher.PROBE_ROM)

    def test_probe_passes_where_linux_runs(self):
        """TCG runs Linux, so what the probe asks for must not be more than TCG has."""
        if not shutil.which(VM):
            self.skipTest(f'{VM} is not there')
        self.assertIsNone(launcher.run_probe(VM, 'tcg'))

    def test_probe_reports_what_is_no_vm(self):
        self.assertIsNotNone(launcher.run_probe('false', 'kvm'))
        with self.assertRaises(launcher.LaunchError):
            launcher.run_probe(os.path.join(self.folder, 'nothing'), 'kvm')


if __name__ == '__main__':
    unittest.main()

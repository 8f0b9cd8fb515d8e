# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of vfio-user share: the VM's program, a server, a VM that is talked to.

Not by the launcher, which makes one of each and ends them together: here one server has several
clients, and outlives them.
"""

import functools
import json
import os
import re
import select
import socket
import subprocess
import time
import unittest

from interop import REMOTE, TOP

PROMPT = 'guest: ready'

# Takes commands from the console, shows their output and exit status.
CONSOLE_INIT = f"""\
#!/bin/busybox sh
PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
/bin/busybox --install -s /bin
dmesg -n 1
stty -echo
echo "{PROMPT}"
while read -r line; do
    echo "[[begin]]"
    eval "$line"
    echo "[[status $?]]"
done
"""


@functools.lru_cache(maxsize=None)
def _newer_qemu():
    done = subprocess.run([TOP / 'tests/interop/newer-qemu.sh', '--cached'], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return done.stdout.strip(), done.stderr.strip()


def newer_qemu():
    """The program of a QEMU that has vfio-user-pci; skips the case where there is none."""
    program, reason = _newer_qemu()
    if not program:
        raise unittest.SkipTest(reason)
    return program


def client_device(name, path, **more):
    """A vfio-user-pci as -device and device_add take it."""
    return {'driver': 'vfio-user-pci', 'id': name, 'socket': {'type': 'unix', 'path': str(path)},
            **more}


class Server:
    """A remote process with one 53C895A and one disk for each image, lsi0, lsi1, ...

    Each has a socket of its own; with auto-shutdown off it takes the next client when one has left.
    """

    def __init__(self, folder, images, auto_shutdown='off'):
        self.paths = [folder / f'lsi{number}.sock' for number in range(len(images))]
        argv = [REMOTE, '-machine', f'x-remote,vfio-user=on,auto-shutdown={auto_shutdown}',
                '-nodefaults', '-display', 'none']
        for number, (path, image) in enumerate(zip(self.paths, images)):
            argv += ['-device', f'lsi53c895a,id=lsi{number}',
                     '-drive', f'if=none,id=drive{number},format=raw,file={image}',
                     '-device', f'scsi-hd,drive=drive{number},bus=lsi{number}.0,scsi-id=0',
                     '-object', f'x-vfio-user-server,id=server{number},type=unix,path={path},'
                                f'device=lsi{number}']
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)

    def wait_listening(self, seconds):
        deadline = time.monotonic() + seconds
        while not all(path.exists() for path in self.paths):
            if self.process.poll() is not None:
                raise AssertionError(f'the server ended with {self.process.returncode}')
            if time.monotonic() > deadline:
                raise AssertionError('the server does not listen')
            time.sleep(0.01)

    def device(self, number, **more):
        return client_device(f'lsi{number}', self.paths[number], **more)

    def client_args(self, number):
        return ['-device', json.dumps(self.device(number))]

    def stop(self):
        """Ends it as an operator would; returns its exit status."""
        self.process.terminate()
        return self.process.wait(10)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Qmp:
    """A client of QEMU's monitor protocol, as far as these tests go."""

    def __init__(self, path, seconds):
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + seconds
        while self.socket.connect_ex(str(path)):
            if time.monotonic() > deadline:
                raise AssertionError(f'{path}: no monitor')
            time.sleep(0.01)
        self.file = self.socket.makefile('rw')
        self.events = []
        self._read()
        self('qmp_capabilities')

    def close(self):
        self.file.close()
        self.socket.close()

    def _read(self):
        self.socket.settimeout(60)
        line = self.file.readline()
        if not line:
            raise AssertionError('the VM has closed its monitor')
        return json.loads(line)

    def __call__(self, command, **arguments):
        self.file.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self.file.flush()
        while True:
            message = self._read()
            if 'return' in message:
                return message['return']
            if 'error' in message:
                raise AssertionError(f"{command}: {message['error']['desc']}")
            self.events.append(message)

    def wait_event(self, name, **data):
        """Waits for an event that has this data; those before it are dropped."""
        while True:
            event = self.events.pop(0) if self.events else self._read()
            if event.get('event') == name and data.items() <= event.get('data', {}).items():
                return event


class Vm:
    """An unmodified QEMU under TCG whose guest runs CONSOLE_INIT, or says something and ends.

    It is the newer one unless it says otherwise; fds are those that devices name. What does not
    come within the deadline hangs; nothing that merely is slow should meet it.
    """

    deadline = 240

    def __init__(self, folder, devices, *options, memory='192M', program=None, fds=()):
        monitor = folder / 'monitor.sock'
        monitor.unlink(missing_ok=True)
        argv = [program or newer_qemu(), '-accel', 'tcg', '-machine', 'pc,memory-backend=mem',
                '-object', f'memory-backend-memfd,id=mem,size={memory},share=on', '-m', memory,
                '-nodefaults', '-no-user-config', '-display', 'none',
                '-qmp', f'unix:{monitor},server=on,wait=off']
        for device in devices:
            argv += ['-device', json.dumps(device)]
        self.log, self.seen = '', 0
        self.lost = None  # why there is no use in talking to it any more
        self.process = subprocess.Popen([*argv, *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, pass_fds=fds)
        self.qmp = None
        try:
            self.qmp = Qmp(monitor, 30)
        except BaseException:
            self.kill()
            raise

    def read_until(self, pattern, seconds=None):
        """Reads the console up to a pattern, from where the last one ended; returns the match."""
        if self.lost:
            raise AssertionError(f'the guest was given up before: {self.lost}')
        deadline = time.monotonic() + (seconds or self.deadline)
        while True:
            match = re.compile(pattern).search(self.log, self.seen)
            if match:
                self.seen = match.end()
                return match
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                self._give_up(f'no {pattern!r} on the console')
            if not self._read():
                self._give_up(f'the VM ended before {pattern!r}')

    def _read(self):
        data = os.read(self.process.stdout.fileno(), 4096)
        self.log += data.decode(errors='replace').replace('\r', '')
        return bool(data)

    def _give_up(self, reason):
        self.lost = reason
        raise AssertionError('\n'.join([reason, *self.log.splitlines()[-20:]]))

    def wait_ready(self):
        self.read_until(PROMPT)

    def type(self, line):
        self.process.stdin.write(line.encode() + b'\n')
        self.process.stdin.flush()

    def try_run(self, command):
        """Runs a command in the guest; returns its exit status and output."""
        if not self.lost:
            self.type(command)
        try:
            match = self.read_until(r'\[\[begin\]\]\n((?s:.)*?)\[\[status (\d+)\]\]')
        except AssertionError as err:
            raise AssertionError(f'guest: {command}: {err}') from None
        return int(match[2]), match[1]

    def run(self, command):
        status, output = self.try_run(command)
        if status:
            raise AssertionError(f'guest: {command}: exit status {status}: {output}')
        return output.strip()

    def wait_for(self, command):
        """Until the command succeeds in the guest."""
        self.run(f'until {command}; do usleep 50000; done')

    def wait_end(self):
        """Drains the console until the VM is gone; returns its exit status."""
        deadline = time.monotonic() + self.deadline
        while select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
            if not self._read():
                break
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        if self.qmp:
            self.qmp.close()

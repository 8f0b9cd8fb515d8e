# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs that the bench compares, and sessions with them.

A side is a program and the protocol it is spoken to. A session is one or more devices of a side
that run, each with a bench-lsi as the VM's half; the processes are as few as the program can do
with: QEMU's x-remote has one device a process.
"""

import contextlib
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
TRIES = 8  # QEMU 7.2's x-remote serves before its own reset is over, and may end of it
SECONDS = 120  # that one step may take before something must be wrong


class BenchError(Exception):
    """Something can't be measured; the text says what."""


def say(text):
    print(f'bench-remote: {text}', file=sys.stderr, flush=True)


def run(argv):
    try:
        done = subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                              timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as err:
        raise BenchError(str(err)) from err
    if done.returncode:
        words = ' / '.join(done.stderr.split('\n')).strip(' /')
        raise BenchError(f'{Path(argv[0]).name}: {words or done.returncode}')
    return done.stdout


@dataclass(frozen=True)
class Side:
    name: str
    program: str
    protocol: str = 'mpqemu'
    one_device: bool = False  # a process
    link: str = ''  # more options of the object that has the socket
    image: str = 'raw'  # format of its images
    more: tuple = ()  # words of the command line

    def arguments(self, disks, fds, drive=''):
        """The command line; each of `fds` is a device's socket, or a word in its place. Sides
        share images."""
        vfio_user = self.protocol == 'vfio-user'
        words = [self.program, '-machine', 'x-remote,vfio-user=on' if vfio_user else 'x-remote',
                 '-nodefaults', '-display', 'none', *self.more]
        for i, (disk, fd) in enumerate(zip(disks, fds)):
            words += ['-device', f'lsi53c895a,id=lsi{i}',
                      '-drive', f'if=none,id=drive{i},format={self.image},file={disk}'
                                + (f',{drive}' if drive else ''),
                      '-device', f'scsi-hd,drive=drive{i},bus=lsi{i}.0,scsi-id=0,share-rw=on']
        for i, fd in enumerate(fds):
            kind = (f'x-vfio-user-server,id=link{i},device=lsi{i}' if vfio_user
                    else f'x-remote-object,id=link{i},devid=lsi{i}')
            words += ['-object', f'{kind},fd={fd}' + (f',{self.link}' if self.link else '')]
        return words


class Process:
    """One process of a side, with a client to each of its devices."""

    def __init__(self, side, client, disks, drive):
        pairs = [socket.socketpair() for _ in disks]
        theirs = [pair[1].fileno() for pair in pairs]
        argv = side.arguments(disks, theirs, drive)
        self.remote = subprocess.Popen(argv, pass_fds=theirs, stdin=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE, text=True)
        self.clients = []
        for ours, other in pairs:
            other.close()
            with ours:
                self.clients.append(subprocess.Popen(
                    [client, side.protocol, str(ours.fileno()), str(self.remote.pid)],
                    pass_fds=[ours.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, text=True))

    def close(self):
        for each in (*self.clients, self.remote):
            if each.stdin:
                with contextlib.suppress(BrokenPipeError):
                    each.stdin.close()
        for each in (*self.clients, self.remote):
            try:
                each.wait(timeout=20)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()
            each.stderr.close()
            if each.stdout:
                each.stdout.close()


class Session:
    """So many devices of a side, made anew when a process has ended early."""

    def __init__(self, side, client, disks, drive=''):
        self.side, self.client, self.disks, self.drive = side, client, disks, drive
        self.processes = []
        self._persist(self._start)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def pids(self):
        return [process.remote.pid for process in self.processes]

    def close(self):
        for process in self.processes:
            process.close()
        self.processes = []

    def ask(self, order):
        """What each device answers to an order that all of them get at once."""
        return self._persist(lambda: self._ask(order))

    def _start(self):
        self.close()
        share = 1 if self.side.one_device else len(self.disks)
        parts = [self.disks[at:at + share] for at in range(0, len(self.disks), share)]
        self.processes = [self._process(disks) for disks in parts]
        for at, disks in enumerate(parts):
            self._greet(at, disks)

    def _process(self, disks):
        return Process(self.side, self.client, disks, self.drive)

    def _greet(self, at, disks):
        """One that has ended early is made again alone: of 64, one may well have."""
        for left in reversed(range(TRIES)):
            try:
                for client in self.processes[at].clients:
                    self._answer(client)
                return
            except BenchError as err:
                if not left:
                    raise
                say(f'{err}; again')
                self.processes[at].close()
                self.processes[at] = self._process(disks)

    def _clients(self):
        return [client for process in self.processes for client in process.clients]

    def _ask(self, order):
        if not self.processes:
            self._start()
        for client in self._clients():
            try:
                client.stdin.write(order + '\n')
                client.stdin.flush()
            except BrokenPipeError:
                pass  # its answer says why
        return [self._answer(client) for client in self._clients()]

    def _answer(self, client):
        line = client.stdout.readline()
        if not line:
            client.wait()
            raise BenchError(f'{self.side.name}: {self._last_words(client)}')
        words = line.split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def _last_words(self, client):
        process = next(each for each in self.processes if client in each.clients)
        process.remote.kill()
        said = [client.stderr.read().strip(), *process.remote.stderr.read().strip().splitlines()]
        return ' / '.join(said).strip(' /')

    def _persist(self, what):
        for left in reversed(range(TRIES)):
            try:
                return what()
            except BenchError as err:
                self.close()
                if not left:
                    raise
                say(f'{err}; again')
        return None


def start_all(side, disks):
    """Nanoseconds from before the start of so many mpqemu devices to the last config reply."""
    request = struct.pack('=iIQIIi', 3, 0, 12, 0, 0, 2)  # PCI_CFGREAD of the vendor
    pairs = [socket.socketpair() for _ in disks]
    share = 1 if side.one_device else len(disks)
    processes = []
    begun = time.monotonic_ns()
    for at in range(0, len(disks), share):
        theirs = [pair[1].fileno() for pair in pairs[at:at + share]]
        processes.append(subprocess.Popen(side.arguments(disks[at:at + share], theirs),
                                          pass_fds=theirs, stdin=subprocess.DEVNULL))
    try:
        for ours, other in pairs:
            other.close()
            ours.settimeout(SECONDS)
            ours.sendall(request)
        for ours, _ in pairs:
            if len(ours.recv(24, socket.MSG_WAITALL)) != 24:
                raise BenchError(f'{side.name}: no config reply')
        return time.monotonic_ns() - begun
    finally:
        for ours, _ in pairs:
            ours.close()
        for process in processes:
            process.wait(timeout=SECONDS)


def memory_kib(pids):
    """Sums over processes of what /proc/PID/smaps_rollup says."""
    total = {'Rss': 0, 'Pss': 0, 'Private_Dirty': 0}
    for pid in pids:
        for line in Path(f'/proc/{pid}/smaps_rollup').read_text(encoding='utf-8').splitlines():
            name, _, value = line.partition(':')
            if name in total:
                total[name] += int(value.split()[0])
    return total


def thread_cpu_ns(pid, name):
    """That a process's thread of this name has used so far."""
    for task in Path(f'/proc/{pid}/task').iterdir():
        if (task / 'comm').read_text(encoding='utf-8').strip() == name:
            return int((task / 'schedstat').read_text(encoding='utf-8').split()[0])
    raise BenchError(f'process {pid} has no thread {name}')


def loaded_libraries(pid):
    text = Path(f'/proc/{pid}/maps').read_text(encoding='utf-8')
    return len(set(re.findall(r'/\S*\.so\S*', text)))


def weigh(program, folder):
    """Bytes without symbols, and how many libraries the program names."""
    stripped = Path(folder) / 'stripped'
    path = shutil.which(program)
    run(['strip', '-o', stripped, path])
    size = stripped.stat().st_size
    stripped.unlink()
    return size, len(re.findall(r'\(NEEDED\)', run(['readelf', '-d', path])))


def median(values):
    return statistics.median(values)


def percentile(share):
    def of(values):
        ordered = sorted(values)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
    return of


class Asker(threading.Thread):
    """Asks a monitor one thing so many times a second, and counts the answers."""

    def __init__(self, path, command, per_second):
        super().__init__(daemon=True)
        self.command = command
        self.period = 1 / per_second
        self.answers = 0
        self.ended = threading.Event()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(path))
        self.lines = self.sock.makefile('r', encoding='utf-8')
        self.lines.readline()  # the greeting
        self._ask('qmp_capabilities')

    def _ask(self, command):
        self.sock.sendall(b'{"execute": "%s"}\n' % command.encode())
        if not self.lines.readline().startswith('{"return"'):
            raise BenchError(f'{command} has failed')

    def run(self):
        due = time.monotonic()
        while not self.ended.wait(max(0, due - time.monotonic())):
            self._ask(self.command)
            self.answers += 1
            due += self.period

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()
        self.lines.close()
        self.sock.close()


class NbdServer:
    """qemu-nbd with a raw image, on a socket, for any number of clients."""

    def __init__(self, path, image):
        self.path = Path(path).absolute()
        self.process = subprocess.Popen(
            ['qemu-nbd', '-f', 'raw', '-t', '-e', '0', '-k', str(self.path), str(image)],
            stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        while not self.path.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise BenchError('qemu-nbd does not serve')
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.terminate()
        self.process.wait()


def set_pages(path, cached):
    """All of an image into the page cache, or out of it: one that is only used past it isn't there,
    and a page that is has to be dropped before a write, for which Linux gives that to a worker. Of
    what is no file, or has holes, nothing."""
    if not Path(path).is_file():
        return
    with open(path, 'rb') as image:
        info = os.fstat(image.fileno())
        if not cached:
            os.fsync(image.fileno())
            os.posix_fadvise(image.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        elif info.st_blocks * 512 >= info.st_size:
            while image.read(1 << 20):
                pass


def make_image(path, mib):
    """Random bytes, so that no file system leaves anything out."""
    with open(path, 'wb') as out:
        for _ in range(mib):
            out.write(os.urandom(1 << 20))
        out.flush()
        os.fsync(out.fileno())
    return path

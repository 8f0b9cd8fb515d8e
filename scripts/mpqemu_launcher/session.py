# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes of one launch: started, watched, ended in order, and what became of them."""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
import time
from typing import Dict, List, Optional, Union

from .errors import LaunchError
from .probe import tells_readiness

EXIT_SETUP, EXIT_VM, EXIT_REMOTE, EXIT_TIMEOUT = 1, 3, 4, 124

# Seconds until all processes are gone: when a signal or the time-out ends them, and when the VM has
# ended by itself, after which a remote may have more to flush.
END_ASKED, END_NATURAL = 1.9, 6.0
READY_SECONDS = 10.0


def parse_cpus(text):
    """The CPUs that "0,2-3" names."""
    try:
        cpus = set()
        for part in text.split(","):
            first, _, last = part.partition("-")
            cpus.update(range(int(first), int(last or first) + 1))
    except ValueError:
        raise LaunchError(f"cpus = \"{text}\": expected numbers and ranges as in 0,2-3") from None
    missing = cpus - os.sched_getaffinity(0)
    if missing or not cpus:
        raise LaunchError(f"cpus = \"{text}\": not a set of CPUs that this process may use")
    return cpus


@contextlib.contextmanager
def pinned(text):
    """What this thread starts meanwhile runs on these CPUs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, parse_cpus(text) if text else before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Readiness:
    """The socket of sd_notify(3), on which a remote says that it serves."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, f"{name}.ready")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self.socket.bind(self.path)
        except OSError as err:
            raise LaunchError(f"{self.path}: {err.strerror or err}") from err
        self.socket.settimeout(0.05)

    def wait(self, child, called_off):
        """Until it is ready or has ended, which the session will see, or nobody wants it more."""
        deadline = time.monotonic() + READY_SECONDS
        while child.running() and not called_off():
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in self.socket.recv(4096).split(b"\n"):
                    break
            if time.monotonic() > deadline:
                raise LaunchError(f"{child.name}: not ready after {READY_SECONDS:g} s")
        self.socket.close()


class Child:
    """A started process, with a thread that waits for its end and reports it to a queue."""

    def __init__(self, name, argv, fds, events, **popen):
        self.name = name
        try:
            self.process = subprocess.Popen(argv, pass_fds=fds, **popen)
        except OSError as err:
            raise LaunchError(f"{argv[0]}: {err.strerror}") from err
        self.asked = None  # the signal by which we ended it, if we did
        threading.Thread(target=self._wait, args=(events,), daemon=True).start()

    def _wait(self, events):
        self.process.wait()
        events.put(self)

    def running(self):
        return self.process.returncode is None

    def ask(self, number):
        if self.running():
            self.asked = number
            self.process.send_signal(number)

    def failed(self):
        status = self.process.returncode
        return status not in (0, None) and status != -(self.asked or 0)

    def killed(self):
        """SIGTERM was not enough, so what it still had to do has not been done."""
        return self.asked == signal.SIGKILL and self.process.returncode == -signal.SIGKILL

    def fate(self):
        """How it ended, in words."""
        status = self.process.returncode
        if status is None:
            return f"{self.name}: still running"
        if status >= 0:
            return f"{self.name}: exit status {status}"
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        sender = " from the launcher" if self.asked == -status else ""
        return f"{self.name}: ended by {name}{sender}"


class Session:
    """One VM and its remotes, from the socket pairs to the exit status.

    with Session(launch) as session:
        status = session.wait(timeout=60)
    """

    def __init__(self, launch, say=None, vm_popen=None, remote_popen=None):
        """`vm_popen` and `remote_popen` are further arguments of subprocess.Popen."""
        self.launch = launch
        self.say = say or (lambda text: None)
        self.events = queue.SimpleQueue()  # its put() may be called from a signal handler
        self.remotes: List[Child] = []
        self.vm: Optional[Child] = None
        self._said: Optional[Child] = None  # whose end has been reported already
        self._interrupted = False
        self._undo = contextlib.ExitStack()
        self._vm_popen = vm_popen or {}
        self._remote_popen = {"stdin": subprocess.DEVNULL, **(remote_popen or {})}

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            # Of sockets, for this user alone: nobody else can connect.
            self._start(undo.enter_context(tempfile.TemporaryDirectory(prefix="mpqemu")))
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_):
        self._undo.close()

    def children(self):
        return [*self.remotes, *([self.vm] if self.vm else [])]

    def _start(self, folder):
        with contextlib.ExitStack() as ours:  # our copies of both ends go when all are started
            near: Dict[str, Union[int, str]] = {}
            far: Dict[str, int] = {}
            inherited = []
            for function in self.launch.functions():
                near[function.id], far[function.id], fds = function.protocol.connect(
                    function, folder, ours)
                inherited += fds
            started = [self._start_remote(remote, far, folder) for remote in self.launch.remotes]
            for child, readiness in started:
                if readiness:
                    readiness.wait(child, lambda: self._interrupted)
            if self._interrupted or any(readiness and not child.running()
                                        for child, readiness in started):
                return  # a VM without its device, or one too late; wait() says why
            with pinned(self.launch.vm.cpus):
                self.vm = Child("VM", self.launch.vm.argv(self.launch.functions(), near),
                                tuple(inherited), self.events, **self._vm_popen)

    def _start_remote(self, remote, far, folder):
        """The process, and what tells that it serves where it can tell that."""
        fds = {f.id: far[f.id] for f in remote.functions}
        popen = dict(self._remote_popen)
        readiness = Readiness(folder, remote.name) if tells_readiness(remote.binary) else None
        if readiness:
            popen["env"] = {**(popen.get("env") or os.environ), "NOTIFY_SOCKET": readiness.path}
        # In a session of its own, so that ^C reaches the VM and the launcher only, and the remote
        # lives until the VM has let go of its disk.
        with pinned(remote.cpus):
            child = Child(f"remote {remote.name}", remote.argv(fds), tuple(fds.values()),
                          self.events, start_new_session=True, **popen)
        self.remotes.append(child)
        return child, readiness

    def interrupt(self, number):
        """Ends the session as if the signal had come; safe in a signal handler."""
        self._interrupted = True
        self.events.put(number)

    def wait(self, timeout=None):
        """Waits for the end of the VM, ends the rest, returns the launcher's exit status."""
        try:
            event = self.events.get(timeout=timeout)
        except queue.Empty:
            self.say(f"time is up after {timeout:g} s")
            self.stop()
            self._tell_killed()
            return EXIT_TIMEOUT
        if isinstance(event, int):
            self.say(f"{signal.Signals(event).name}: ending the {'VM' if self.vm else 'remotes'}")
            self.stop()
            return EXIT_REMOTE if self._tell_killed() else 128 + event
        if event is not self.vm:
            # The VM goes on without its device, but nothing good can come of that. It may also
            # be going down itself, in which case its own end says more.
            if self.vm:
                _await([self.vm], time.monotonic() + 0.2)
            if not self.vm or self.vm.running():
                when = "while the VM was running" if self.vm else "before it was ready"
                self.say(f"{event.fate()} {when}")
                self._said = event
        self.stop(END_NATURAL)
        return self.report()

    def stop(self, seconds=END_ASKED):
        """Ends what still runs, the VM first; all is gone after these seconds at the latest."""
        end = time.monotonic() + seconds
        if self.vm:
            self.vm.ask(signal.SIGTERM)
            _await([self.vm], end - 0.6 * seconds)
            self.vm.ask(signal.SIGKILL)
        # The VM's end closes the sockets, which ends the remotes; the signal is for the stubborn.
        _await(self.remotes, end - 0.5 * seconds)
        for number, until in ((signal.SIGTERM, end - 0.05), (signal.SIGKILL, end)):
            for remote in self.remotes:
                remote.ask(number)
            _await(self.remotes, until)

    def _tell_killed(self):
        """Says who had to be killed; true if a remote had, which may have had more to write."""
        for child in self.children():
            if child.killed():
                self.say(child.fate())
        return any(remote.killed() for remote in self.remotes)

    def _polls(self):
        accel = self.launch.vm.accel
        return any(f.protocol.kernel_args(accel) for f in self.launch.functions())

    def report(self):
        """Says who failed and how, and returns the exit status that tells."""
        for child in self.children():
            if child.failed() and child is not self._said:
                self.say(child.fate())
        killed = self._tell_killed()
        if self.vm and self._polls() and self.vm.process.returncode == -signal.SIGSEGV:
            self.say("VM: QEMU 11's proxy is known to crash at start without KVM")
        if not self.vm or killed or any(remote.failed() for remote in self.remotes):
            return EXIT_REMOTE
        if self.vm.failed():
            return EXIT_VM
        # A remote that ended by itself, with 0 but too early, took the VM's disk away.
        return EXIT_REMOTE if self.vm.asked else 0


def _await(children, deadline):
    """Waits until all children are gone or the time has come."""
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))

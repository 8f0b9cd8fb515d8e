# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes of one launch: started, watched, ended in order, and what became of them."""

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from typing import Dict, List, Optional, Union

from .errors import LaunchError

EXIT_SETUP, EXIT_VM, EXIT_REMOTE, EXIT_TIMEOUT = 1, 3, 4, 124

# Seconds a process is given to end by itself before it is asked to, and before it is killed. The
# remote flushes its disks in that time.
GRACE = 2.0


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
            for remote in self.launch.remotes:
                fds = {f.id: far[f.id] for f in remote.functions}
                # In a session of its own, so that ^C reaches the VM and the launcher only, and
                # the remote lives until the VM has let go of its disk.
                self.remotes.append(Child(f"remote {remote.name}", remote.argv(fds),
                                          tuple(fds.values()), self.events,
                                          start_new_session=True, **self._remote_popen))
            self.vm = Child("VM", self.launch.vm.argv(self.launch.functions(), near),
                            tuple(inherited), self.events, **self._vm_popen)

    def interrupt(self, number):
        """Ends the session as if the signal had come; safe in a signal handler."""
        self.events.put(number)

    def wait(self, timeout=None):
        """Waits for the end of the VM, ends the rest, returns the launcher's exit status."""
        try:
            event = self.events.get(timeout=timeout)
        except queue.Empty:
            self.say(f"time is up after {timeout:g} s")
            self.stop()
            return EXIT_TIMEOUT
        if isinstance(event, int):
            self.say(f"{signal.Signals(event).name}: ending the VM")
            self.stop()
            return 128 + event
        if event is not self.vm:
            # The VM goes on without its device, but nothing good can come of that. It may also
            # be going down itself, in which case its own end says more.
            _await([self.vm], 0.2)
            if self.vm.running():
                self.say(f"{event.fate()} while the VM was running")
                self._said = event
        self.stop()
        return self.report()

    def stop(self):
        """Ends what still runs, the VM first; returns when all is gone, or after 5 * GRACE."""
        if self.vm:
            self.vm.ask(signal.SIGTERM)
            _end([self.vm])
        # The VM's end closes the sockets, which ends the remotes; the signal is for the stubborn.
        _await(self.remotes, GRACE)
        for remote in self.remotes:
            remote.ask(signal.SIGTERM)
        _end(self.remotes)

    def _polls(self):
        accel = self.launch.vm.accel
        return any(f.protocol.kernel_args(accel) for f in self.launch.functions())

    def report(self):
        """Says who failed and how, and returns the exit status that tells."""
        for child in self.children():
            if child.failed() and child is not self._said:
                self.say(child.fate())
        if self._polls() and self.vm.process.returncode == -signal.SIGSEGV:
            self.say("VM: QEMU 11's proxy is known to crash at start without KVM")
        if any(remote.failed() for remote in self.remotes):
            return EXIT_REMOTE
        if self.vm.failed():
            return EXIT_VM
        # A remote that ended by itself, with 0 but too early, took the VM's disk away.
        return EXIT_REMOTE if self.vm.asked else 0


def _await(children, seconds):
    """Waits until all children are gone or the time is over; says which it was."""
    deadline = time.monotonic() + seconds
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))
    return not any(child.running() for child in children)


def _end(children):
    """Gives children that have been asked to end the time to do so, then kills them."""
    if not _await(children, GRACE):
        for child in children:
            child.ask(signal.SIGKILL)
        _await(children, GRACE)

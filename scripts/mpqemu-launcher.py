#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Start a QEMU whose PCI device lives in another process.

The remote process serves a PCI device, the VM's process has `vfio-user-pci` (QEMU 10.1 and later)
or `x-pci-proxy-dev` in its place. Both are started from here, with a socket between them, and
watched until the VM ends:

    mpqemu-launcher.py --disk disk.img --kernel vmlinuz --initrd initrd --append root=/dev/sda

What follows `--` goes to the VM's command line as it is. The remote is
qemu-system-x86_64-remote, or, with --protocol mpqemu, any QEMU that has `-machine x-remote`.

Exit status: 0 both processes ended as they should, 1 an option or the start-up failed, 3 the VM
failed, 4 a remote failed, 124 the time was up, 128+N ended on request by signal N.

The file can be imported (importlib; Python 3.9, standard library only). plan() turns options into
a Launch of process descriptions, which Session runs; probe_kvm(), pick_accel() and
pick_protocol() stand alone.
"""

import argparse
import base64
import contextlib
import functools
import json
import os
import queue
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Union

EXIT_SETUP, EXIT_VM, EXIT_REMOTE, EXIT_TIMEOUT = 1, 3, 4, 124

# Seconds a process is given to end by itself before it is asked to, and before it is killed. The
# remote flushes its disks in that time.
GRACE = 2.0

# Without KVM x-pci-proxy-dev has nowhere to deliver interrupts, so Linux has to look for them.
POLLING_ARGS = "irqpoll noapic nolapic nohpet"

# kvm-probe.S, assembled: the last 1 KiB of a ROM. A guest that gets to its end exits with 0x43.
PROBE_ROM = zlib.decompress(base64.b64decode(
    "eNrtUD1LA0EQfRdzRkTdWCgBFc6IlSA5tbAMWiTllZZWp6QRtNfTCJomjaWWWoiFW15E9MTitIpYBWyucfGjERLwIybr"
    "bBKE/AYdmJn3Zmd33o7tRpEv5b383TkcgGvCOehbHvqWsujrbwjqUgN83eoI6ojQeUg4pneJKFDAMPBdPvF1xSKGagPF"
    "SEKhmEKLjRrxHSj0saJQIJkRZG8MFg9cdZPFSwWa7LGpXo1msQQzvF7qd1jcezkiITHwDuE05LnrNSkvMQfYuYjtp0Ix"
    "UAwjf/UUtXOpTj88Hrbo7gZwsdtoXSChaaqUD5k28EiAaSNPlNxZhVHi/cLghhjlYXKNvE4+I+b5sUhSLWk+UHSqlWy1"
    "e/Xzi+vCKWySWNM7i2GMxBa2iLlrNMu8J7atGEKAYpmJZawDmVBm2l2hDitdNG+ZzjuFw0dFpfJas+Q1DTcW0kW0TEoK"
    "+8Vm3mvl/dN2Xm7l6imWAAs5/FoK6t8pqI833mNINtHXpM20wbsarbdHo93aL6DlduHf/pI9v9fa+A/GnLwC"
))
PROBE_PASSED = 0x43
PROBE_SECONDS = 5.0


class LaunchError(Exception):
    """Start-up can't go on; the text is one sentence for the operator."""


class Mpqemu:
    """`x-pci-proxy-dev`, with a socket pair: each side gets the number of its end."""

    name = "mpqemu"
    machine = "x-remote"

    @staticmethod
    def remote_object(device, fd):
        return f"x-remote-object,id={device}-link,devid={device},fd={fd}"

    @staticmethod
    def vm_device(device, fd):
        return f"x-pci-proxy-dev,id={device},fd={fd}"

    @staticmethod
    def kernel_args(accel):
        return POLLING_ARGS if accel == "tcg" else ""

    @staticmethod
    def connect(function, folder, ours):
        """Makes the socket: returns the VM's end, the remote's, and what the VM inherits."""
        near, far = (ours.enter_context(end) for end in socket.socketpair())
        return near.fileno(), far.fileno(), (near.fileno(),)

    @staticmethod
    def example(function, number):
        """Both ends as --dry-run shows them."""
        return number, number


class VfioUser:
    """`vfio-user-pci`, which connects to a path, once, when the VM starts.

    So that it can't come too early, the socket listens before either process is there; the remote
    inherits it.
    """

    name = "vfio-user"
    machine = "x-remote,vfio-user=on"

    @staticmethod
    def remote_object(device, fd):
        return f"x-vfio-user-server,id={device}-link,device={device},fd={fd}"

    @staticmethod
    def vm_device(device, path):
        # In JSON, since the option syntax has no spelling for a socket address.
        return json.dumps({"driver": "vfio-user-pci", "id": device,
                           "socket": {"type": "unix", "path": path}})

    @staticmethod
    def kernel_args(_accel):
        return ""

    @staticmethod
    def connect(function, folder, ours):
        path = os.path.join(folder, f"{function.id}.sock")
        listener = ours.enter_context(socket.socket(socket.AF_UNIX))
        try:
            listener.bind(path)
        except OSError as err:  # without an errno where the path is too long
            raise LaunchError(f"{path}: {err.strerror or err}") from err
        listener.listen(1)
        return path, listener.fileno(), ()

    @staticmethod
    def example(function, number):
        return f"{function.id}.sock", number


PROTOCOLS = {protocol.name: protocol for protocol in (VfioUser, Mpqemu)}


@dataclass
class Function:
    """One PCI function: a device in the remote, a client in the VM, a socket between them."""

    id: str = "lsi0"
    device: str = "lsi53c895a"
    disks: List[str] = field(default_factory=list)
    readonly: bool = False
    protocol: type = Mpqemu

    def remote_args(self, fd):
        args = ["-device", f"{self.device},id={self.id}"]
        for number, disk in enumerate(self.disks):
            drive = f"{self.id}-drive{number}"
            name = disk.replace(",", ",,")  # a comma ends a value in QEMU's option syntax
            access = ",readonly=on" if self.readonly else ""
            args += ["-drive", f"if=none,id={drive},format=raw,file={name}{access}",
                     "-device", f"scsi-hd,drive={drive},bus={self.id}.0,scsi-id={number}"]
        return args + ["-object", self.protocol.remote_object(self.id, fd)]

    def vm_args(self, end):
        return ["-device", self.protocol.vm_device(self.id, end)]


@dataclass
class Remote:
    """One remote process; `functions` share it and its protocol, so they share its fate, too."""

    name: str
    binary: str
    functions: List[Function]
    extra: List[str] = field(default_factory=list)

    def argv(self, fds):
        argv = [self.binary, "-machine", self.functions[0].protocol.machine,
                "-nodefaults", "-display", "none"]
        for function in self.functions:
            argv += function.remote_args(fds[function.id])
        return argv + self.extra


@dataclass
class Vm:
    """The VM's process. Its RAM is a shared memfd, or the remote would see none of it."""

    binary: str
    accel: str
    memory: str = "512M"
    machine: str = "pc"
    kernel: Optional[str] = None
    initrd: Optional[str] = None
    append: str = ""
    extra: List[str] = field(default_factory=list)

    def argv(self, functions, ends):
        argv = [self.binary, "-accel", self.accel,
                "-machine", f"{self.machine},memory-backend=mem",
                "-object", f"memory-backend-memfd,id=mem,size={self.memory},share=on",
                "-m", self.memory]
        for function in functions:
            argv += function.vm_args(ends[function.id])
        for option, value in (("-kernel", self.kernel), ("-initrd", self.initrd),
                              ("-append", self.append)):
            if value:
                argv += [option, value]
        return argv + self.extra


@dataclass
class Launch:
    """All processes of one VM."""

    vm: Vm
    remotes: List[Remote]

    def functions(self):
        return [function for remote in self.remotes for function in remote.functions]

    def command_lines(self):
        """The argument lists as --dry-run shows them; descriptors are numbered from 3."""
        near, far = {}, {}
        for number, function in enumerate(self.functions(), 3):
            near[function.id], far[function.id] = function.protocol.example(function, number)
        return [*(remote.argv(far) for remote in self.remotes),
                self.vm.argv(self.functions(), near)]


@functools.lru_cache(maxsize=None)
def probe_kvm(binary):
    """Why KVM can't run Linux here, or None if it can: found out by running a tiny guest.

    That /dev/kvm is there and opens says little: a software KVM without hardware virtualisation
    runs firmware and stops at a kernel's first instructions.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm can't be opened" if os.path.exists("/dev/kvm") else "there is no /dev/kvm"
    return run_probe(binary, "kvm")


def run_probe(binary, accel):
    """Runs the probe's guest under one accelerator; None if it got through, else the reason."""
    with tempfile.NamedTemporaryFile(prefix="mpqprobe") as rom:
        rom.write(bytes(65536 - len(PROBE_ROM)) + PROBE_ROM)
        rom.flush()
        argv = [binary, "-accel", accel, "-machine", "pc", "-m", "16", "-nodefaults",
                "-no-user-config", "-display", "none", "-no-reboot", "-bios", rom.name,
                "-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        try:
            guest = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True, errors="replace")
        except OSError as err:
            raise LaunchError(f"{binary}: {err.strerror}") from err
        # After an emulation failure QEMU pauses for ever, so its message ends the wait, too.
        watchdog = threading.Timer(PROBE_SECONDS, guest.kill)
        watchdog.start()
        last = ""
        with guest:
            for line in guest.stderr:
                if "warning:" not in line:
                    last = last or line.strip()
                if "internal error" in line:
                    guest.kill()
            status = guest.wait()
        watchdog.cancel()
    if status == PROBE_PASSED:
        return None
    return last or (f"the probe's guest hung for {PROBE_SECONDS:.0f} s" if status < 0
                    else f"the probe's guest ended with {status}")


def pick_accel(wanted, binary):
    """Returns (accelerator, one line that says why)."""
    if wanted == "tcg":
        return "tcg", "TCG as asked"
    reason = probe_kvm(binary)
    if reason is None:
        return "kvm", "KVM: a test guest ran"
    if wanted == "kvm":
        raise LaunchError(f"--accel kvm: KVM can't run Linux here: {reason}")
    return "tcg", f"TCG, since KVM can't run Linux here ({reason})"


@functools.lru_cache(maxsize=None)
def has(binary, *question):
    """Whether a program, asked for help, names the last word of the question."""
    try:
        said = subprocess.run([binary, *question[:-1]], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              errors="replace", timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    except OSError as err:
        raise LaunchError(f"{binary}: {err.strerror}") from err
    return question[-1] in said.stdout.split()


def pick_protocol(wanted, vm_binary, remote_binary):
    """Returns (protocol, one line that says why)."""
    if wanted == "mpqemu":
        return Mpqemu, "mpqemu as asked"
    # Not `-device help`, for which a QEMU loads every module that it has ever heard of.
    lacks = None
    if not has(vm_binary, "-device", "vfio-user-pci,help", "vfio-user-pci"):
        lacks = f"{vm_binary} has no vfio-user-pci"
    elif not has(remote_binary, "-object", "help", "x-vfio-user-server"):
        lacks = f"{remote_binary} has no x-vfio-user-server"
    if wanted == "vfio-user":
        if lacks:
            raise LaunchError(f"--protocol vfio-user: {lacks}")
        return VfioUser, "vfio-user as asked"
    if lacks:
        return Mpqemu, f"mpqemu, since {lacks}"
    return VfioUser, "vfio-user: both programs have it"


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


def default_remote():
    """The remote beside this script, in a checkout or installed, else whatever is on the PATH."""
    here = os.path.dirname(os.path.realpath(__file__))
    name = "qemu-system-x86_64-remote"
    for path in (os.path.join(here, "..", "build", name), os.path.join(here, name)):
        if os.access(path, os.X_OK):
            return os.path.normpath(path)
    return name


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are ours: one line, and exit status 1."""

    def error(self, message):
        raise LaunchError(message)


def parser():
    p = Parser(
        prog="mpqemu-launcher", description=__doc__.split("\n\n")[0],
        usage="%(prog)s [options] [-- further options of the VM]")
    p.add_argument("--remote-binary", metavar="PROGRAM",
                   default=os.environ.get("QEMU_REMOTE") or default_remote(),
                   help="the remote's program (default: $QEMU_REMOTE, else %(default)s)")
    p.add_argument("--vm-binary", metavar="PROGRAM",
                   default=os.environ.get("QEMU_VM") or "qemu-system-x86_64",
                   help="the VM's program (default: $QEMU_VM, else qemu-system-x86_64)")
    p.add_argument("--device", default="lsi53c895a", help="the remote's device (%(default)s)")
    p.add_argument("--disk", action="append", default=[], metavar="FILE",
                   help="raw image; given again: the next SCSI id")
    p.add_argument("--readonly", action="store_true", help="the disks can't be written")
    p.add_argument("--kernel", metavar="FILE")
    p.add_argument("--initrd", metavar="FILE")
    p.add_argument("--append", default="", metavar="ARGS", help="kernel command line")
    p.add_argument("--machine", default="pc", help="the VM's machine type (%(default)s)")
    p.add_argument("--memory", default="512M", metavar="SIZE", help="guest RAM (%(default)s)")
    p.add_argument("--accel", choices=("auto", "kvm", "tcg"), default="auto",
                   help="auto: KVM where it runs a test guest, else TCG")
    p.add_argument("--protocol", choices=("auto", *PROTOCOLS), default="auto",
                   help="auto: vfio-user where both programs have it, else mpqemu")
    p.add_argument("--remote-args", default="", metavar="ARGS",
                   help="further options of the remote, in one word")
    p.add_argument("--timeout", type=float, metavar="SECONDS", help="end everything after this")
    p.add_argument("--dry-run", action="store_true", help="print the command lines and exit")
    p.add_argument("--quiet", action="store_true", help="say only what goes wrong")
    return p


def check_files(options):
    """A file that can't be read is better reported here than by a process that has just begun."""
    named = [("--disk", disk) for disk in options.disk]
    named += [("--kernel", options.kernel), ("--initrd", options.initrd)]
    for option, path in named:
        if path and not os.path.exists(path):
            raise LaunchError(f"{option} {path}: no such file")
    for option, program in (("--remote-binary", options.remote_binary),
                            ("--vm-binary", options.vm_binary)):
        if not shutil.which(program):
            raise LaunchError(f"{option} {program}: no such program")


def plan(options, vm_extra=(), say=None):
    """Makes a Launch of parsed options: picks what is left to it, completes the kernel's line."""
    check_files(options)
    protocol, why_protocol = pick_protocol(options.protocol, options.vm_binary,
                                           options.remote_binary)
    accel, why_accel = pick_accel(options.accel, options.vm_binary)
    polling = protocol.kernel_args(accel)
    if say:
        say(why_protocol)
        say(f"{why_accel}; the guest polls for interrupts ({polling})" if polling else why_accel)
    append = f"{options.append} {polling}".strip() if options.kernel else options.append
    function = Function(device=options.device, disks=options.disk, readonly=options.readonly,
                        protocol=protocol)
    return Launch(
        vm=Vm(binary=options.vm_binary, accel=accel, memory=options.memory,
              machine=options.machine, kernel=options.kernel, initrd=options.initrd,
              append=append, extra=list(vm_extra)),
        remotes=[Remote(name=function.id, binary=options.remote_binary, functions=[function],
                        extra=shlex.split(options.remote_args))])


def run(launch, timeout=None, say=None, **popen):
    """Runs a Launch with this process's signals forwarded; returns the exit status.

    `popen` goes to Session: vm_popen, remote_popen.
    """
    session = Session(launch, say=say, **popen)
    forwarded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.signal(n, lambda number, _: session.interrupt(number)) for n in forwarded}
    try:
        with session:
            return session.wait(timeout)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(argv=None):
    argv = list(sys.argv[1:] if argv is None else argv)
    vm_extra = []
    if "--" in argv:
        at = argv.index("--")
        argv, vm_extra = argv[:at], argv[at + 1:]

    def say(text):
        print(f"mpqemu-launcher: {text}", file=sys.stderr, flush=True)

    try:
        options = parser().parse_args(argv)
        launch = plan(options, vm_extra, None if options.quiet else say)
        if options.dry_run:
            for line in launch.command_lines():
                print(shlex.join(line))
            return 0
        return run(launch, options.timeout, say)
    except LaunchError as err:
        say(str(err))
        return EXIT_SETUP


if __name__ == "__main__":
    sys.exit(main())

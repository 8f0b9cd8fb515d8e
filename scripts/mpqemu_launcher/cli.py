# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of mpqemu-launcher."""

import argparse
import os
import shlex
import shutil
import signal
import sys

from . import config
from .description import ACCELS, Disk, Function, Launch, Remote, Vm
from .errors import LaunchError
from .probe import pick_accel, pick_protocol
from .protocol import PROTOCOLS
from .session import EXIT_SETUP, Session, parse_cpus

CHECKOUT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
DESCRIPTION = "Start a QEMU whose PCI device lives in another process."
DEVICE_OPTIONS = ("device", "disk", "cdrom", "readonly", "remote_args")


def default_remote():
    """The remote beside this script, in a checkout or installed, else whatever is on the PATH."""
    here = os.path.dirname(os.path.realpath(sys.argv[0] or "."))
    name = "qemu-system-x86_64-remote"
    for path in (os.path.join(CHECKOUT, "build", name), os.path.join(here, name)):
        if os.access(path, os.X_OK):
            return os.path.normpath(path)
    return name


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are ours: one line, and exit status 1."""

    def error(self, message):
        raise LaunchError(message)


def parser():
    p = Parser(
        prog="mpqemu-launcher", description=DESCRIPTION,
        usage="%(prog)s [options] [FILE] [-- further options of the VM]")
    p.add_argument("file", nargs="?", metavar="FILE",
                   help="a launcher file (TOML) that describes the VM and its remotes")
    p.add_argument("--remote-binary", metavar="PROGRAM",
                   default=os.environ.get("QEMU_REMOTE") or default_remote(),
                   help="the remote's program (default: $QEMU_REMOTE, else %(default)s)")
    p.add_argument("--vm-binary", metavar="PROGRAM",
                   default=os.environ.get("QEMU_VM") or "qemu-system-x86_64",
                   help="the VM's program (default: $QEMU_VM, else qemu-system-x86_64)")
    p.add_argument("--device", metavar="MODEL", help="the remote's device (lsi53c895a)")
    p.add_argument("--disk", action="append", default=[], metavar="FILE",
                   help="raw image; given again: the next SCSI id")
    p.add_argument("--cdrom", action="append", default=[], metavar="FILE",
                   help="CD image, behind the disks")
    p.add_argument("--readonly", action="store_true", help="the disks can't be written")
    p.add_argument("--kernel", metavar="FILE")
    p.add_argument("--initrd", metavar="FILE")
    p.add_argument("--append", metavar="ARGS", help="kernel command line")
    p.add_argument("--machine", help="the VM's machine type (pc)")
    p.add_argument("--memory", metavar="SIZE", help="guest RAM (512M)")
    p.add_argument("--accel", choices=ACCELS, help="auto: KVM where it runs a test guest, else TCG")
    p.add_argument("--protocol", choices=("auto", *PROTOCOLS),
                   help="auto: vfio-user where both programs have it, else mpqemu")
    p.add_argument("--remote-args", default="", metavar="ARGS",
                   help="further options of the remote, in one word")
    p.add_argument("--perf", action="store_true",
                   help="a process for each device, each pinned to a CPU of its own")
    p.add_argument("--timeout", type=float, metavar="SECONDS", help="end everything after this")
    p.add_argument("--dry-run", action="store_true", help="print the command lines and exit")
    p.add_argument("--quiet", action="store_true", help="say only what goes wrong")
    return p


def from_options(options):
    """The Launch that options alone describe: one remote with one device."""
    disks = [Disk(file=file, readonly=options.readonly) for file in options.disk]
    disks += [Disk(file=file, readonly=True, cdrom=True) for file in options.cdrom]
    function = Function(device=options.device or "lsi53c895a", disks=disks)
    return Launch(remotes=[Remote(name=function.id, functions=[function],
                                  extra=shlex.split(options.remote_args))])


def from_file(options):
    for name in DEVICE_OPTIONS:
        if getattr(options, name):
            raise LaunchError(f"--{name.replace('_', '-')}: {options.file} describes the devices")
    return config.load(options.file)


def check_files(launch):
    """A file that can't be read is better reported here than by a process that has just begun."""
    named = [("cdrom" if disk.cdrom else "disk", disk.file)
             for function in launch.functions() for disk in function.disks]
    named += [("kernel", launch.vm.kernel), ("initrd", launch.vm.initrd)]
    for option, path in named:
        if path and not os.path.exists(path):
            raise LaunchError(f"--{option} {path}: no such file")
    programs = [("remote", remote.binary) for remote in launch.remotes]
    for option, program in [*programs, ("vm", launch.vm.binary)]:
        if not shutil.which(program):
            raise LaunchError(f"--{option}-binary {program}: no such program")
    ids = [function.id for function in launch.functions()]
    for name in ids:
        if ids.count(name) > 1:
            raise LaunchError(f"two devices have the id '{name}'")


def apply_perf(launch):
    """A process for each device, pinned from the last CPU on; the VM keeps what is left, if any."""
    launch.remotes = [Remote(name=function.id, binary=remote.binary, functions=[function],
                             cpus=remote.cpus, extra=remote.extra)
                      for remote in launch.remotes for function in remote.functions]
    free = sorted(os.sched_getaffinity(0))
    for number, remote in enumerate(launch.remotes):
        remote.cpus = remote.cpus or str(free[-1 - number % len(free)])
    left = free[:-len(launch.remotes)]
    if left and not launch.vm.cpus:
        launch.vm.cpus = ",".join(map(str, left))


def settle(launch, options):
    """What options say goes before what the file says, and that before the defaults."""
    for name in ("kernel", "initrd", "append", "machine", "memory", "accel"):
        if getattr(options, name) is not None:
            setattr(launch.vm, name, getattr(options, name))
    launch.vm.binary = launch.vm.binary or options.vm_binary
    for remote in launch.remotes:
        remote.binary = remote.binary or options.remote_binary
    launch.protocol = options.protocol or launch.protocol
    launch.timeout = options.timeout or launch.timeout
    if options.perf:
        apply_perf(launch)
    for remote in [*launch.remotes, launch.vm]:
        if remote.cpus:
            parse_cpus(remote.cpus)


def choose(launch, say):
    """Picks what is left to the launcher, and completes the kernel's line."""
    vm = launch.vm
    reasons = []
    for remote in launch.remotes:
        protocol, reason = pick_protocol(launch.protocol, vm.binary, remote.binary)
        for function in remote.functions:
            function.protocol = protocol
        if reason not in reasons:
            reasons.append(reason)
    vm.accel, reason = pick_accel(vm.accel, vm.binary)
    polling = max((f.protocol.kernel_args(vm.accel) for f in launch.functions()), default="")
    if polling:
        reason += f"; the guest polls for interrupts ({polling})"
    if say:
        for line in [*reasons, reason]:
            say(line)
    if vm.kernel:
        vm.append = f"{vm.append} {polling}".strip()


def plan(options, vm_extra=(), say=None):
    """Makes a Launch of parsed options and the file that they name, ready to run."""
    launch = from_file(options) if options.file else from_options(options)
    launch.vm.extra = [*launch.vm.extra, *vm_extra]
    settle(launch, options)
    check_files(launch)
    choose(launch, say)
    return launch


def run(launch, timeout=None, say=None, **popen):
    """Runs a Launch with this process's signals forwarded; returns the exit status.

    `popen` goes to Session: vm_popen, remote_popen.
    """
    session = Session(launch, say=say, **popen)
    forwarded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.signal(n, lambda number, _: session.interrupt(number)) for n in forwarded}
    try:
        with session:
            return session.wait(timeout or launch.timeout)
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
        return run(launch, say=say)
    except LaunchError as err:
        say(str(err))
        return EXIT_SETUP

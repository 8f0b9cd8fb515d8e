# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of mpqemu-launcher."""

import argparse
import os
import shlex
import shutil
import signal
import sys

from .errors import LaunchError
from .description import Function, Launch, Remote, Vm
from .probe import pick_accel, pick_protocol
from .protocol import PROTOCOLS
from .session import EXIT_SETUP, Session

CHECKOUT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
DESCRIPTION = "Start a QEMU whose PCI device lives in another process."


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

# SPDX-License-Identifier: GPL-2.0-or-later
"""Start a QEMU whose PCI device lives in another process.

The remote process serves a PCI device, the VM's process has `vfio-user-pci` (QEMU 10.1 and later)
or `x-pci-proxy-dev` in its place. Both are started from here, with a socket between them, and
watched until the VM ends:

    mpqemu-launcher --disk disk.img --kernel vmlinuz --initrd initrd --append root=/dev/sda

What follows `--` goes to the VM's command line as it is. The remote is
qemu-system-x86_64-remote, or, with --protocol mpqemu, any QEMU that has `-machine x-remote`.

Exit status: 0 both processes ended as they should, 1 an option or the start-up failed, 3 the VM
failed, 4 a remote failed or had to be killed, 124 the time was up, 128+N ended on request by
signal N.

    cli          options: plan() turns them into a Launch, run() runs it, main() does both
    config       a launcher file: the same Launch as TOML
    description  Launch: one VM and its remotes, and their command lines
    protocol     mpqemu and vfio-user: command lines and sockets
    probe        what the programs and this machine can do
    session      Session: the processes, from the sockets to the exit status

Python 3.9, for launcher files 3.11; standard library only. What is named below is for importers.
"""

from .cli import main, parser, plan, run
from .description import Disk, Function, Launch, Remote, Vm
from .errors import LaunchError
from .probe import PROBE_ROM, has, pick_accel, pick_protocol, probe_kvm, run_probe
from .protocol import POLLING_ARGS, PROTOCOLS, Mpqemu, VfioUser
from .session import EXIT_REMOTE, EXIT_SETUP, EXIT_TIMEOUT, EXIT_VM, Session

__all__ = [
    "EXIT_REMOTE", "EXIT_SETUP", "EXIT_TIMEOUT", "EXIT_VM", "POLLING_ARGS", "PROBE_ROM",
    "PROTOCOLS", "Disk", "Function", "Launch", "LaunchError", "Mpqemu", "Remote", "Session",
    "VfioUser", "Vm", "has", "main", "parser", "pick_accel", "pick_protocol", "plan", "probe_kvm",
    "run", "run_probe",
]

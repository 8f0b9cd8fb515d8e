# SPDX-License-Identifier: GPL-2.0-or-later
"""The description of one VM and its remote processes, and their command lines.

The fields are the keys of a launcher file, too (config.py), with '-' for '_' there; `key=` and
`kind=` say what differs from that, kind=None what a file can't say.
"""

from dataclasses import dataclass, field
from typing import List, Optional

from .protocol import PROTOCOLS

ACCELS = ("auto", "kvm", "tcg")


def said(default=None, key=None, kind=str, **more):
    return field(default=default, metadata={"key": key, "kind": kind}, **more)


def listed(key=None, kind=(str,)):
    return field(default_factory=list, metadata={"key": key, "kind": kind})


def value(text):
    """In QEMU's option syntax a comma ends a value, and two are one."""
    return str(text).replace(",", ",,")


def options(pairs):
    """',key=value' for each pair that has a value."""
    return "".join(f",{key}={value(val)}" for key, val in pairs if val is not None)


@dataclass
class Disk:
    """A medium and the SCSI disk or CD drive that it is in."""

    file: str = said("")
    format: str = said("raw")
    readonly: bool = said(False, kind=bool)
    cdrom: bool = said(False, kind=bool)
    cache: Optional[str] = said()
    aio: Optional[str] = said()
    discard: Optional[str] = said()
    scsi_id: Optional[int] = said(kind=int)  # None: its place in the list
    lun: Optional[int] = said(kind=int)
    serial: Optional[str] = said()
    bootindex: Optional[int] = said(kind=int)
    drive_args: Optional[str] = said()  # further key=value of -drive and of -device
    device_args: Optional[str] = said()

    def args(self, name, bus, number):
        drive = f"if=none,id={name}" + options((
            ("format", self.format), ("file", self.file),
            ("readonly", "on" if self.readonly else None), ("cache", self.cache),
            ("aio", self.aio), ("discard", self.discard)))
        device = ("scsi-cd" if self.cdrom else "scsi-hd") + options((
            ("drive", name), ("bus", bus),
            ("scsi-id", number if self.scsi_id is None else self.scsi_id), ("lun", self.lun),
            ("serial", self.serial), ("bootindex", self.bootindex)))
        return ["-drive", drive + (f",{self.drive_args}" if self.drive_args else ""),
                "-device", device + (f",{self.device_args}" if self.device_args else "")]


@dataclass
class Function:
    """One PCI function: a device in the remote, a client in the VM, a socket between them."""

    id: str = said("lsi0")
    device: str = said("lsi53c895a", key="model")
    disks: List[Disk] = listed(key="disk", kind=(Disk,))
    protocol: Optional[type] = said(kind=None)

    def remote_args(self, fd):
        args = ["-device", f"{self.device},id={self.id}"]
        for number, disk in enumerate(self.disks):
            args += disk.args(f"{self.id}-drive{number}", f"{self.id}.0", number)
        return args + ["-object", self.protocol.remote_object(self.id, fd)]

    def vm_args(self, end):
        return ["-device", self.protocol.vm_device(self.id, end)]


@dataclass
class Remote:
    """One remote process; `functions` share it and its protocol, so they share its fate, too."""

    name: str = said("remote")
    binary: Optional[str] = said()
    functions: List[Function] = listed(key="device", kind=(Function,))
    cpus: Optional[str] = said()  # "0,2-3": the CPUs it is pinned to
    extra: List[str] = listed(key="args")

    def argv(self, fds):
        argv = [self.binary, "-machine", self.functions[0].protocol.machine,
                "-nodefaults", "-display", "none"]
        for function in self.functions:
            argv += function.remote_args(fds[function.id])
        return argv + self.extra


@dataclass
class Vm:
    """The VM's process. Its RAM is a shared memfd, or the remote would see none of it."""

    binary: Optional[str] = said()
    accel: str = said("auto", kind=ACCELS)
    memory: str = said("512M")
    machine: str = said("pc")
    kernel: Optional[str] = said()
    initrd: Optional[str] = said()
    append: str = said("")
    cpus: Optional[str] = said()
    extra: List[str] = listed(key="args")

    def argv(self, functions, ends):
        argv = [self.binary, "-accel", self.accel,
                "-machine", f"{self.machine},memory-backend=mem",
                "-object", f"memory-backend-memfd,id=mem,size={self.memory},share=on",
                "-m", self.memory]
        for function in functions:
            argv += function.vm_args(ends[function.id])
        for option, text in (("-kernel", self.kernel), ("-initrd", self.initrd),
                             ("-append", self.append)):
            if text:
                argv += [option, text]
        return argv + self.extra


@dataclass
class Launch:
    """All processes of one VM."""

    vm: Vm = field(default_factory=Vm, metadata={"key": None, "kind": Vm})
    remotes: List[Remote] = listed(key="remote", kind=(Remote,))
    protocol: str = said("auto", kind=("auto", *PROTOCOLS))
    timeout: Optional[float] = said(kind=float)

    def functions(self):
        return [function for remote in self.remotes for function in remote.functions]

    def command_lines(self):
        """The argument lists as --dry-run shows them; descriptors are numbered from 3."""
        near, far = {}, {}
        for number, function in enumerate(self.functions(), 3):
            near[function.id], far[function.id] = function.protocol.example(function, number)
        return [*(remote.argv(far) for remote in self.remotes),
                self.vm.argv(self.functions(), near)]

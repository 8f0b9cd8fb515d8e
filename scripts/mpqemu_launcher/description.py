# SPDX-License-Identifier: GPL-2.0-or-later
"""The description of one VM and its remote processes, and their command lines."""

from dataclasses import dataclass, field
from typing import List, Optional

from .protocol import Mpqemu


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

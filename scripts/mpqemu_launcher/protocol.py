# SPDX-License-Identifier: GPL-2.0-or-later
"""The protocols between VM and remote: what each side's command line says, and the socket."""

import json
import os
import socket

from .errors import LaunchError

# Without KVM x-pci-proxy-dev has nowhere to deliver interrupts, so Linux has to look for them.
POLLING_ARGS = "irqpoll noapic nolapic nohpet"


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

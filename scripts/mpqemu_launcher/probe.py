# SPDX-License-Identifier: GPL-2.0-or-later
"""What the programs and this machine can do, found out by asking and by trying."""

import base64
import functools
import json
import os
import subprocess
import tempfile
import threading
import zlib

from .errors import LaunchError
from .protocol import Mpqemu, VfioUser

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


@functools.lru_cache(maxsize=None)
def capabilities(binary):
    """What a program's --print-capabilities says, a dict; empty where it has no such option."""
    try:
        said = subprocess.run([binary, "--print-capabilities"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=PROBE_SECONDS, check=False)
        found = json.loads(said.stdout) if said.returncode == 0 else {}
    except subprocess.TimeoutExpired:
        return {}
    except ValueError:
        return {}
    except OSError as err:
        raise LaunchError(f"{binary}: {err.strerror}") from err
    return found if isinstance(found, dict) else {}


def serves_vfio_user(binary):
    """The stock remote can only be asked for its objects."""
    said = capabilities(binary).get("protocols")
    if said is None:
        return has(binary, "-object", "help", "x-vfio-user-server")
    return VfioUser.name in said


def tells_readiness(binary):
    return "sd-notify" in capabilities(binary).get("features", ())


def pick_protocol(wanted, vm_binary, remote_binary):
    """Returns (protocol, one line that says why)."""
    if wanted == "mpqemu":
        return Mpqemu, "mpqemu as asked"
    # Not `-device help`, for which a QEMU loads every module that it has ever heard of.
    lacks = None
    if not has(vm_binary, "-device", "vfio-user-pci,help", "vfio-user-pci"):
        lacks = f"{vm_binary} has no vfio-user-pci"
    elif not serves_vfio_user(remote_binary):
        lacks = f"{remote_binary} has no x-vfio-user-server"
    if wanted == "vfio-user":
        if lacks:
            raise LaunchError(f"--protocol vfio-user: {lacks}")
        return VfioUser, "vfio-user as asked"
    if lacks:
        return Mpqemu, f"mpqemu, since {lacks}"
    return VfioUser, "vfio-user: both programs have it"

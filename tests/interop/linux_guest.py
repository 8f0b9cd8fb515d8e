# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest at a prompt, with four disks and a CD behind one adapter of the remote's.

It lives in its initramfs, so whatever happens to the disks does not happen to the guest: fio and
sg3-utils are there with their libraries, as the host has them installed.

No test here depends on time but for one thing: whatever does not end within the VM's deadline
hangs, and fails.
"""

import collections
import errno
import hashlib
import re
import socket
import subprocess
import unittest

from interop import REMOTE, VM, InteropCase, guestkit, launcher, proxy_needs_kvm
import vfio_user

SG_TOOLS = ('sg_compare_and_write', 'sg_dd', 'sg_get_lba_status', 'sg_inq', 'sg_logs', 'sg_luns',
            'sg_modes', 'sg_opcodes', 'sg_persist', 'sg_raw', 'sg_readcap', 'sg_requests',
            'sg_reset', 'sg_start', 'sg_sync', 'sg_turs', 'sg_unmap', 'sg_verify', 'sg_vpd',
            'sg_write_same')
DISKS = ('disk0', 'disk1', 'disk2', 'disk3')  # names by id; sda and so on are by chance
DISK_SIZE = 64 << 20
SECTORS = DISK_SIZE // 512
CD_SIZE = 8 << 20
DEPTH = 64


INIT = guestkit.INITRAMFS_HEAD + f"""\
mount -t sysfs sys /sys
mkdir /tmp
# diskN and sg-idN of the unit with id N
links() {{
    for unit in /sys/class/scsi_device/*; do
        id=${{unit%:*}}
        id=${{id##*:}}
        ln -sf $(ls $unit/device/block) /dev/disk$id
        ln -sf $(ls $unit/device/scsi_generic) /dev/sg-id$id
    done
}}
block() {{ readlink -f /sys/class/block/$(readlink /dev/$1); }}
units=$(ls /sys/class/scsi_device | wc -l)
tries=0
while [ $(ls -d /sys/class/scsi_device/*/device/block | wc -l) != $units ] &&
        [ $tries -lt 600 ]; do
    usleep 50000
    tries=$((tries + 1))
done
links
stty -echo
dmesg -n 1
echo "{vfio_user.PROMPT}"
while read -r line; do
    echo "[[begin]]"
    eval "$line"
    echo "[[status $?]]"
done
"""

# What Linux says when the adapter, a target or what is on a disk misbehaves.
COMPLAINTS = re.compile(
    r'suspicious SCSI data|CACHE INCORRECTLY CONFIGURED|CACHE TEST FAILED|'
    r'cannot lock the frequency|ABORT|reset|unexpected|timed out|timing out|I/O error|Sense Key|'
    r'DRIVER_|sym0:.*(error|unable|mismatch)|nobody cared|Call Trace|blocked for more than|'
    r'EXT4-fs error',
    re.IGNORECASE)
# The driver resets the bus when it starts, and each unit says once that it has been.
START = re.compile(r'sym0: SCSI BUS has been reset\.|Power-on or device reset occurred')


def complaints(log, usual=START):
    """The lines of the SCSI drivers in a kernel's log that should not be there."""
    lines = (re.sub(r'^\[[ .\d]+\] ', '', line) for line in log.splitlines())
    return [line for line in lines if COMPLAINTS.search(line) and not usual.search(line)
            and not re.match(r'pci |PCI|ACPI|acpi|rtc|i8042', line)]


def programs(names):
    """The host's programs of these names; skips the case where one is not installed."""
    found = {name: guestkit.find_tool(name) for name in names}
    missing = [name for name, path in found.items() if not path]
    if missing:
        raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
    return list(found.values())


class Machine:
    """A remote process and a VM whose guest is at its prompt; stop() ends both."""

    def __init__(self, folder, kernel, initrd, protocol, devices, trace='stats', cpus=1):
        self.vm = None
        self.remote_log = folder / 'remote.log'
        kind = launcher.PROTOCOLS[protocol]
        near, far, client, program, fds = self._socket(folder, protocol)
        argv = [REMOTE, '-machine', kind.machine, '-nodefaults', '-display', 'none', '-d', trace,
                *devices, '-object', kind.remote_object('lsi0', far.fileno())]
        with self.remote_log.open('wb') as log:
            self.remote = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log,
                                           pass_fds=(far.fileno(),))
        try:
            try:
                self.vm = vfio_user.Vm(
                    folder, [client], '-smp', str(cpus), '-serial', 'stdio', '-no-reboot',
                    '-kernel', str(kernel), '-initrd', str(initrd), '-append',
                    f"{guestkit.KERNEL_ARGS} {kind.kernel_args('tcg')}", memory='512M',
                    program=program, fds=fds)
            finally:
                for end in filter(None, (near, far)):
                    end.close()
            self.vm.wait_ready()
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _socket(folder, protocol):
        """Both ends, the VM's device, and what the VM is and inherits."""
        if protocol == 'mpqemu':
            near, far = socket.socketpair()
            client = {'driver': 'x-pci-proxy-dev', 'id': 'lsi0', 'fd': str(near.fileno())}
            return near, far, client, VM, (near.fileno(),)
        path = folder / 'lsi.sock'
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1)
        return None, listener, vfio_user.client_device('lsi0', path), None, ()

    def stop(self):
        """Ends the VM, and the remote with it; returns the remote's exit status."""
        if self.vm:
            self.vm.kill()
        try:
            return self.remote.wait(20)
        except subprocess.TimeoutExpired:
            self.remote.kill()
            self.remote.wait()
            raise


class GuestCase(InteropCase):
    """One guest for all cases of the class."""

    maxDiff = None  # what fio or the kernel said is the point
    protocol = 'vfio-user'
    device = 'lsi53c895a'
    cpus = 1
    tools = ('fio', *SG_TOOLS)
    usual = re.compile('stats:')  # what the remote may say

    @classmethod
    def setUpClass(cls):
        if cls.protocol == 'vfio-user':
            vfio_user.newer_qemu()
        elif proxy_needs_kvm():
            raise unittest.SkipTest(f'the proxy of {VM} does not start without KVM')
        missing = guestkit.missing_tools()
        if missing:
            raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
        folder = cls.class_folder()
        try:
            parts = guestkit.Parts()
            guestkit.make_initramfs(
                parts, folder / 'initrd', INIT, programs(cls.tools),
                guestkit.MODULES + guestkit.MODULES_MORE,
                {'sym53c8xx': f'{guestkit.MODULE_ARGS["sym53c8xx"]} cmd_per_lun={DEPTH}'})
        except guestkit.GuestError as err:
            raise unittest.SkipTest(f'no guest: {err}') from err
        cls.machine = Machine(folder, parts.kernel, folder / 'initrd', cls.protocol,
                              cls.devices(folder), cpus=cls.cpus)
        cls.addClassCleanup(cls._end)
        cls.vm = cls.machine.vm
        cls.boot_log = cls.vm.run('dmesg -c')

    @classmethod
    def devices(cls, folder):
        """Four disks, of which the first is thin, and a CD; as options of the remote."""
        cd = folder / 'cd.iso'
        cd.write_bytes(guestkit.payload(CD_SIZE))
        argv = ['-device', f'{cls.device},id=lsi0']
        for number, name in enumerate(DISKS):
            path = folder / name
            with path.open('wb') as image:
                image.truncate(DISK_SIZE)
            thin = ',discard=unmap' if number == 0 else ''
            argv += ['-drive', f'if=none,id={name},format=raw,file={path}{thin}',
                     '-device', f'scsi-hd,drive={name},bus=lsi0.0,scsi-id={number},'
                                f'serial=disk-{number}']
        return argv + ['-drive', f'if=none,id=cd,format=raw,readonly=on,file={cd}',
                       '-device', f'scsi-cd,drive=cd,bus=lsi0.0,scsi-id={len(DISKS)}']

    @classmethod
    def _end(cls):
        log = cls.machine.remote_log
        status = cls.machine.stop()
        lines = log.read_text(errors='replace').splitlines()
        for line in lines:
            print(line)
        if status or [line for line in lines if not cls.usual.search(line)]:
            raise AssertionError(f'the remote ended with {status}, or had something to say')

    def tearDown(self):
        self.assertIsNone(self.machine.remote.poll(), 'the remote is gone')

    def log_results(self, on=True):
        """Has Linux log each command that has ended otherwise than well, and its CDB."""
        self.vm.run(f'echo {1 << 12 if on else 0} > /proc/sys/dev/scsi/logging_level')

    def check_log(self, usual=re.compile('$^')):
        """Nothing in the kernel's log since the last look but what is usual here."""
        log = self.vm.run('dmesg -c')
        self.assertEqual(complaints(log, usual), [], log)
        return log


class Load:
    """fio on disks and a reader of the CD, both with verification, in the background."""

    def __init__(self, vm, *options, disks=DISKS, cd=True):
        self.vm, self.disks, self.cd = vm, disks, cd
        self.wanted = 0
        self.status = None  # fio's, when it has ended
        jobs = ' '.join(f'--name={name} --filename=/dev/{name}' for name in disks)
        vm.run('touch /tmp/reading; rm -f /tmp/sums')
        if cd:
            vm.run('while [ -e /tmp/reading ]; do sha256sum /dev/sr0 >> /tmp/sums 2>&1; done & :')
        vm.run(f'fio --output=/tmp/fio --eta=never --thread --direct=1 --ioengine=libaio '
               f'--iodepth={DEPTH} --bsrange=4k-64k --rw=randwrite --verify=crc32c '
               f'--verify_fatal=1 --continue_on_error=io --error_dump=1 --randseed=1 '
               f'{" ".join(options)} {jobs} 2> /dev/null & echo $! > /tmp/pid')

    def running(self):
        return self.vm.try_run('kill -0 $(cat /tmp/pid)')[0] == 0

    def wait_progress(self):
        """Until each disk has done another so many reads and writes, or fio has ended."""
        for name in self.disks:
            stat = f'$(block {name})/stat'
            begin = self.vm.run(f"awk '{{print $1 + $5}}' {stat}")
            self.vm.wait_for('! kill -0 $(cat /tmp/pid) 2> /dev/null || '
                             f"awk '{{exit $1 + $5 < {begin} + {DEPTH}}}' {stat}")

    def end(self):
        """Has fio end early."""
        self.wanted = 128  # fio's own for an end by SIGINT
        self.vm.run('kill -INT $(cat /tmp/pid)')

    def wait_end(self):
        if self.status is None:
            self.status, _ = self.vm.try_run('wait $(cat /tmp/pid)')

    def wait(self, cd_errors=0, aborted=None):
        """What is wrong, as text; empty if nothing is.

        So many reads of the CD may have failed; and of the disks just what Linux gave up, as
        aborted_extents() finds it.
        """
        aborted = aborted or {}
        self.wait_end()
        said = self.vm.run('cat /tmp/fio')
        ends = dict(re.findall(r'^(\w+): \(groupid=\d+, jobs=1\): err= *(\d+)', said, re.M))
        wanted = {name: str(errno.EIO) if name in aborted else '0' for name in self.disks}
        wrong = [said] if ends != wanted or self.status != self.wanted else []
        if failed_extents(said) != aborted:
            wrong.append(f'failed for fio: {failed_extents(said)}; given up by Linux: {aborted}')
        return '\n'.join(wrong + (self._wrong_cd(cd_errors) if self.cd else []))

    def _wrong_cd(self, cd_errors):
        self.vm.run('rm /tmp/reading; wait')
        sums = self.vm.run('cat /tmp/sums').splitlines()
        cd = hashlib.sha256(guestkit.payload(CD_SIZE)).hexdigest()
        failed = [line for line in sums if not line.startswith(cd)]
        wrong = [line for line in failed if len(failed) > cd_errors or 'error' not in line]
        return wrong + ([] if len(sums) > len(failed) else ['no CD'])


def failed_extents(said):
    """The sectors of each disk that fio says it could not read or write."""
    failed = collections.defaultdict(set)
    for name, offset, size in re.findall(
            r'io_u error on file /dev/(\w+): .*offset=(\d+), buflen=(\d+)', said):
        first = int(offset) // 512
        failed[name].update(range(first, first + int(size) // 512))
    return dict(failed)


def aborted_extents(log):
    """The sectors of each disk whose commands Linux gave up, from its log since log_results()."""
    extents = collections.defaultdict(set)
    aborted = set()
    for unit, tag, what in re.findall(r'sd 0:0:(\d):0: \[\w+\] (tag#\d+) (.*)', log):
        if 'hostbyte=DID_ABORT' in what:
            aborted.add((unit, tag))
        elif what.startswith('CDB: ') and (unit, tag) in aborted:
            aborted.remove((unit, tag))
            cdb = bytes.fromhex(what.rpartition(') ')[2])  # READ(10) or WRITE(10)
            first, count = int.from_bytes(cdb[2:6], 'big'), int.from_bytes(cdb[7:9], 'big')
            extents[f'disk{unit}'].update(range(first, first + count))
    return dict(extents)

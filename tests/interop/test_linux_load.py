# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux works its disks and the CD hard, sends commands of its own, resets and rescans.

Behind the distribution's x-pci-proxy-dev here; test_linux_load_vfio_user.py has the other protocol,
test_linux_load_slow.py the same for longer.
"""

import re
import unittest

from linux_guest import (CD_SIZE, DEPTH, DISKS, SECTORS, START, GuestCase, Load, aborted_extents,
                         complaints)

# A command and its exit status as sg3_utils(8) has them, and a pattern that its output has.
# 5: illegal request, 9: invalid opcode, 2: not ready, 14: miscompare, 22: LBA out of range.
DISK_ROWS = [
    ('sg_inq /dev/disk1', 0,
     r'PDT=0  RMB=0(?s:.)*CmdQue=1(?s:.)*Product identification: QEMU HARD'),
    ('sg_vpd /dev/disk1', 0, r'\[sv\]\s+Unit serial number \[sn\]\s+.*\[di\]\s+.*\[bl\]\s+.*\[bdc\]'
                           r'\s+.*\[lbpv\]'),
    ('sg_vpd -p sn /dev/disk1', 0, r'Unit serial number: disk-1\b'),
    ('sg_vpd -p di /dev/disk1', 0, r'vendor specific: disk-1\b'),
    ('sg_vpd -p bl /dev/disk0', 0, r'Maximum unmap LBA count: [1-9]'),
    ('sg_vpd -p bl /dev/disk1', 0, r'Maximum unmap LBA count: 0 '),
    ('sg_vpd -p bdc /dev/disk1', 0, r'rotation rate is not reported'),
    ('sg_vpd -p lbpv /dev/disk0', 0, r'\(LBPU\): 1\n.*\(LBPWS\): 1\n.*\(LBPWS10\): 1\n'),
    ('sg_vpd -p lbpv /dev/disk1', 0, r'\(LBPU\): 0\n'),
    ('sg_modes -a /dev/disk1', 0, r'(?s)error recovery.*Rigid.*Flexible.*Caching.*Control'),
    ('sg_modes -p 8 -c 1 /dev/disk1', 0, r'changeable\n 00     08 12 04 '),
    ('sg_modes -p 0x3e /dev/disk1', 5, r'(?i)illegal request|field in cdb'),
    ('sg_logs -a /dev/disk1', 0, r'IE asc = 0x0, ascq = 0x0'),
    ('sg_opcodes /dev/disk0', 0, r'(?s) 28 .*Read\(10\).* 42 .*Unmap.* 9e +12 .*LBA status'),
    ('sg_opcodes -o 0x28 /dev/disk1', 0, r'supported \[conforming'),
    ('sg_opcodes -o 0x42 /dev/disk1', 0, r'NOT supported'),
    ('sg_persist -n -o -G -S abc /dev/disk1', 0, ''),
    ('sg_persist -n -k /dev/disk1', 0, r'1 registered reservation key follows:\s+0xabc'),
    ('sg_persist -n -o -R -K abc -T 5 /dev/disk1', 0, ''),
    ('sg_persist -n -r /dev/disk1', 0, r'Key=0xabc\s+.*Write Exclusive, registrants only'),
    ('sg_persist -n -o -L -K abc -T 5 /dev/disk1', 0, ''),
    ('sg_persist -n -o -C -K abc /dev/disk1', 0, ''),
    ('sg_persist -n -k /dev/disk1', 0, r'NO registered'),
    ('sg_persist -n -c /dev/disk1', 0, r'Write Exclusive, all registrants: 1'),
    ('sg_unmap --lba=0 --num=8 --force /dev/disk0', 0, ''),
    ('sg_unmap --lba=0 --num=8 --force /dev/disk1', 9, 'not supported'),
    ('sg_get_lba_status --lba=0 /dev/disk0', 0, r'LBA: 0x0+ .*blocks: '),
    ('sg_get_lba_status --lba=0 /dev/disk1', 5, ''),
    # 0x5a everywhere in blocks 16 to 31, then compared, then exchanged for 0xa5 in one of them.
    ('head -c 512 /dev/zero | tr "\\000" Z > /tmp/z; head -c 512 /dev/zero | tr "\\000" Y > /tmp/y;'
     'cat /tmp/z /tmp/y > /tmp/zy; true', 0, ''),
    ('sg_write_same -S --lba=16 --num=16 --in=/tmp/z --xferlen=512 /dev/disk1', 0, ''),
    ('sg_write_same --lba=32 --num=16 --in=/tmp/z --xferlen=512 /dev/disk1', 0, ''),
    ('sg_write_same -U --lba=16 --num=16 /dev/disk1', 5, ''),
    ('sg_write_same -U --lba=16 --num=16 /dev/disk0', 0, ''),
    ('sg_verify --lba=16 --count=1 --ndo=512 --in=/tmp/z /dev/disk1', 0, ''),
    ('sg_verify --lba=16 --count=1 --ndo=512 --in=/tmp/y /dev/disk1', 14, ''),
    (f'sg_verify --lba=0 --count={SECTORS} --bpc=1024 /dev/disk1', 0, ''),
    (f'sg_verify --lba={SECTORS - 1} --count=2 /dev/disk1', 22, 'LBA out of range'),
    ('sg_compare_and_write --in=/tmp/zy --lba=20 --num=1 --xferlen=1024 /dev/disk1', 0, ''),
    ('sg_compare_and_write --in=/tmp/zy --lba=20 --num=1 --xferlen=1024 /dev/disk1', 14, ''),
    ('sg_dd if=/dev/sg-id1 of=/tmp/blocks bs=512 skip=16 count=16', 0, r'16\+0 records in'),
    ('tr -d Z < /tmp/blocks | cmp - /tmp/y', 0, ''),
    ('sg_dd if=/tmp/y of=/dev/sg-id1 bs=512 seek=21 count=1', 0, ''),
    ('sg_verify --lba=21 --count=1 --ndo=512 --in=/tmp/y /dev/disk1', 0, ''),
    ('sg_luns /dev/disk1', 0, r'1 lun entry\n.*\n +0{16}\n'),
    ('sg_readcap /dev/disk1', 0, rf'Number of logical blocks={SECTORS}\n'),
    ('sg_readcap -l /dev/disk0', 0, rf'lbpme=1(?s:.)*Number of logical blocks={SECTORS}\n'),
    ('sg_turs -n 20 /dev/disk1', 0, r'20 Test Unit Ready commands with 0 errors'),
    ('sg_sync /dev/disk1', 0, ''),
    ('sg_start --stop /dev/disk1', 0, ''),
    ('sg_start --start /dev/disk1', 0, ''),
    ('sg_requests /dev/disk1', 0, r'Sense key: No Sense'),
    ('sg_raw -r 36 /dev/disk1 12 00 00 00 24 00', 0, r'Received 36 bytes'),
    ('sg_raw /dev/disk1 c5 00 00 00 00 00', 9, r'Invalid command operation code'),
]
CD_ROWS = [
    ('sg_inq /dev/sr0', 0, r'PDT=5  RMB=1(?s:.)*Product identification: QEMU CD-ROM'),
    ('sg_vpd /dev/sr0', 0, r'\[sv\]\s+.*\[di\]'),
    ('sg_vpd -p bl /dev/sr0', 83, ''),  # EDOM: not in page 0
    ('sg_modes -a /dev/sr0', 0, r'(?s)error recovery.*Caching.*capabilities'),
    ('sg_logs -a /dev/sr0', 9, 'Invalid opcode'),
    ('sg_opcodes /dev/sr0', 0, r'(?s) 28 .*Read\(10\).* 43 .*TOC.* be .*Read CD'),
    ('sg_opcodes -o 0x2a /dev/sr0', 0, r'NOT supported'),
    ('sg_persist -n -k /dev/sr0', 9, ''),
    ('sg_raw -s 512 -i /dev/zero /dev/sr0 2a 00 00 00 00 00 00 00 01 00', 9, 'Invalid command'),
    ('sg_luns /dev/sr0', 0, r'1 lun entry\n'),
    ('sg_readcap /dev/sr0', 0, rf'blocks={CD_SIZE // 2048}\n.*length=2048 bytes'),
    ('sg_turs -n 20 /dev/sr0', 0, r'with 0 errors'),
    ('sg_sync /dev/sr0', 9, ''),
    ('sg_start --eject /dev/sr0', 0, ''),
    ('sg_turs /dev/sr0', 2, 'device not ready'),
    ('sg_start --load /dev/sr0', 0, ''),
    ('sg_turs /dev/sr0', 0, ''),
    ('sg_requests /dev/sr0', 0, r'Sense key: No Sense'),
    ('sg_dd if=/dev/sg-id4 of=/tmp/read bs=2048 count=512', 0, r'512\+0 records in'),
    ('head -c 1048576 /dev/sr0 | cmp - /tmp/read', 0, ''),
    ('sg_raw -r 20 /dev/sr0 43 00 00 00 00 00 00 00 14 00', 0, r'Received 20 bytes'),
]

# What each reset makes the drivers say, besides a unit attention of each unit. After one that it
# was asked for by ioctl(), Linux takes such an attention of a unit with a removable medium for an
# error: the read that meets it fails.
CD_RESET = (r'|\[sr0\] tag#\d+ (FAILED Result: hostbyte=DID_OK|Sense Key : Unit Attention|'
            r'Add\. Sense: .* occurred)|I/O error,? (on )?dev sr0,')
# How commands end at a reset, in a log of results. Of the bus or the host: they are tried again,
# however often; of a target: see ResetCases.
RETRIED = (r'|\[s[dr]\w\] tag#\d+ (Done: \w+ Result: hostbyte=DID_(OK|REQUEUE|RESET) |'
           r'Sense Key : Unit Attention|Add\. Sense: .* occurred)')
ABORTED = r'|\[sd\w\] tag#\d+ (Done: SUCCESS|FAILED) Result: hostbyte=DID_ABORT |I/O error, dev sd'
RESETS = {
    '-d': re.compile(START.pattern + RETRIED + ABORTED + r'|DEVICE RESET operation|has been reset'),
    '-b': re.compile(START.pattern + RETRIED + CD_RESET +
                     r'|BUS RESET operation|SCSI BUS reset detected'),
    '-H': re.compile(START.pattern + RETRIED + CD_RESET + r'|HOST RESET operation'),
}


class Cases:
    """What a guest has to stand; seconds each."""

    size = '--size=4M'

    def test_attach(self):
        self.assertEqual(complaints(self.boot_log), [])
        units = len(DISKS) + 1
        self.assertEqual(self.boot_log.count('Power-on or device reset occurred'), units)
        if self.device == 'lsi53c895a':
            self.assertEqual(self.boot_log.count('FAST-40 WIDE SCSI 80.0 MB/s'), units)
        self.assertEqual(self.boot_log.count(f'command queue depth {DEPTH}.'), units)

    def test_load(self):
        self.assertEqual(Load(self.vm, self.size).wait(), '')
        self.check_log()

    def check_rows(self, rows):
        for command, wanted, pattern in rows:
            with self.subTest(command):
                status, said = self.vm.try_run(command)
                self.assertEqual(status, wanted, said)
                if pattern:
                    self.assertRegex(said, pattern)

    def test_commands_disk(self):
        self.check_rows(DISK_ROWS)
        self.check_log()

    def test_commands_cd(self):
        self.check_rows(CD_ROWS)
        self.check_log()

    def test_delete_and_rescan(self):
        self.vm.run('echo 1 > $(block disk3)/device/delete')
        self.assertEqual(self.vm.try_run('ls /sys/class/scsi_device/0:0:3:0')[0], 1)
        self.vm.run('echo "- - -" > /sys/class/scsi_host/host0/scan')
        self.vm.wait_for('ls /sys/class/scsi_device/0:0:3:0/device/block > /dev/null 2>&1')
        self.vm.run('links')
        self.assertEqual(self.vm.run('sg_vpd -q -p sn /dev/disk3 | grep -o disk-.'), 'disk-3')
        self.vm.run('dd if=/dev/disk3 of=/dev/null bs=64k iflag=direct count=16 2>&1')
        self.check_log(START)

    def check_reset(self, log, how):
        """The log of a reset: nothing unusual, and who was reset says so once."""
        self.assertEqual(complaints(log, RESETS[how]), [], log)
        for number in range(len(DISKS)):
            if how != '-d' or number == 1:
                said = log.count(f'0:0:{number}:0: Power-on or device reset occurred')
                self.assertEqual(said, 1, log)


class ResetCases:
    """Resets under load. After one of the bus or the host the kernel waits for 10 seconds.

    They need an SMP guest. With one CPU, Linux completes SCSI commands inside the driver's
    interrupt handler, which holds the host's lock, and takes that lock again while a reset is in
    progress: it stands still for ever (scsi_dec_host_busy() of 6.1), should an interrupt come at
    that moment. With two it completes them later. Without its APIC, as behind the proxy under TCG,
    it has one.

    A reset of one target loses what the target had taken and not yet answered: sym53c8xx completes
    such commands with DID_ABORT, which Linux reports as an I/O error and never tries again (as it
    does those that it had not sent yet, and all of them after a reset of the bus or the host). How
    many there are depends on how fast the disks are. fio has to be told of just these.
    """

    cpus = 2

    def reset_under_load(self, how):
        load = Load(self.vm, '--size=16M', '--time_based', '--runtime=1000', '--verify_backlog=64')
        try:
            load.wait_progress()
            self.log_results()
            self.vm.run(f'sg_reset {how} /dev/sg-id1')
            load.wait_progress()  # it goes on
        finally:
            load.end()
            load.wait_end()
            self.log_results(False)
            log = self.vm.run('dmesg -c')
            wrong = load.wait(0 if how == '-d' else 1, aborted_extents(log))
        self.assertEqual(wrong, '')
        self.check_reset(log, how)

    def test_device_reset(self):
        self.reset_under_load('-d')

    def test_bus_reset(self):
        self.reset_under_load('-b')

    def test_host_reset(self):
        self.reset_under_load('-H')


class LinuxLoad(Cases, GuestCase):
    protocol = 'mpqemu'

    def test_device_reset_at_rest(self):
        self.vm.run('sg_reset -d /dev/sg-id1')
        self.vm.run('dd if=/dev/disk1 of=/dev/null bs=64k iflag=direct count=16 2>&1')
        self.check_reset(self.vm.run('dmesg -c'), '-d')


if __name__ == '__main__':
    unittest.main()

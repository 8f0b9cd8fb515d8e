# SPDX-License-Identifier: GPL-2.0-or-later
"""The same arguments to the stock remote: what one accepts the other accepts.

Both or neither; the texts of errors are each program's own. What the stock crashes on (a devid of
no device, a descriptor that isn't open) is left out.
"""

import shutil
import subprocess
import unittest

from remote import DEADLINE, LSI_IDS, REMOTE, RemoteCase, add_rows

STOCK = 'qemu-system-x86_64'
BASE = ('-machine', 'x-remote', '-nodefaults', '-display', 'none')
LSI = ('-device', 'lsi53c895a,id=lsi')
OBJECT = ('-object', 'x-remote-object,id=o,devid=lsi,fd={fd}')
DRIVE = ('-drive', 'if=none,id=d0,format=raw,file={disk}')
DISK = (*DRIVE, '-device', 'scsi-hd,drive=d0,bus=lsi.0,scsi-id=0')

ACCEPTED = [
    ('launch_of_upstream', [*BASE, *LSI, *DISK, *OBJECT]),
    ('two_dashes', ['--machine', 'x-remote', '--nodefaults', '--display', 'none', '--device',
                    LSI[1], '--object', OBJECT[1]]),
    ('json', [*BASE, '-blockdev', '{{"driver":"file","node-name":"f0","filename":"{disk}"}}',
              '-blockdev', '{{"driver":"raw","node-name":"d0","file":"f0"}}',
              '-device', '{{"driver":"lsi53c895a","id":"lsi"}}',
              '-device', '{{"driver":"scsi-hd","drive":"d0","bus":"lsi.0"}}',
              '-object', '{{"qom-type":"x-remote-object","id":"o","devid":"lsi","fd":"{fd}"}}']),
    ('blockdev_nested', [*BASE, '-blockdev', 'driver=raw,node-name=d0,file.driver=file,'
                         'file.filename={disk}', *LSI, '-device', 'scsi-hd,drive=d0', *OBJECT]),
    ('object_first', [*BASE, *OBJECT, *LSI, *DISK]),
    ('silent_options', [*BASE, '-no-user-config', '-nographic', '-serial', 'none', '-monitor',
                        'none', '-vga', 'none', '-m', '64', *LSI, *OBJECT]),
    ('drive_options', [*BASE, '-drive', 'if=none,id=d0,format=raw,file={disk},cache=none,'
                       'aio=threads,readonly=on', *LSI, '-device', 'scsi-cd,drive=d0', *OBJECT]),
    ('disk_properties', [*BASE, *LSI, *DRIVE, '-device',
                         'scsi-hd,drive=d0,scsi-id=3,serial=S1,vendor=V,product=P', *OBJECT]),
    ('names', [*BASE, '-name', 'guest=a,debug-threads=on', *LSI, *OBJECT]),
    ('value_with_comma', [*BASE, '-name', 'guest=a,,b', *LSI, *OBJECT]),
]
REFUSED = [
    ('machine_unknown', ['-machine', 'nosuch']),
    ('machine_property', ['-machine', 'x-remote,foo=1', '-display', 'none']),
    ('option_unknown', [*BASE, '-bogus']),
    ('argument_missing', [*BASE, '-device']),
    ('device_unknown', [*BASE, '-device', 'nosuch']),
    ('device_property', [*BASE, '-device', 'lsi53c895a,foo=1']),
    ('device_bus', [*BASE, '-device', 'lsi53c895a,bus=nope']),
    ('device_id_twice', [*BASE, *LSI, *LSI]),
    ('device_without_bus', [*BASE, *DRIVE, '-device', 'scsi-hd,drive=d0']),
    ('disk_before_its_adapter', [*BASE, *DISK, *LSI, *OBJECT]),
    ('disk_without_drive', [*BASE, *LSI, '-device', 'scsi-hd']),
    ('disk_id_too_big', [*BASE, *LSI, *DRIVE, '-device', 'scsi-hd,drive=d0,scsi-id=16']),
    ('disk_same_id', [*BASE, *LSI, *DISK, '-drive', 'if=none,id=d1,format=raw,file={disk}',
                      '-device', 'scsi-hd,drive=d1,bus=lsi.0,scsi-id=0']),
    ('drive_unknown_parameter', [*BASE, '-drive', 'if=none,id=d0,format=raw,file={disk},foo=1']),
    ('drive_missing_file', [*BASE, '-drive', 'if=none,id=d0,format=raw,file={disk}.no']),
    ('drive_id_twice', [*BASE, *DRIVE, *DRIVE]),
    ('blockdev_without_name', [*BASE, '-blockdev', 'driver=file,filename={disk}']),
    ('json_cut', [*BASE, '-device', '{{"driver":']),
    ('object_unknown', [*BASE, '-object', 'nosuch,id=o']),
    ('object_without_id', [*BASE, '-object', 'x-remote-object']),
    ('object_without_fd', [*BASE, *LSI, '-object', 'x-remote-object,id=o,devid=lsi']),
    ('memory_size', [*BASE, '-m', 'lots']),
    ('serial_backend', [*BASE, '-serial', 'nosuch']),
    ('pidfile', [*BASE, *LSI, *OBJECT, '-pidfile', '{disk}/pid']),
]


class StockCase(RemoteCase):
    def setUp(self):
        super().setUp()
        if not shutil.which(STOCK):
            self.skipTest(f'{STOCK} is not there')
        machines = subprocess.run([STOCK, '-machine', 'help'], stdout=subprocess.PIPE, text=True)
        if 'x-remote' not in machines.stdout:
            self.skipTest(f'{STOCK} has no x-remote machine')

    def outcome(self, program, argv):
        """What the first config read gives, or None if there was no reply; and the status."""
        proxy, theirs = self.socketpair()
        words = [word.format(fd=theirs.fileno(), disk=self.disk()) for word in argv]
        process = subprocess.Popen([program, *words], pass_fds=[theirs.fileno()],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        theirs.close()
        try:
            ids = proxy.read()
        except (EOFError, OSError):
            ids = None
        proxy.close()
        return ids, process.wait(DEADLINE)


class Accepted(StockCase):
    def check(self, argv):
        self.assertEqual(self.outcome(REMOTE, argv), (LSI_IDS, 0))
        self.assertEqual(self.outcome(STOCK, argv), (LSI_IDS, 0))


class Refused(StockCase):
    def check(self, argv):
        self.assertEqual(self.outcome(REMOTE, argv), (None, 1))
        self.assertEqual(self.outcome(STOCK, argv), (None, 1))


add_rows(Accepted, ACCEPTED)
add_rows(Refused, REFUSED)

if __name__ == '__main__':
    unittest.main()

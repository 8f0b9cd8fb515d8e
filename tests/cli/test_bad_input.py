# SPDX-License-Identifier: GPL-2.0-or-later
"""Command lines that can't be satisfied: one line, status 1, nothing touched."""

import os
import re
import socket
import unittest

from remote import PROGRAM, RemoteCase, add_rows

LSI = ('-device', 'lsi53c895a,id=lsi')
DRIVE = ('-drive', 'if=none,id=d0,format=raw,file={disk}')
OBJECT = 'x-remote-object,id=o'
SERVED = ('-object', OBJECT + ',devid=lsi,fd={fd}')

# Name, arguments, what is wrong. The culprit is the last option, unless it is said. In arguments:
# {dir} a folder, {disk} an image, {fd} a connected socket, and the descriptors of open_fds().
ROWS = [
    ('unknown_option', ['-bogus'], 'invalid option'),
    ('unknown_option_two_dashes', ['--bogus'], 'invalid option'),
    ('three_dashes', ['---help'], 'invalid option'),
    ('lone_dash', ['-'], 'invalid option'),
    ('option_of_qemu_that_means_something', ['-smp', '2'], 'invalid option', '-smp'),
    ('positional', ['{disk}'], '.*only options'),
    ('missing_argument', ['-device'], 'requires an argument'),
    ('missing_argument_after_good_ones', [*LSI, '-object'], 'requires an argument', '-object'),
    ('nothing_to_serve', [*LSI], 'nothing to serve: .*', ''),

    ('machine_unknown', ['-machine', 'pc'], "unsupported machine type 'pc'.*"),
    ('machine_unknown_short', ['-M', 'type=pc'], "unsupported machine type 'pc'.*"),
    ('machine_property', ['-machine', 'x-remote,foo=1'],
     "Property 'x-remote-machine.foo' not found"),
    ('machine_accel', ['-machine', 'x-remote,accel=kvm'], '.*accel.* not found'),
    ('machine_poll_negative', ['-machine', 'x-remote,poll-max-ns=-1'], ".*'poll-max-ns'.*"),
    ('machine_poll_too_long', ['-machine', 'x-remote,poll-max-ns=1000000001'],
     ".*'poll-max-ns'.*"),
    ('machine_poll_grow', ['-machine', 'x-remote,poll-grow=-1'], ".*'poll-grow'.*"),
    ('machine_poll_shrink', ['-machine', 'x-remote,poll-shrink=x'], ".*'poll-shrink'.*"),
    ('machine_chardev_missing', [*LSI, '-M', 'remote,chardev=c'], "Chardev 'c' not found"),
    ('machine_chardev_without_device', ['-chardev', 'socket,id=c,fd={fd}',
                                        '-M', 'remote,chardev=c'], '.*there is none'),
    ('machine_chardev_two_devices', [*LSI, '-device', 'lsi53c895a', '-chardev',
                                     'socket,id=c,fd={fd}', '-M', 'remote,chardev=c'],
     '.*several.*'),

    ('tls_creds_without_dir', ['-object', 'tls-creds-psk,id=t'], "Parameter 'dir' is missing"),
    ('tls_creds_unreadable', ['-object', 'tls-creds-x509,id=t,dir={dir}'],
     "Could not read '{dir}/ca-cert.pem': .*"),
    ('tls_creds_of_a_server', ['-object', 'tls-creds-x509,id=t,dir={dir},endpoint=server'],
     ".*'endpoint'.*'server'.*"),
    ('nbd_unknown_credentials', ['-blockdev', 'driver=nbd,node-name=n,path={dir}/s,tls-creds=t'],
     "No TLS credentials with id 't'"),
    ('nbd_nobody_listens', ['-drive', 'if=none,file=nbd:unix:{dir}/s'],
     "Could not connect to NBD server 'unix:{dir}/s': .*"),
    ('preload_unknown', ['-preload', 'nosuch'], "There is no module 'nosuch' for this program"),
    ('preload_one_of_two', ['-preload', 'zlib,nosuch'], "There is no module 'nosuch' .*"),

    ('vga', ['-vga', 'std'], "only 'none' is possible: .*"),
    ('display', ['-display', 'gtk'], "only 'none' is possible: .*"),
    ('serial', ['-serial', 'stdio'], "only 'none' is possible: .*"),
    ('monitor', ['-monitor', 'vc'], 'expected unix:PATH, .*'),
    ('memory_size', ['-m', 'lots'], ".*'size'.*'lots'"),
    ('memory_size_key', ['-m', 'size=-1'], ".*'size'.*"),
    ('memory_slots', ['-m', '1G,slots=2'], "Invalid parameter 'slots'"),
    ('name_parameter', ['-name', 'vm,foo=1'], "Invalid parameter 'foo'"),
    ('name_bool', ['-name', 'vm,debug-threads=maybe'], ".*'debug-threads'.*'maybe'"),
    ('trace_group', ['-d', 'nosuch'], ".*'nosuch'"),
    ('trace_pattern', ['-trace', 'nosuch*'], ".*'nosuch\\*'"),
    ('trace_events_file', ['-trace', 'lsi,events=/x'], "Invalid parameter 'events'"),

    ('accel', ['-accel', 'kvm'], 'invalid option', '-accel'),
    ('kernel', ['-kernel', '{disk}'], 'invalid option', '-kernel'),
    ('append', ['-append', 'x'], 'invalid option', '-append'),
    ('qtest', ['-qtest', 'fd:{fd}'], 'invalid option', '-qtest'),
    ('qtest_log', ['-qtest-log', 'none'], 'invalid option', '-qtest-log'),
    ('debugcon', ['-debugcon', 'stdio'], 'invalid option', '-debugcon'),
    ('frozen', ['-S'], 'invalid option', '-S'),
    ('chardev_path_and_fd', ['-chardev', 'socket,id=c,path={dir}/s,fd={fd}'], '.*exclude.*'),
    ('memory_backend', ['-object', 'memory-backend-memfd,id=ram,size=1M'],
     "'memory-backend-memfd' is not .*"),

    ('device_unknown', ['-device', 'virtio-blk'],
     "'virtio-blk' is not a valid device model name"),
    ('device_property', ['-device', 'lsi53c895a,foo=1'],
     "Property 'lsi53c895a.foo' not found"),
    ('device_property_json', ['-device', '{{"driver":"lsi53c895a","foo":1}}'],
     "Property 'lsi53c895a.foo' not found"),
    ('device_bus', ['-device', 'lsi53c895a,bus=nope'], "Bus 'nope' not found"),
    ('device_wrong_bus', [*LSI, '-device', 'lsi53c895a,bus=lsi.0'], '.*lsi.0.*'),
    ('device_id_twice', [*LSI, '-device', 'lsi53c895a,id=lsi'], ".*'lsi'.*"),
    ('device_id_malformed', ['-device', 'lsi53c895a,id=1 x'], ".*'id'.*"),
    ('device_without_driver', ['-device', 'id=x'], ".*'driver' is missing"),
    ('device_empty', ['-device', ''], ".*'driver' is missing"),
    ('device_json_cut', ['-device', '{{"driver":"lsi53c895a"'], '.+'),
    ('device_json_list', ['-device', '{{"driver":["a"]}}'], '.+'),
    ('device_without_bus', ['-device', 'scsi-hd'], '.*SCSI.*'),
    ('disk_without_drive', [*LSI, '-device', 'scsi-hd'], '.*drive.*'),
    ('disk_unknown_drive', [*LSI, '-device', 'scsi-hd,drive=nope'], ".*'nope'.*"),
    ('disk_id_too_big', [*LSI, *DRIVE, '-device', 'scsi-hd,drive=d0,scsi-id=99'], '.*99.*'),
    ('disk_id_of_adapter', [*LSI, *DRIVE, '-device', 'scsi-hd,drive=d0,scsi-id=7'], '.*7.*'),
    ('disk_id_no_number', [*LSI, *DRIVE, '-device', 'scsi-hd,drive=d0,scsi-id=x'],
     ".*'scsi-id'.*'x'.*"),
    ('disk_drive_used_twice', [*LSI, *DRIVE, '-device', 'scsi-hd,drive=d0', '-device',
                               'scsi-hd,drive=d0'], ".*d0.*"),

    ('disk_without_medium', [*LSI, '-drive', 'if=none,id=d,media=cdrom', '-device',
                             'scsi-hd,drive=d'], '.*Device needs media, but drive is empty'),
    ('empty_drive_used_twice', [*LSI, '-drive', 'if=none,id=d,media=cdrom', '-device',
                                'scsi-cd,drive=d', '-device', 'scsi-cd,drive=d'],
     ".*'d' is already in use.*"),
    ('empty_drive_id_twice', ['-drive', 'if=none,id=d', *DRIVE, '-drive', 'if=none,id=d'],
     ".*Duplicate ID 'd'.*"),
    ('empty_drive_parameter', ['-drive', 'if=none,id=d,foo=1'], ".*foo.*"),
    ('drive_missing_file', ['-drive', 'if=none,id=d,format=raw,file={dir}/nope'],
     '.*{dir}/nope.*'),
    ('drive_is_a_folder', ['-drive', 'if=none,id=d,format=raw,file={dir}'], '.*{dir}.*'),
    ('drive_format', ['-drive', 'if=none,id=d,format=nosuch,file={disk}'], ".*nosuch.*"),
    ('drive_interface', ['-drive', 'if=ide,id=d,format=raw,file={disk}'], ".*ide.*"),
    ('drive_parameter', ['-drive', 'if=none,id=d,format=raw,file={disk},foo=1'], ".*foo.*"),
    ('drive_cache', ['-drive', 'if=none,id=d,format=raw,file={disk},cache=nosuch'],
     ".*nosuch.*"),
    ('drive_aio', ['-drive', 'if=none,id=d,format=raw,file={disk},aio=nosuch'], ".*nosuch.*"),
    ('drive_id_twice', [*DRIVE, *DRIVE], ".*d0.*"),
    ('blockdev_driver', ['-blockdev', 'driver=nosuch,node-name=n'], ".*nosuch.*"),
    ('blockdev_without_name', ['-blockdev', 'driver=file,filename={disk}'], ".*node-name.*"),
    ('blockdev_missing_file', ['-blockdev', 'driver=file,node-name=n,filename={dir}/nope'],
     '.*{dir}/nope.*'),
    ('blockdev_json_unknown_child', ['-blockdev', '{{"driver":"raw","node-name":"n",'
                                     '"file":"nope"}}'], ".*nope.*"),

    ('chardev_backend', ['-chardev', 'pty,id=c'], "'pty' is not .*"),
    ('chardev_without_id', ['-chardev', 'socket,fd={fd}'], "Parameter 'id' is missing"),
    ('chardev_without_fd', ['-chardev', 'socket,id=c'],
     "Parameter 'fd' or 'path' is missing"),
    ('chardev_parameter', ['-chardev', 'socket,id=c,fd={fd},mux=on'],
     "Invalid parameter 'mux'"),
    ('chardev_listening', [*LSI, '-chardev', 'socket,id=c,fd={listening}',
                           '-M', 'remote,chardev=c'], '.*not a connected.*'),
    ('chardev_twice', ['-chardev', 'socket,id=c,fd={fd}', '-chardev', 'socket,id=c,fd={fd2}'],
     "Duplicate ID 'c' .*"),

    ('object_unknown', ['-object', 'nosuch,id=o'], "'nosuch' is not .*"),
    ('object_without_type', ['-object', 'id=o'], "Parameter 'qom-type' is missing"),
    ('object_without_id', [*LSI, '-object', 'x-remote-object,devid=lsi,fd={fd}'],
     "Parameter 'id' is missing"),
    ('object_id_malformed', [*LSI, '-object', 'x-remote-object,id=0,devid=lsi,fd={fd}'],
     "Parameter 'id' expects .*"),
    ('object_id_twice', [*LSI, *SERVED, '-device', 'lsi53c895a,id=b', '-object',
                         OBJECT + ',devid=b,fd={fd2}'], "Duplicate ID 'o' .*"),
    ('object_property', [*LSI, '-object', OBJECT + ',devid=lsi,fd={fd},foo=1'],
     "Property 'x-remote-object.foo' not found"),
    ('object_without_devid', [*LSI, '-object', OBJECT + ',fd={fd}'],
     "Parameter 'devid' is missing"),
    ('object_devid_of_nobody', [*LSI, '-object', OBJECT + ',devid=nope,fd={fd}'],
     "Device 'nope' not found"),
    ('object_devid_of_disk', [*LSI, *DRIVE, '-device', 'scsi-hd,id=hd,drive=d0', '-object',
                              OBJECT + ',devid=hd,fd={fd}'], "Device 'hd' is not a PCI device"),
    ('object_device_twice', [*LSI, *SERVED, '-object',
                             'x-remote-object,id=p,devid=lsi,fd={fd2}'],
     "Device 'lsi' is served .*"),
    ('object_neither_fd_nor_path', [*LSI, '-object', OBJECT + ',devid=lsi'],
     "Parameter 'fd' or 'path' is missing"),
    ('object_fd_and_path', [*LSI, '-object', OBJECT + ',devid=lsi,fd={fd},path={dir}/s'],
     '.*exclude each other'),
    ('object_fd_twice', [*LSI, *SERVED, '-device', 'lsi53c895a,id=b', '-object',
                         'x-remote-object,id=p,devid=b,fd={fd}'], '.*used by another object'),
    ('object_fd_not_open', [*LSI, '-object', OBJECT + ',devid=lsi,fd=999'], '.*999.*not open'),
    ('object_fd_no_number', [*LSI, '-object', OBJECT + ',devid=lsi,fd=x'], '.*x.*'),
    ('object_fd_negative', [*LSI, '-object', OBJECT + ',devid=lsi,fd=-1'], '.*-1.*'),
    ('object_fd_huge', [*LSI, '-object', OBJECT + ',devid=lsi,fd=99999999999'], '.*'),
    ('object_fd_pipe', [*LSI, '-object', OBJECT + ',devid=lsi,fd={pipe}'], '.*not a socket'),
    ('object_fd_standard_input', [*LSI, '-object', OBJECT + ',devid=lsi,fd=0'],
     '.*not a socket'),
    ('object_fd_datagram', [*LSI, '-object', OBJECT + ',devid=lsi,fd={datagram}'],
     '.*not a UNIX stream socket'),
    ('object_fd_tcp', [*LSI, '-object', OBJECT + ',devid=lsi,fd={tcp}'],
     '.*not a UNIX stream socket'),
    ('object_fd_unconnected', [*LSI, '-object', OBJECT + ',devid=lsi,fd={unconnected}'],
     '.*neither connected nor listening'),
    ('object_fd_no_shutdown', [*LSI, '-object',
                               OBJECT + ',devid=lsi,fd={fd},auto-shutdown=off'],
     ".*'auto-shutdown'.*"),
    ('object_poll_too_long', [*LSI, '-object',
                              OBJECT + ',devid=lsi,fd={fd},poll-max-ns=1000000001'],
     ".*'poll-max-ns'.*"),
    ('object_poll_negative', [*LSI, '-object', OBJECT + ',devid=lsi,fd={fd},poll-max-ns=-2'],
     ".*'poll-max-ns'.*"),
    ('object_shutdown_no_bool', [*LSI, '-object',
                                 OBJECT + ',devid=lsi,path={dir}/s,auto-shutdown=x'],
     ".*'auto-shutdown'.*'x'.*"),
    ('object_path_empty', [*LSI, '-object', OBJECT + ',devid=lsi,path='], '.*107.*'),
    ('object_path_too_long', [*LSI, '-object', OBJECT + ',devid=lsi,path=/tmp/' + 'x' * 103],
     '.*107.*has 108'),
    ('object_path_no_folder', [*LSI, '-object', OBJECT + ',devid=lsi,path={dir}/no/s'],
     '.*{dir}/no/s.*'),
    ('object_path_is_a_file', [*LSI, '-object', OBJECT + ',devid=lsi,path={disk}'],
     '.*not a socket'),
    ('object_path_is_a_folder', [*LSI, '-object', OBJECT + ',devid=lsi,path={dir}'],
     '.*not a socket'),
    ('object_path_in_use', [*LSI, '-object', OBJECT + ',devid=lsi,path={dir}/used'],
     '.*in use'),
    ('object_path_of_datagram_socket', [*LSI, '-object', OBJECT + ',devid=lsi,path={dir}/gram'],
     '.*in use'),
    ('object_path_twice', [*LSI, '-object', OBJECT + ',devid=lsi,path={dir}/s', '-device',
                           'lsi53c895a,id=b', '-object',
                           'x-remote-object,id=p,devid=b,path={dir}/s'], '.*in use'),

    ('pidfile_no_folder', [*LSI, *SERVED, '-pidfile', '{dir}/no/pid'], '.*{dir}/no/pid.*'),
    ('pidfile_undoes_socket', [*LSI, '-object', OBJECT + ',devid=lsi,path={dir}/s',
                               '-pidfile', '{dir}/no/pid'], '.*{dir}/no/pid.*'),
    ('logfile_no_folder', [*LSI, *SERVED, '-D', '{dir}/no/log'], '.*{dir}/no/log.*'),
    ('control_characters', ['-device', 'a\nb\x1bc'], "'a b c' is not .*", '-device a b c'),
]


class BadInput(RemoteCase):
    program = PROGRAM

    def open_fds(self):
        """Descriptors of all wrong kinds, by the name that rows use."""
        def keep(thing):
            self.addCleanup(thing.close)
            return thing.fileno()
        first, second = self.socketpair(), self.socketpair()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self.folder / 'used'))
        listening.listen()
        gram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        gram.bind(str(self.folder / 'gram'))
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        self.addCleanup(os.close, reader)
        self.quiet = listening, first[0].sock, second[0].sock
        return {
            'fd': first[1].fileno(), 'fd2': second[1].fileno(), 'listening': keep(listening),
            'datagram': keep(gram), 'pipe': reader, 'tcp': keep(socket.socket()),
            'unconnected': keep(socket.socket(socket.AF_UNIX)),
        }

    def state(self):
        """What is in the folder: names, kinds, and contents of files."""
        return {entry.name: (entry.stat().st_ino, entry.read_bytes() if entry.is_file() else None)
                for entry in self.folder.iterdir()}

    def check(self, argv, message, culprit=None):
        disk = self.disk()
        fds = self.open_fds()
        words = [word.format(dir=self.folder, disk=disk, **fds) for word in argv]
        extra = [word for word, flag in ((f'{self.folder}/pid', '-pidfile'),
                                         (f'{self.folder}/log', '-D')) if flag not in words
                 for word in (flag, word)]
        if culprit is None:
            last = max(i for i, word in enumerate(words) if word.startswith('-') or i == 0)
            culprit = ' '.join(words[last:])
        before = self.state()
        # Before them, so that what is tried is the last option.
        result = self.run_remote(*extra, *words, fds=list(fds.values()))
        start = f'{self.program}: {culprit}: ' if culprit else f'{self.program}: '
        message = message.replace('{dir}', re.escape(str(self.folder)))
        self.assertRegex(result.stderr, '^' + re.escape(start) + message + r'\n\Z')
        self.assertEqual(result.stderr.count('\n'), 1)
        self.assertEqual((result.returncode, result.stdout), (1, ''))
        after = self.state()
        # A log that was opened is all that an unwritable pid file, the very last step, leaves.
        if '-pidfile' in words:
            self.assertEqual(after.pop('log')[1], b'')
        self.assertEqual(after, before)
        self.nobody_was_talked_to()

    def nobody_was_talked_to(self):
        for sock in self.quiet:
            sock.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.quiet[0].accept()
        for sock in self.quiet[1:]:
            with self.assertRaises(BlockingIOError):
                sock.recv(1)


add_rows(BadInput, ROWS)

if __name__ == '__main__':
    unittest.main()

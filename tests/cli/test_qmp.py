# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP: commands that do something, and what they do to a guest."""

import os
import shutil
import socket
import struct
import subprocess
import unittest

from lsi import DEVICE_RESET, Lsi
from qmp import LSI, Qmp, QmpCase
from remote import LSI_IDS, wait_for

READY = bytes(6)
READ = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0])
WRITE = bytes([0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0])
LUNS_CHANGED = (6, 0x3f, 0x0e)
GONE = (5, 0x25, 0)


class Quit(QmpCase):
    def test_quit(self):
        process, qmp = self.start_qmp()
        self.assertEqual(qmp('quit'), {})
        self.assertEqual(qmp.wait_event('SHUTDOWN'), {'guest': False, 'reason': 'host-qmp-quit'})
        self.assertTrue(qmp.at_end())
        self.ends(process)

    def test_signal(self):
        process, qmp = self.start_qmp()
        process.terminate()
        self.assertEqual(qmp.wait_event('SHUTDOWN'), {'guest': False, 'reason': 'host-signal'})
        self.ends(process)

    def test_last_client(self):
        ours, theirs = socket.socketpair()
        process, qmp = self.start_qmp(*LSI, *self.served(theirs.fileno()), fds=[theirs])
        ours.close()
        self.assertEqual(qmp.wait_event('VFU_CLIENT_HANGUP')['vfu-id'], 'o0')
        self.assertEqual(qmp.wait_event('SHUTDOWN'), {'guest': True, 'reason': 'guest-shutdown'})
        self.ends(process)

    def test_quit_twice_and_from_two_sessions(self):
        process, one, two = self.start_qmp(sessions=2)
        one.send('{"execute":"quit"}{"execute":"quit"}')
        try:
            two.send('{"execute":"quit"}')
        except BrokenPipeError:
            pass  # it has ended already
        self.assertTrue(one.at_end() and two.at_end())
        self.ends(process)


class Disks(QmpCase):
    """An adapter with a disk, served to a guest; a monitor beside it."""

    def setUp(self):
        super().setUp()
        ours, theirs = socket.socketpair()
        self.process, self.qmp = self.start_qmp(
            *LSI, '-drive', f'if=none,id=d0,format=raw,file={self.disk()}',
            '-device', 'scsi-hd,id=hd0,drive=d0,scsi-id=0,lun=0,bus=lsi0.0',
            '-device', 'scsi-cd,id=cd0,scsi-id=1,bus=lsi0.0',
            *self.served(theirs.fileno()), fds=[theirs])
        self.addCleanup(ours.close)
        self.guest = Lsi(ours)
        self.guest.until_ready(0)

    def add_node(self, name='n1', size=1 << 20):
        path = self.disk(name, size)
        self.qmp('blockdev-add', driver='raw', node_name=name,
                 file={'driver': 'file', 'filename': self.pass_file(self.qmp, path)})
        return path

    def test_add_and_remove_a_lun(self):
        self.add_node()
        self.qmp('device_add', driver='scsi-hd', id='hd1', drive='n1', bus='lsi0.0', scsi_id=0,
                 lun=1)
        self.assertEqual(self.guest.until_ready(0, 0), [LUNS_CHANGED])
        self.assertEqual(self.guest.until_ready(0, 1), [(6, 0x29, 0)])
        self.assertEqual(self.guest.command(0, 1, READ, 4096), 0)
        self.assertEqual(self.guest.command(0, 1, WRITE, 4096, out=True), 0)
        self.qmp('device_del', id='hd1')
        self.assertEqual(self.qmp.wait_event('DEVICE_DELETED'),
                         {'device': 'hd1', 'path': '/machine/peripheral/hd1'})
        self.assertEqual(self.guest.until_ready(0, 0), [LUNS_CHANGED])
        self.assertEqual(self.guest.command(0, 1, READY), 2)
        self.assertEqual(self.guest.sense(0, 1), GONE)
        self.qmp('blockdev-del', node_name='n1')

    def test_a_target_comes_and_goes(self):
        self.assertIsNone(self.guest.command(2, 0, READY))
        self.add_node()
        for _ in range(3):
            self.qmp('device_add', driver='scsi-hd', id='hd1', drive='n1', bus='lsi0.0', scsi_id=2)
            self.assertEqual(self.guest.until_ready(2), [(6, 0x29, 0)])
            self.assertEqual(self.guest.command(2, 0, READ, 4096), 0)
            self.qmp('device_del', id='/machine/peripheral/hd1')
            self.qmp.wait_event('DEVICE_DELETED')
            self.assertIsNone(self.guest.command(2, 0, READY))

    def test_what_is_refused(self):
        self.add_node()
        add = {'driver': 'scsi-hd', 'drive': 'n1', 'bus': 'lsi0.0'}
        for pattern, more in (
                ("scsi-id 0 lun 0 is already used by 'hd0'", {'scsi_id': 0, 'lun': 0}),
                ("Duplicate device ID 'hd0'", {'id': 'hd0'}),
                ("Property 'scsi-hd.nonsense' not found", {'nonsense': 1}),
                ('in use', {'drive': 'd0'})):
            self.assert_error('GenericError', pattern, self.qmp, 'device_add', **{**add, **more})
        self.assert_error('GenericError', "in use by device 'hd0'", self.qmp, 'blockdev-del',
                          node_name='d0')
        self.assert_error('GenericError', "'lsi0' is served by object 'o0'", self.qmp,
                          'device_del', id='lsi0')
        self.assert_error('DeviceNotFound', "'nobody' not found", self.qmp, 'device_del',
                          id='nobody')
        self.assertEqual(self.guest.command(0, 0, READ, 4096), 0)

    def test_remove_under_a_command(self):
        """The command that was running ends as one to a LUN that does not exist."""
        self.add_node()
        self.qmp('device_add', driver='scsi-hd', id='hd1', drive='n1', bus='lsi0.0', scsi_id=0,
                 lun=1)
        self.guest.until_ready(0, 0)
        self.guest.until_ready(0, 1)
        self.qmp('stop')
        self.guest.start(0, 1, WRITE, 4096, out=True)
        self.qmp('device_del', id='hd1')
        self.qmp.wait_event('DEVICE_DELETED')
        self.qmp('cont')
        self.assertIn(self.guest.finish(), (2, None))
        self.assertEqual(self.guest.until_ready(0, 0), [LUNS_CHANGED])

    def test_stop_and_cont(self):
        self.assertEqual(self.guest.command(0, 0, READ, 4096), 0)
        self.qmp('stop')
        self.qmp.wait_event('STOP')
        self.assertEqual(self.qmp('query-status'),
                         {'status': 'paused', 'running': False, 'singlestep': False})
        self.guest.start(0, 0, READ, 4096)
        rounds = iter(range(100))
        self.assertIsNone(self.guest.finish(give_up=lambda: next(rounds, None) is None))
        before = self.qmp('query-blockstats')[0]['stats']['rd_operations']
        self.qmp('stop')
        self.qmp('cont')
        self.qmp.wait_event('RESUME')
        self.assertEqual(self.guest.finish(), 0)
        self.assertEqual(self.qmp('query-blockstats')[0]['stats']['rd_operations'], before + 1)

    def test_reset(self):
        self.qmp('system_reset')
        self.assertEqual(self.qmp.wait_event('RESET')['guest'], False)
        self.guest.write(0x10, 0xc001)
        self.guest.write(0x04, 0x07, 2)
        self.assertEqual(self.guest.until_ready(0), [(6, 0x29, 0)])
        self.assertEqual(self.guest.command(0, 0, READ, 4096), 0)

    def test_reset_by_the_client(self):
        """It is no event, but counted."""
        self.guest.sock.sendall(struct.pack('<iIQ', DEVICE_RESET, 0, 0))
        self.guest.sock.recv(16)
        counts = {m['name']: m['count'] for m in self.qmp('query-remote')[0]['messages']}
        self.assertEqual(counts['DEVICE_RESET'], 1)
        self.assertEqual(self.qmp.events, [])

    def test_reset_while_stopped(self):
        self.qmp('stop')
        self.qmp('system_reset')
        self.assertEqual(self.qmp('query-status')['status'], 'prelaunch')
        self.qmp('cont')
        self.assertEqual(self.qmp('query-status')['status'], 'running')
        self.guest.write(0x10, 0xc001)
        self.guest.write(0x04, 0x07, 2)
        self.guest.until_ready(0)
        self.assertEqual(self.guest.command(0, 0, READ, 4096), 0)

    def test_resize(self):
        def capacity():
            self.assertEqual(self.guest.command(0, 0, bytes([0x25] + [0] * 9), 8), 0)
            return int.from_bytes(self.guest.memory[0x1000:0x1004], 'big') + 1
        self.assertEqual(capacity(), 2048)
        self.qmp('block_resize', device='d0', size=2 << 20)
        self.assertEqual(self.guest.until_ready(0), [(6, 0x2a, 9)])
        self.assertEqual(capacity(), 4096)
        self.assertEqual(self.qmp('query-block')[0]['inserted']['image']['virtual-size'], 2 << 20)

    def test_medium(self):
        iso = self.pass_file(self.qmp, self.disk('iso'), mode='rb')
        self.guest.until_ready(1)
        self.assertNotIn('inserted', self.qmp('query-block')[1])
        self.qmp('blockdev-change-medium', id='cd0', filename=iso, format='raw')
        moved = [event['data']['tray-open'] for event in self.qmp.events
                 if event['event'] == 'DEVICE_TRAY_MOVED']
        self.assertEqual(moved, [True, False])
        self.assertEqual(self.qmp('query-block')[1]['inserted']['file'], iso)
        self.assertEqual(self.guest.until_ready(1), [(6, 0x28, 0)])
        self.qmp('eject', id='cd0')
        self.assertTrue(self.qmp('query-block')[1]['tray_open'])
        self.assertEqual(len(self.qmp('query-named-block-nodes')), 2, 'the image was not closed')
        self.add_node('n2')
        self.qmp('blockdev-insert-medium', id='cd0', node_name='n2')
        self.assert_error('GenericError', 'already', self.qmp, 'blockdev-insert-medium', id='cd0',
                          node_name='n2')
        self.qmp('blockdev-close-tray', id='cd0')
        self.assertEqual(self.guest.until_ready(1), [(6, 0x28, 0)])
        self.qmp('blockdev-open-tray', id='cd0')
        self.qmp('blockdev-remove-medium', id='cd0')
        self.qmp('blockdev-del', node_name='n2')

    def test_locked_tray(self):
        self.guest.until_ready(1)
        self.assertEqual(self.guest.command(1, 0, bytes([0x1e, 0, 0, 0, 1, 0])), 0)
        self.assert_error('GenericError', 'locked', self.qmp, 'eject', id='cd0')
        self.qmp('eject', id='cd0', force=True)

    def test_query_remote(self):
        info, = self.qmp('query-remote')
        self.assertEqual((info['id'], info['protocol'], info['device'], info['state'],
                          info['peer-pid']), ('o0', 'mpqemu', 'lsi0', 'connected', os.getpid()))
        self.assertEqual(info['memory-regions'], [{'gpa': 0, 'size': 1 << 20}])
        counts = {m['name']: m['count'] for m in info['messages']}
        self.assertEqual(counts['SYNC_SYSMEM'], 1)
        self.assertEqual(info['config-writes'], 2)
        self.assertEqual(info['bars'][0]['bar'], 0)
        self.assertEqual(info['bars'][0]['writes'], counts['BAR_WRITE'])
        self.assertEqual((info['interrupts'], info['errors'], info['driver']),
                         (0, 0, 'lsi53c895a'))
        self.assertGreater(info['slowest-turn-ns'], 0)
        self.assertRegex(self.qmp.human('info remote'), r'Slowest turn: \d+\.\d{3} ms\r\n')
        before = counts['BAR_READ']
        self.guest.get(0x14)
        counts = {m['name']: m['count'] for m in self.qmp('query-remote')[0]['messages']}
        self.assertEqual(counts['BAR_READ'], before + 1)

    def test_query_pci(self):
        (bus,) = self.qmp('query-pci')
        (function,) = bus['devices']
        self.assertEqual(function['id']['vendor'], 0x1000)
        self.assertEqual([r['address'] for r in function['regions']], [0xc000, -1, -1])


class Image(QmpCase):
    def test_dirty_flag(self):
        """Of an image with lazy refcounts, once the guest has made it grow."""
        if not shutil.which('qemu-img'):
            self.skipTest('qemu-img is not installed')
        path = self.folder / 'lazy.qcow2'
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on',
                        str(path), '1M'], check=True)
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        _, qmp = self.start_qmp(*LSI, '-drive', f'if=none,id=d0,format=qcow2,file={path}',
                                '-device', 'scsi-hd,drive=d0,scsi-id=0,bus=lsi0.0',
                                *self.served(theirs.fileno()), fds=[theirs])

        def image():
            return qmp('query-block')[0]['inserted']['image']
        guest = Lsi(ours)
        guest.until_ready(0)
        self.assertFalse(image()['dirty-flag'])
        self.assertTrue(image()['format-specific']['data']['lazy-refcounts'])
        self.assertEqual(guest.command(0, 0, bytes([0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0]), 4096,
                                       out=True), 0)
        self.assertEqual(guest.command(0, 0, bytes([0x35] + [0] * 9)), 0)
        self.assertTrue(image()['dirty-flag'])


class IoError(QmpCase):
    def test_stop_on_error_and_cont(self):
        """A write past RLIMIT_FSIZE fails until there is room."""
        ours, theirs = socket.socketpair()
        path = self.disk(size=8192)
        process, qmp = self.start_qmp(
            *LSI, '-drive', f'if=none,id=d0,format=raw,file={path},aio=threads',
            '-device', 'scsi-hd,id=hd0,drive=d0,scsi-id=0,bus=lsi0.0,werror=stop',
            *self.served(theirs.fileno()), fds=[theirs])
        self.addCleanup(ours.close)
        guest = Lsi(ours)
        guest.until_ready(0)
        os.truncate(path, 4096) # what lies behind has to be allocated anew
        import resource
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        guest.start(0, 0, bytes([0x2a, 0, 0, 0, 0, 8, 0, 0, 8, 0]), 4096, out=True)
        error = qmp.wait_event('BLOCK_IO_ERROR')
        self.assertEqual((error['operation'], error['action'], error['id'], error['node-name']),
                         ('write', 'stop', 'hd0', 'd0'))
        qmp.wait_event('STOP')
        self.assertEqual(qmp('query-status')['status'], 'io-error')
        self.assertEqual(qmp('query-block')[0]['io-status'], 'failed')
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        qmp('cont')
        self.assertEqual(guest.finish(), 0)
        [disk] = qmp('query-block')
        self.assertEqual(disk['io-status'], 'ok')
        self.assertEqual(disk['inserted']['image']['actual-size'],
                         os.stat(path).st_blocks * 512)


class Objects(QmpCase):
    def test_from_nothing(self):
        """A device, a disk and their connection come at run time, and go."""
        process, qmp = self.start_qmp()
        qmp('device_add', driver='lsi53c895a', id='lsi0')
        qmp('blockdev-add', driver='raw', node_name='n0',
            file={'driver': 'file', 'filename': self.pass_file(qmp, self.disk())})
        qmp('device_add', driver='scsi-hd', id='hd0', drive='n0', bus='lsi0.0')
        for _ in range(2):
            ours, theirs = socket.socketpair()
            qmp('getfd', fdname='link', fds=[theirs.fileno()])
            theirs.close()
            qmp('object-add', qom_type='x-remote-object', id='o0', devid='lsi0', fd='link')
            guest = Lsi(ours)
            guest.until_ready(0)
            self.assertEqual(guest.command(0, 0, READ, 4096), 0)
            qmp('object-del', id='o0')
            self.assertTrue(guest.at_end())
            ours.close()
        qmp('device_del', id='lsi0')
        self.assertEqual(qmp('query-block'), [])
        qmp('blockdev-del', node_name='n0')
        self.assertEqual(qmp('query-named-block-nodes'), [])
        qmp('quit')
        self.ends(process)

    def test_refused_object_leaves_the_name(self):
        process, qmp = self.start_qmp(*LSI)
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        qmp('getfd', fdname='link', fds=[theirs.fileno()])
        theirs.close()
        self.assert_error('GenericError', "'nobody' not found", qmp, 'object-add',
                          qom_type='x-remote-object', id='o0', devid='nobody', fd='link')
        self.assert_error('GenericError', "named 'other' not found", qmp, 'object-add',
                          qom_type='x-remote-object', id='o0', devid='lsi0', fd='other')
        qmp('object-add', qom_type='x-remote-object', id='o0', devid='lsi0', fd='link')
        Lsi(ours)
        self.assert_error('GenericError', "served by object 'o0'", qmp, 'object-add',
                          qom_type='x-remote-object', id='o1', devid='lsi0', path='/nonsense/x')
        qmp('quit')
        self.ends(process)

    def test_listening_object(self):
        process, qmp = self.start_qmp(*LSI)
        path = self.folder / 'link'
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            qmp('getfd', fdname='listener', fds=[listener.fileno()])
        qmp('object-add', qom_type='x-remote-object', id='o0', devid='lsi0', fd='listener',
            auto_shutdown=False)
        self.assertEqual(qmp('query-remote')[0]['state'], 'waiting')
        self.connect(path).close()
        qmp.wait_event('VFU_CLIENT_HANGUP')
        qmp('object-del', id='o0')
        self.assertIsNone(process.poll())

    def test_listener_with_a_monitor_that_never_listened(self):
        """Accepting is among the system calls all the same."""
        ours, theirs = socket.socketpair()
        process = self.start(*LSI, '-qmp', f'fd:{theirs.fileno()}', fds=[theirs])
        qmp = Qmp(ours)
        self.addCleanup(qmp.close)
        path = self.folder / 'link'
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            added = qmp('add-fd', fds=[listener.fileno()])
        for number, fd in enumerate((str(added['fd']), f"/dev/fdset/{added['fdset-id']}")):
            with self.subTest(fd):
                qmp('object-add', qom_type='x-remote-object', id=f'o{number}', devid='lsi0', fd=fd,
                    auto_shutdown=False)
                proxy = self.connect(path)
                self.assertEqual(proxy.read(), LSI_IDS)
                proxy.close()
                qmp.wait_event('VFU_CLIENT_HANGUP')
                qmp('object-del', id=f'o{number}')
        self.assertIsNone(process.poll())

    def test_numbers_that_nobody_passed(self):
        """They may be the monitor's own."""
        process, qmp = self.start_qmp(*LSI)
        with open(self.disk(), 'r+b') as image:
            image_fd = qmp('add-fd', fds=[image.fileno()])['fd']
        for number in sorted(map(int, os.listdir(f'/proc/{process.pid}/fd'))):
            with self.subTest(number):
                self.assert_error('GenericError', 'is not a socket' if number == image_fd else
                                  f"'{number}' was not passed", qmp, 'object-add',
                                  qom_type='x-remote-object', id='o0', devid='lsi0',
                                  fd=str(number))
        for fd, words in (('7x', "'7x'"), ('/dev/fdset/77', 'No such file'),
                          ('/dev/fdset/', 'Invalid argument')):
            self.assert_error('GenericError', words, qmp, 'object-add',
                              qom_type='x-remote-object', id='o0', devid='lsi0', fd=fd)
        self.assertEqual(qmp('query-status')['status'], 'running')

    def check_version(self, sock):
        """The answer to a vfio-user client's VERSION."""
        body = struct.pack('<HH', 0, 1) + b'{}\0'
        sock.settimeout(30)
        sock.sendall(struct.pack('<HHIII', 1, 1, 16 + len(body), 0, 0) + body)
        number, command, size, flags, error = struct.unpack('<HHIII', sock.recv(16))
        self.assertEqual(len(sock.recv(size)), size - 16)
        self.assertEqual((number, command, flags & 15, error), (1, 1, 1, 0))

    def test_vfio_user(self):
        """Connected and listening, and in both spellings."""
        process, qmp = self.start_qmp(*LSI, '-machine', 'x-remote,vfio-user=on,auto-shutdown=off')
        path = self.folder / 'link'
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(path))
        listener.listen()
        for spelling in ({'socket': {'type': 'fd', 'str': 'link'}}, {'type': 'fd', 'fd': 'link'},
                         {'fd': 'link'}):
            for listens in (False, True):
                with self.subTest(listens=listens, **spelling):
                    ours, theirs = socket.socketpair()
                    with ours, theirs:
                        passed = listener if listens else theirs
                        qmp('getfd', fdname='link', fds=[passed.fileno()])
                        qmp('object-add', qom_type='x-vfio-user-server', id='o0', device='lsi0',
                            **spelling)
                        theirs.close()
                        client = self.connect(path).sock if listens else ours
                        self.check_version(client)
                        info, = qmp('query-remote')
                        self.assertEqual((info['protocol'], info['state']),
                                         ('vfio-user', 'connected'))
                        qmp('object-del', id='o0')
                        self.assertEqual(client.recv(1), b'')
                        client.close()
                    self.assertEqual(qmp.wait_event('VFU_CLIENT_HANGUP')['vfu-id'], 'o0')
        self.assertIsNone(process.poll())

    def test_names_of_files_are_refused(self):
        """With the sandbox on: by a sentence, not by the process's end."""
        process, qmp = self.start_qmp(*LSI, '-device', 'scsi-cd,id=cd0')
        path = str(self.disk())
        self.assert_error('GenericError', 'Permission denied', qmp, 'blockdev-add', driver='file',
                          node_name='n0', filename=path)
        self.assert_error('GenericError', "'path' is for the command line", qmp, 'object-add',
                          qom_type='x-remote-object', id='o0', devid='lsi0', path=path + '.sock')
        self.assertIsNone(process.poll())

    def test_without_sandbox(self):
        """Paths are as good as on the command line."""
        process, qmp = self.start_qmp(*LSI, '-sandbox', 'off')
        qmp('blockdev-add', driver='file', node_name='n0', filename=str(self.disk()))
        path = self.folder / 'link'
        qmp('object-add', qom_type='x-remote-object', id='o0', devid='lsi0', path=str(path))
        self.assertTrue(path.exists())
        qmp('object-del', id='o0')
        self.assertFalse(path.exists())


class Descriptors(QmpCase):
    def test_fdset_as_image(self):
        process, qmp = self.start_qmp()
        path = self.disk()
        with open(path, 'r+b') as image:
            added = qmp('add-fd', fdset_id=7, opaque='disk', fds=[image.fileno()])
        self.assertEqual(added['fdset-id'], 7)
        self.assertEqual(qmp('query-fdsets'),
                         [{'fdset-id': 7, 'fds': [{'fd': added['fd'], 'opaque': 'disk'}]}])
        qmp('blockdev-add', driver='raw', node_name='n0',
            file={'driver': 'file', 'filename': '/dev/fdset/7'})
        self.assert_error('GenericError', 'No such file', qmp, 'blockdev-add', driver='file',
                          node_name='n1', filename='/dev/fdset/8')
        qmp('remove-fd', fdset_id=7)
        self.assertEqual(qmp('query-fdsets'), [])
        self.assert_error('GenericError', 'fdset-id:7', qmp, 'remove-fd', fdset_id=7)
        self.assertEqual(qmp('query-named-block-nodes')[0]['image']['virtual-size'], 1 << 20)

    def test_read_only_descriptor(self):
        process, qmp = self.start_qmp()
        with open(self.disk(), 'rb') as image:
            qmp('add-fd', fdset_id=0, fds=[image.fileno()])
        self.assert_error('GenericError', 'Permission denied', qmp, 'blockdev-add', driver='file',
                          node_name='n0', filename='/dev/fdset/0')
        qmp('blockdev-add', driver='file', node_name='n0', filename='/dev/fdset/0', read_only=True)

    def test_names(self):
        process, qmp = self.start_qmp()
        with open(self.disk(), 'rb') as image:
            for _ in range(2):
                qmp('getfd', fdname='x', fds=[image.fileno()])
            self.assert_error('GenericError', 'digit', qmp, 'getfd', fdname='1',
                              fds=[image.fileno()])
        qmp('closefd', fdname='x')
        self.assert_error('GenericError', "'x' not found", qmp, 'closefd', fdname='x')
        self.assert_error('GenericError', 'SCM_RIGHTS', qmp, 'getfd', fdname='x')
        wait_for(lambda: not [name for name in os.listdir(f'/proc/{process.pid}/fd')
                              if os.readlink(f'/proc/{process.pid}/fd/{name}').endswith('.img')],
                 'closed descriptors')


    def test_of_a_command_that_was_refused(self):
        """It isn't taken for that of the next one."""
        process, qmp = self.start_qmp()
        with open(self.disk('first'), 'rb') as first, open(self.disk('second'), 'rb') as second:
            for text in ('{"execute":"getfd"}', '{"execute":"query-name"}', '{"execute":nonsense}'):
                with self.subTest(text):
                    qmp.send(text, [first.fileno()])
                    qmp.answer()
                    number = qmp('add-fd', fds=[second.fileno()])['fd']
                    self.assertEqual(os.readlink(f'/proc/{process.pid}/fd/{number}'),
                                     str(self.folder / 'second'))
        # Several that came together are taken in turn.
        with open(self.disk('third'), 'rb') as third, open(self.folder / 'first', 'rb') as first:
            names = [str(self.folder / name) for name in ('third', 'first')]
            numbers = [qmp('add-fd', fds=[third.fileno(), first.fileno()])['fd'],
                       qmp('add-fd')['fd']]
        self.assertEqual([os.readlink(f'/proc/{process.pid}/fd/{n}') for n in numbers], names)


class EmptyDrive(QmpCase):
    """-drive without a file, with a scsi-cd on it."""

    def test_medium(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        _, qmp = self.start_qmp(
            *LSI, '-drive', 'if=none,id=c0,media=cdrom,cache=none,aio=threads',
            '-device', 'scsi-cd,id=cd0,drive=c0,scsi-id=1,bus=lsi0.0',
            *self.served(theirs.fileno()), fds=[theirs])
        guest = Lsi(ours)
        guest.until_ready(1)
        self.assertEqual(guest.command(1, 0, READY), 2)
        self.assertEqual(guest.sense(1, 0), (2, 0x3a, 0))
        [drive] = qmp('query-block')
        self.assertEqual((drive['device'], drive['removable']), ('c0', True))
        self.assertNotIn('inserted', drive)
        self.assertEqual(qmp('query-named-block-nodes'), [])
        iso = self.pass_file(qmp, self.disk('iso'), mode='rb')
        qmp('blockdev-change-medium', device='c0', filename=iso, format='raw')
        self.assertEqual(qmp.wait_event('DEVICE_TRAY_MOVED')['device'], 'c0')
        self.assertEqual(guest.until_ready(1)[-1], (6, 0x28, 0))
        [drive] = qmp('query-block')
        self.assertEqual((drive['device'], drive['inserted']['file']), ('c0', iso))
        qmp('eject', device='c0')
        self.assertNotIn('inserted', qmp('query-block')[0])


if __name__ == '__main__':
    unittest.main()

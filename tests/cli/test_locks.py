# SPDX-License-Identifier: GPL-2.0-or-later
"""Image locks beside QEMU's own programs on the same file, in both orders, and beside ourselves."""

import os
import re
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

import remote
from remote import RemoteCase, wait_for

STOCK = os.environ.get('QEMU_VM') or 'qemu-system-x86_64'
WRITE = 'Failed to get "write" lock'
SHARED_WRITE = 'Failed to get shared "write" lock'


def locked_bytes(path):
    """The bytes of the file that anybody has an OFD lock on."""
    inode = os.stat(path).st_ino
    found = set()
    for line in Path('/proc/locks').read_text(encoding='ascii').splitlines():
        match = re.search(r'OFDLCK\s+\S+\s+READ\s+-?\d+ [^:]+:[^:]+:(\d+) (\d+) (\d+)', line)
        if match and int(match[1]) == inode:
            found.update(range(int(match[2]), int(match[3]) + 1))
    return found


class LockCase(RemoteCase):
    def setUp(self):
        super().setUp()
        self.image = self.disk('a.img')

    def need(self, *programs):
        missing = [program for program in programs if not shutil.which(program)]
        if missing:
            self.skipTest(f"not installed: {', '.join(missing)}")

    def arguments(self, drive='', device='scsi-hd', image=None):
        """One -drive and its device, with more options of both."""
        kind, _, more = device.partition(',')
        return ('-drive', f'if=none,id=d,format=raw,file={image or self.image},{drive}'.strip(','),
                '-device', f'{kind},drive=d,bus=l.0' + (f',{more}' if more else ''))

    def common(self):
        return ('-machine', 'x-remote', '-nodefaults', '-display', 'none', '-device',
                'lsi53c895a,id=l')

    def serve(self, *argv):
        """A process of ours that has come up."""
        proxy, theirs = self.socketpair()
        link = f'x-remote-object,id=o,devid=l,fd={theirs.fileno()}'
        process = self.start(*self.common(), *argv, '-object', link, fds=[theirs])
        self.assertEqual(proxy.read(), remote.LSI_IDS)
        process.proxy = proxy
        return process

    def stop(self, process):
        process.proxy.close()
        self.assertEqual(process.wait(remote.DEADLINE), 0)

    def refused(self, text, *argv):
        """Ours doesn't start, and says this of the image in one line."""
        done = self.run_remote(*self.common(), *argv)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(text, done.stderr)
        self.assertIn(f"is another process using the image '{self.image}'?", done.stderr)

    def run_tool(self, *argv):
        return subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=remote.DEADLINE)

    def tool_refused(self, text, *argv):
        done = self.run_tool(*argv)
        self.assertEqual(done.returncode, 1)
        self.assertIn(text, done.stderr)

    def tool_works(self, *argv):
        done = self.run_tool(*argv)
        self.assertEqual(done.returncode, 0, done.stderr)

    def background(self, *argv):
        process = subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def nbd(self, *options):
        """qemu-nbd serves the image."""
        self.need('qemu-nbd')
        path = self.folder / 'nbd'
        process = self.background('qemu-nbd', '-t', '-f', 'raw', '-k', path, *options, self.image)
        wait_for(lambda: path.exists() or process.poll() is not None, 'qemu-nbd')
        self.assertIsNone(process.poll())
        return process


# Which bytes each way of using an image locks: docs/devel/image-locks.md.
USES = [
    ('disk', '', 'scsi-hd', {100, 101, 201}),
    ('disk_without_page_cache', 'cache=none', 'scsi-hd', {100, 101, 201}),
    ('shared_disk', '', 'scsi-hd,share-rw=on', {100, 101}),
    ('read_only_disk', 'readonly=on', 'scsi-hd', {100, 201}),
    ('shared_read_only_disk', 'readonly=on', 'scsi-hd,share-rw=on', {100}),
    ('cd', 'readonly=on', 'scsi-cd', {100, 201, 203}),
    ('off', 'file.locking=off', 'scsi-hd', set()),
    ('on', 'file.locking=on', 'scsi-hd', {100, 101, 201}),
]


class Bytes(LockCase):
    def check(self, drive, device, expected):
        process = self.serve(*self.arguments(drive, device))
        self.assertEqual(locked_bytes(self.image), expected)
        self.stop(process)
        self.assertEqual(locked_bytes(self.image), set())


class StockBytes(LockCase):
    """That the table is the stock's."""

    def check(self, drive, device, expected):
        self.need(STOCK)
        self.background(STOCK, *self.common(), *self.arguments(drive, device))
        wait_for(lambda: locked_bytes(self.image) == expected, f'locks {expected}')


class BesideTools(LockCase):
    def test_nbd_that_writes_came_first(self):
        self.nbd()
        self.refused(SHARED_WRITE, *self.arguments())
        self.refused(SHARED_WRITE, *self.arguments('readonly=on'))
        self.stop(self.serve(*self.arguments(device='scsi-hd,share-rw=on')))
        self.stop(self.serve(*self.arguments('file.locking=off')))

    def test_nbd_that_reads_came_first(self):
        self.nbd('-r')
        self.stop(self.serve(*self.arguments()))

    def test_nbd_comes_later(self):
        self.need('qemu-nbd')
        process = self.serve(*self.arguments())
        path = self.folder / 'nbd'
        self.tool_refused(WRITE, 'qemu-nbd', '-f', 'raw', '-k', path, self.image)
        self.stop(process)
        self.nbd()

    def test_nbd_comes_later_and_sharing_was_agreed(self):
        self.serve(*self.arguments(device='scsi-hd,share-rw=on'))
        self.nbd()

    def test_img_comes_later(self):
        self.need('qemu-img')
        process = self.serve(*self.arguments())
        resize = ('qemu-img', 'resize', '-q', '-f', 'raw', self.image, '2M')
        convert = ('qemu-img', 'convert', '-f', 'raw', self.image, self.folder / 'copy')
        self.tool_refused(WRITE, *resize)
        self.tool_refused(SHARED_WRITE, *convert)
        self.tool_works('qemu-img', 'info', '-U', self.image)
        self.stop(process)
        self.tool_works(*resize)
        self.tool_works(*convert)

    def test_a_killed_process_leaves_nothing_behind(self):
        process = self.serve(*self.arguments())
        process.send_signal(signal.SIGKILL)
        process.wait(remote.DEADLINE)
        self.stop(self.serve(*self.arguments()))


class Qcow2(LockCase):
    """An image with a backing file, beside QEMU's programs in both orders."""

    def setUp(self):
        super().setUp()
        self.need('qemu-img', 'qemu-io')
        self.base = self.folder / 'base.qcow2'
        self.tool_works('qemu-img', 'create', '-q', '-f', 'qcow2', self.base, '1M')
        self.image = self.overlay('a.qcow2')

    def overlay(self, name):
        path = self.folder / name
        self.tool_works('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', self.base, '-F', 'qcow2',
                        path)
        return path

    def arguments(self, drive='', device='scsi-hd', image=None):
        return [word.replace('format=raw', 'format=qcow2')
                for word in super().arguments(drive, device, image)]

    def io_holds(self, image, *options):
        """A qemu-io that has image open until it is ended."""
        process = subprocess.Popen(['qemu-io', *options, '-f', 'qcow2', str(image)],
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_for(lambda: locked_bytes(image) or process.poll() is not None, 'qemu-io')
        self.assertIsNone(process.poll())
        return process

    def test_img_comes_later(self):
        process = self.serve(*self.arguments())
        self.tool_refused(WRITE, 'qemu-img', 'check', '-q', '-r', 'all', self.image)
        self.tool_refused(SHARED_WRITE, 'qemu-img', 'check', '-q', self.image)
        self.tool_refused(WRITE, 'qemu-img', 'snapshot', '-c', 's', self.image)
        self.tool_refused(WRITE, 'qemu-img', 'resize', '-q', self.image, '2M')
        self.tool_refused(SHARED_WRITE, 'qemu-img', 'convert', '-O', 'raw', self.image,
                          self.folder / 'o')
        self.tool_works('qemu-img', 'info', '-U', '--backing-chain', self.image)
        self.stop(process)
        self.tool_works('qemu-img', 'snapshot', '-c', 's', self.image)
        self.tool_works('qemu-img', 'check', '-q', self.image)

    def test_backing_file_is_shared_by_readers_alone(self):
        process = self.serve(*self.arguments())
        self.tool_works('qemu-img', 'check', '-q', self.base)
        self.tool_works('qemu-img', 'compare', '-q', self.base, self.overlay('b.qcow2'))
        self.tool_refused(WRITE, 'qemu-img', 'resize', '-q', self.base, '2M')
        self.tool_refused(WRITE, 'qemu-io', '-f', 'qcow2', '-c', 'write 0 512', self.base)
        other = self.serve(*self.arguments(image=self.folder / 'b.qcow2'))
        self.stop(other)
        self.stop(process)
        self.tool_works('qemu-img', 'resize', '-q', self.base, '2M')

    def test_a_writer_came_first(self):
        tool = self.io_holds(self.image)
        self.refused(WRITE, *self.arguments())
        self.refused(SHARED_WRITE, *self.arguments('readonly=on'))
        self.stop(self.serve(*self.arguments(image=self.overlay('b.qcow2'))))
        tool.kill()
        tool.wait()
        self.stop(self.serve(*self.arguments()))

    def test_a_reader_came_first(self):
        self.io_holds(self.image, '-r')
        self.refused(WRITE, *self.arguments())
        self.stop(self.serve(*self.arguments('readonly=on')))

    def test_the_backing_file_has_a_writer(self):
        self.io_holds(self.base)
        done = self.run_remote(*self.common(), *self.arguments())
        self.assertEqual(done.returncode, 1)
        self.assertIn(SHARED_WRITE, done.stderr)
        self.assertIn(f"'{self.base}'?", done.stderr)


class BesideOurselves(LockCase):
    def test_two_processes(self):
        self.serve(*self.arguments())
        self.refused(WRITE, *self.arguments())
        self.refused(SHARED_WRITE, *self.arguments('readonly=on'))
        self.refused(WRITE, *self.arguments(device='scsi-hd,share-rw=on'))

    def test_two_readers(self):
        self.serve(*self.arguments('readonly=on'))
        self.serve(*self.arguments('readonly=on'))

    def test_two_that_share(self):
        self.serve(*self.arguments(device='scsi-hd,share-rw=on'))
        self.serve(*self.arguments(device='scsi-hd,share-rw=on'))

    def two_nodes(self, more):
        return (*self.arguments(device='scsi-hd' + more),
                '-blockdev', f'driver=file,node-name=f,filename={self.image}',
                '-device', f'scsi-hd,drive=f,bus=l.0,scsi-id=1{more}')

    def test_two_nodes_of_one_process(self):
        self.refused(WRITE, *self.two_nodes(''))
        self.stop(self.serve(*self.two_nodes(',share-rw=on')))

    def test_two_nodes_above_one_file(self):
        raws = [word for name in 'xy' for word in (
            '-blockdev', f'driver=raw,node-name={name},file=f',
            '-device', f'scsi-hd,drive={name},bus=l.0')]
        process = self.serve('-blockdev', f'driver=file,node-name=f,filename={self.image}', *raws)
        self.assertEqual(locked_bytes(self.image), {100, 101, 201})
        self.stop(process)


class BadOptions(LockCase):
    def test_locking_takes_three_values(self):
        done = self.run_remote(*self.common(), *self.arguments('file.locking=maybe'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('locking', done.stderr)


remote.add_rows(Bytes, USES)
remote.add_rows(StockBytes, [row for row in USES if row[-1]])

if __name__ == '__main__':
    unittest.main()

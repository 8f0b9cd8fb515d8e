# SPDX-License-Identifier: GPL-2.0-or-later
"""The RBD driver against a Ceph cluster of one monitor and one OSD, whose data is in memory. It
lives in a folder of its own, on a port that was free, and its processes are ended by their pids."""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'cli'))

from lsi import DATA, Lsi  # noqa: E402 (its folder has to be on the path first)

TOOLS = ('ceph', 'ceph-mon', 'ceph-osd', 'ceph-authtool', 'monmaptool', 'rbd')
BUILD = Path(os.environ.get('QEMU_REMOTE', 'build/x')).parent
LOAD = BUILD / 'tests/interop/ceph-load'
MIB = 1 << 20

CONF = '''\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{port}/0
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 268435456
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file = {folder}/$name.pid
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
'''


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


class Cluster:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.conf = self.folder / 'ceph.conf'
        self.fsid = str(uuid.uuid4())
        self.port = free_port()
        self.daemons = []

    def run(self, tool, *words, **keywords):
        command = [tool, *(('-c', str(self.conf)) if tool not in ('ceph-authtool', 'monmaptool')
                           else ()), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False,
                              **keywords)
        if done.returncode:
            raise AssertionError(f'{" ".join(command)}: {done.stderr}')
        return done.stdout

    def daemon(self, tool, name):
        self.daemons.append(subprocess.Popen(
            [tool, '-c', str(self.conf), '-i', name, '-f'], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def start(self):
        for name in ('mon', 'osd'):
            (self.folder / name).mkdir()
        self.conf.write_text(CONF.format(fsid=self.fsid, port=self.port, folder=self.folder))
        keyring, monmap = self.folder / 'keyring', self.folder / 'monmap'
        self.run('ceph-authtool', '--create-keyring', keyring, '--gen-key', '-n', 'mon.',
                 '--cap', 'mon', 'allow *')
        self.run('ceph-authtool', keyring, '--gen-key', '-n', 'client.admin',
                 '--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *')
        self.run('monmaptool', '--create', '--fsid', self.fsid, '--addv', 'a',
                 f'[v2:127.0.0.1:{self.port}]', monmap)
        self.run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', monmap, '--keyring', keyring)
        self.daemon('ceph-mon', 'a')
        osd = str(uuid.uuid4())
        self.run('ceph', 'osd', 'new', osd)
        self.run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osd)
        self.daemon('ceph-osd', '0')
        deadline = time.monotonic() + 60
        while '1 up' not in self.run('ceph', 'osd', 'stat'):
            if time.monotonic() > deadline:
                raise AssertionError('the OSD does not come up')
            time.sleep(0.5)
        self.run('ceph', 'osd', 'pool', 'create', 'pool', '1')

    def stop(self):
        for daemon in self.daemons:
            daemon.kill()
            daemon.wait()


class Ceph(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        if missing:
            raise unittest.SkipTest(f'{", ".join(missing)} not installed (ceph-mon, ceph-osd, '
                                    'ceph-common)')
        if not LOAD.exists():
            raise unittest.SkipTest(f'{LOAD} is not built: it needs librbd')
        folder = tempfile.TemporaryDirectory(prefix='ceph')
        cls.addClassCleanup(folder.cleanup)
        cls.cluster = Cluster(folder.name)
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.start()

    def load(self, image, *more):
        model = self.cluster.folder / f'{image}.model'
        options = ','.join(['driver=rbd', 'node-name=n', 'pool=pool', f'image={image}',
                            'discard=unmap', f'conf={self.cluster.conf}', *more])
        done = subprocess.run([LOAD, options, model], capture_output=True, text=True, timeout=300,
                              check=False)
        return done, model

    def test_what_was_written_is_there(self):
        self.cluster.run('rbd', 'create', '--size', '16M', 'pool/disk')
        done, model = self.load('disk')
        self.assertEqual(done.returncode, 0, done.stderr)
        out = self.cluster.folder / 'disk.out'
        self.cluster.run('rbd', 'export', 'pool/disk', out)
        self.assertEqual(out.read_bytes(), model.read_bytes() + bytes(15 * MIB))

    def test_namespace(self):
        self.cluster.run('rbd', 'namespace', 'create', 'pool/space')
        self.cluster.run('rbd', 'create', '--size', '1M', 'pool/space/other')
        done, _ = self.load('other', 'namespace=space')
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_missing_image(self):
        done, _ = self.load('nosuch')
        self.assertEqual((done.returncode, done.stderr),
                         (1, "Could not open the RBD image 'nosuch': No such file or directory\n"))

    def test_the_program_opens_an_image_and_its_snapshot(self):
        self.cluster.run('rbd', 'create', '--size', '4M', 'pool/snapped')
        self.cluster.run('rbd', 'snap', 'create', 'pool/snapped@then')
        for name in ('snapped', 'snapped@then'):
            with self.subTest(name):
                done = subprocess.run(
                    [os.environ['QEMU_REMOTE'], '-drive',
                     f'if=none,id=d,format=raw,file=rbd:pool/{name}:conf={self.cluster.conf}'],
                    capture_output=True, text=True, timeout=60, check=False)
                self.assertIn('nothing to serve', done.stderr)
                self.assertEqual(done.stderr.count('\n'), 1)

    def test_served_under_the_sandbox(self):
        content = os.urandom(MIB)
        source = self.cluster.folder / 'served.in'
        source.write_bytes(content)
        self.cluster.run('rbd', 'import', source, 'pool/served')
        ours, theirs = socket.socketpair()
        with ours, theirs, subprocess.Popen(
                [os.environ['QEMU_REMOTE'], '-device', 'lsi53c895a,id=lsi', '-drive',
                 f'if=none,id=d,format=raw,file=rbd:pool/served:conf={self.cluster.conf}',
                 '-device', 'scsi-hd,drive=d', '-object',
                 f'x-remote-object,id=o,devid=lsi,fd={theirs.fileno()}'],
                pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True) as process:
            self.addCleanup(process.kill)
            theirs.close()
            try:
                guest = Lsi(ours)
                guest.until_ready(0)
                read_10 = struct.pack('>BBIBHB', 0x28, 0, 1000, 0, 1, 0)
                self.assertEqual(guest.command(0, 0, read_10, 512), 0)
                self.assertEqual(bytes(guest.memory[DATA:DATA + 512]), content[512000:512512])
            finally:
                ours.close()
                said = process.communicate(timeout=60)[1]
                self.assertIn('sandbox: widened for rbd by ', said)
                self.assertNotIn('is not allowed', said)
        self.assertEqual(process.returncode, 0)

    def test_resized_under_the_sandbox(self):
        self.cluster.run('rbd', 'create', '--size', '1M', 'pool/grows')
        path = self.cluster.folder / 'qmp'
        with socket.socket(socket.AF_UNIX) as listener, subprocess.Popen(
                [os.environ['QEMU_REMOTE'], '-qmp', f'unix:{path},server=on,wait=off',
                 '-drive', f'if=none,id=d,format=raw,file=rbd:pool/grows:conf={self.cluster.conf}'],
                stderr=subprocess.PIPE, text=True) as process:
            self.addCleanup(process.kill)
            deadline = time.monotonic() + 60
            while listener.connect_ex(str(path)):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.05)
            with listener.makefile('rw') as monitor:
                monitor.readline()
                for command, arguments in (('qmp_capabilities', {}),
                                           ('block_resize', {'device': 'd', 'size': 3 * MIB}),
                                           ('quit', {})):
                    monitor.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
                    monitor.flush()
                    self.assertEqual(json.loads(monitor.readline()), {'return': {}})
            said = process.communicate(timeout=60)[1]
        self.assertIn('sandbox: widened for rbd by ', said)
        self.assertNotIn('is not allowed', said)
        self.assertEqual(process.returncode, 0)
        self.assertIn(f'"size":{3 * MIB}', self.cluster.run('rbd', 'info', '--format', 'json',
                                                            'pool/grows'))


if __name__ == '__main__':
    unittest.main()

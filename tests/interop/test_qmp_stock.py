# SPDX-License-Identifier: GPL-2.0-or-later
"""The same questions to the stock remote's QMP and to ours: the answers have the same shape.

A member that both have is of the same type. Which ones only one of them has, and why, is said by
LEFT_OUT and OWN. Things that only one of them has (commands, types, properties) are not compared.
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from interop import REMOTE, TOP

sys.path.insert(0, str(TOP / 'tests/cli'))
from lsi import DEVICE_RESET  # noqa: E402
from qmp import Qmp  # noqa: E402
from remote import wait_for  # noqa: E402

STOCK = shutil.which('qemu-system-x86_64')
CD = '/machine/peripheral/cd0'
DISK = '/machine/peripheral/hd0'

QUESTIONS = [
    ('query-version', {}),
    ('query-status', {}),
    ('query-name', {}),
    ('query-commands', {}),
    ('query-block', {}),
    ('query-blockstats', {}),
    ('query-blockstats', {'query-nodes': True}),
    ('query-named-block-nodes', {}),
    ('query-pci', {}),
    ('query-chardev', {}),
    ('query-fdsets', {}),
    ('query-uuid', {}),
    ('query-kvm', {}),
    ('query-target', {}),
    ('query-cpus-fast', {}),
    ('query-iothreads', {}),
    ('query-jobs', {}),
    ('qom-list', {'path': '/machine/peripheral'}),
    ('qom-list', {'path': '/objects'}),
    ('qom-get', {'path': DISK, 'property': 'type'}),
    ('qom-get', {'path': DISK, 'property': 'drive'}),
    ('qom-get', {'path': DISK, 'property': 'scsi-id'}),
    ('qom-get', {'path': CD, 'property': 'parent_bus'}),
    ('qom-get', {'path': '/machine', 'property': 'type'}),
    ('device-list-properties', {'typename': 'scsi-hd'}),
    ('device-list-properties', {'typename': 'lsi53c895a'}),
    ('qom-list-types', {'implements': 'scsi-device'}),
    ('human-monitor-command', {'command-line': 'info block'}),
    ('device_del', {'id': 'nobody'}),
    ('eject', {'id': 'hd0'}),
]
# Members whose values may differ: the stock gives an image that was told its backing image a name
# made of all its options; here what reads an image's tables is counted as well.
UNLIKE = {'file', 'filename', 'rd_bytes', 'rd_operations', 'rd_total_time_ns', 'account_invalid',
          'account_failed'}
# Values, beyond types, that have to be the stock's.
SAME = {'qom-get', 'query-status', 'query-name', 'query-uuid', 'query-target', 'query-fdsets'}
# Members that only one of the two has, by command. All of them are optional in the stock's schema.
LEFT_OUT = {
    'device-list-properties': {
        'description': 'the stock has words for few of its properties',
        'default-value': 'of addr, which is text here; the stock takes both'},
}
OWN = {
    'device-list-properties': {
        'description': 'there is one for each property here',
        'default-value': 'of bootindex, which the stock sets behind its own back'},
}


def kind(value):
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return 'number' if isinstance(value, (int, float)) else type(value).__name__


def compare(stock, ours, path):
    """Yields what is wrong with ours."""
    if kind(stock) != kind(ours):
        yield f'{path}: {kind(ours)} {ours!r}, the stock has {kind(stock)} {stock!r}'
    elif isinstance(stock, dict):
        command = path.split('.')[0]
        for name in stock.keys() - ours.keys() - LEFT_OUT.get(command, {}).keys():
            yield f'{path}.{name} is missing'
        for name in ours.keys() - stock.keys() - OWN.get(command, {}).keys():
            yield f'{path}.{name} is not in the stock'
        for name in stock.keys() & ours.keys():
            yield from compare(stock[name], ours[name], f'{path}.{name}')
    elif isinstance(stock, list):
        yield from compare_lists(stock, ours, path)


def compare_lists(stock, ours, path):
    """Items are compared with those of the same name; lists of different things have none."""
    if bool(stock) != bool(ours) and not path.startswith('query-commands'):
        yield f'{path}: {len(ours)} items, the stock has {len(stock)}'

    def key(item):
        if not isinstance(item, dict):
            return None
        names = [str(item[name]) for name in ('qdev', 'node-name', 'name', 'bar', 'label')
                 if name in item]
        return tuple(names)
    theirs = {key(item): item for item in stock}
    for number, item in enumerate(ours):
        if key(item) in theirs:
            yield from compare(theirs[key(item)], item, f'{path}[{number}]')


class Shapes(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        if not STOCK:
            raise unittest.SkipTest('no qemu-system-x86_64')
        if not os.path.exists(REMOTE):
            raise unittest.SkipTest(f'{REMOTE} is not there')
        if not shutil.which('qemu-img'):
            raise unittest.SkipTest('no qemu-img')
        folder = tempfile.TemporaryDirectory(prefix='qmp')
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        (cls.folder / 'disk').write_bytes(bytes(1 << 20))
        qemu_img = ['qemu-img', 'create', '-q', '-f', 'qcow2']
        for words in (['-o', 'lazy_refcounts=on', '-b', 'disk', '-F', 'raw', 'over'],
                      ['-o', 'compat=0.10', 'old', '1M']):
            subprocess.run([*qemu_img, *words], cwd=cls.folder, check=True)
        cls.links = []  # the clients' ends of x-remote-object
        cls.sessions = [cls.start(STOCK, 'stock'), cls.start(REMOTE, 'ours')]

    @classmethod
    def start(cls, binary, name):
        ours, theirs = socket.socketpair()
        cls.addClassCleanup(ours.close)
        ours.settimeout(30)
        cls.links.append(ours)
        path = cls.folder / name
        disk = cls.folder / 'disk'
        process = subprocess.Popen(
            [binary, '-machine', 'x-remote', '-nodefaults', '-display', 'none', '-name', 'guest=vm',
             '-blockdev', f'driver=file,node-name=f0,filename={disk},locking=off',
             '-blockdev', 'driver=raw,node-name=r0,file=f0',
             '-blockdev', f'driver=qcow2,node-name=q0,file.driver=file,file.node-name=f1,'
             f'file.filename={cls.folder}/over,file.locking=off,backing.driver=raw,'
             f'backing.node-name=b0,backing.file.driver=file,backing.file.node-name=f2,'
             f'backing.file.filename={disk},backing.file.locking=off',
             '-blockdev', f'driver=qcow2,node-name=q1,read-only=on,file.driver=file,'
             f'file.node-name=f3,file.filename={cls.folder}/old',
             '-device', 'lsi53c895a,id=lsi0',
             '-device', 'scsi-hd,id=hd1,drive=q0,bus=lsi0.0,scsi-id=2',
             '-device', 'scsi-cd,id=cd1,drive=q1,bus=lsi0.0,scsi-id=3',
             '-device', 'scsi-hd,id=hd0,drive=r0,bus=lsi0.0,scsi-id=0',
             '-device', 'scsi-cd,id=cd0,bus=lsi0.0,scsi-id=1',
             '-object', f'x-remote-object,id=o0,devid=lsi0,fd={theirs.fileno()}',
             '-qmp', f'unix:{path},server=on,wait=off'],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        cls.addClassCleanup(process.stderr.close)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.kill)
        theirs.close()

        def attempt():
            if process.poll() is not None:
                raise unittest.SkipTest(f'{binary}: {process.stderr.read().decode().strip()}')
            sock = socket.socket(socket.AF_UNIX)
            if sock.connect_ex(str(path)):
                sock.close()
                return None
            return sock
        qmp = Qmp(wait_for(attempt, f'the monitor of {binary}'), negotiate=False)
        cls.addClassCleanup(qmp.close)
        return qmp

    def both(self, text):
        return [qmp.raw(text) for qmp in self.sessions]

    def test_0_greeting(self):
        stock, ours = [qmp.greeting for qmp in self.sessions]
        self.assertEqual(stock['QMP'].pop('capabilities'), ['oob'])
        self.assertEqual(ours['QMP'].pop('capabilities'), [])
        self.assertEqual(list(compare(stock, ours, 'greeting')), [])
        for text in ('{"execute":"query-status"}', '{"execute":"qmp_capabilities","id":1}'):
            stock, ours = self.both(text)
            self.assertEqual(stock, ours)

    def test_1_questions(self):
        self.assertEqual(len({json.dumps(question) for question in QUESTIONS}), 30)
        for number, (command, arguments) in enumerate(QUESTIONS):
            with self.subTest(command=command, arguments=arguments):
                stock, ours = self.both(json.dumps({'execute': command, 'arguments': arguments,
                                                    'id': number}))
                self.assertEqual(list(compare(stock, ours, command)), [])
                if command in SAME or 'error' in stock:
                    self.assertEqual(stock, ours)

    def test_block_values(self):
        """What there is to be told of images is the same, to the byte."""
        def leaves(value, path):
            if isinstance(value, dict):
                for name, member in value.items():
                    if name not in UNLIKE:
                        yield from leaves(member, f'{path}.{name}')
            elif isinstance(value, list):
                for item in value:
                    name = item.get('qdev') or item['node-name']
                    yield from leaves(item, f'{path}[{name}]')
            else:
                yield path, value
        for command, arguments in (('query-block', {}), ('query-blockstats', {}),
                                   ('query-named-block-nodes', {}),
                                   ('query-named-block-nodes', {'flat': True})):
            with self.subTest(command, **arguments):
                answers = self.both(json.dumps({'execute': command, 'arguments': arguments}))
                stock, ours = [dict(leaves(answer['return'], '')) for answer in answers]
                self.assertGreater(len(stock), 30)
                self.assertEqual(stock, ours)

    def test_2_errors(self):
        """The same class for the same mistake; the same words where they are not the parser's."""
        for text, same in (('{"execute":1}', True), ('{"execute":"nonsense"}', True), ('{}', True),
                           ('{"execute":"query-status","x":1}', True), ('"x" ', True),
                           ('{"execute":"query-status","arguments":1}', True), ('{x}', False),
                           ('{"execute":"qom-list"}', True), ('{"execute":"eject"}', True),
                           ('{"execute":"qom-list","arguments":{"path":1}}', True),
                           ('{"execute":"query-status","arguments":{"x":1}}', True),
                           ('{"execute":"qmp_capabilities"}', True),
                           ('{"execute":"device_add","arguments":{"driver":"x"}}', True),
                           ('{"execute":"device_add","arguments":{"id":"x"}}', True)):
            with self.subTest(text=text):
                stock, ours = self.both(text)
                self.assertEqual(stock['error']['class'], ours['error']['class'])
                if same:
                    self.assertEqual(stock, ours)

    def test_3_schema(self):
        """Entities of both have the same meta-type, and commands the same members."""
        stock, ours = [{(e['meta-type'], e['name']): e for e in answer['return']}
                       for answer in self.both('{"execute":"query-qmp-schema"}')]
        for what, entity in ours.items():
            if what[0] in ('command', 'event') and what in stock:
                self.assertLessEqual(entity.keys(), stock[what].keys(), what)
        commands = {name for meta, name in ours if meta == 'command'}
        self.assertEqual({name for name in commands if ('command', name) not in stock},
                         {'query-remote'})
        self.assertEqual({name for meta, name in ours
                          if meta == 'event' and ('event', name) not in stock}, set())

    def test_4_resets_and_states(self):
        """The same events with the same data, and the same states; none for a client's reset."""
        def told(qmp, command):
            qmp(command)
            if command == 'system_reset':
                while not any(event['event'] == 'RESET' for event in qmp.events):
                    qmp.events.append(qmp.receive())
            status = qmp('query-status')['status']
            events = [(event['event'], event.get('data')) for event in qmp.events]
            qmp.events.clear()
            return status, events
        for qmp, link in zip(self.sessions, self.links):
            link.sendall(struct.pack('<iIQ', DEVICE_RESET, 0, 0))
            self.assertEqual(link.recv(4), bytes([1, 0, 0, 0]))
            qmp.events.clear()
        for command in ('query-status', 'system_reset', 'stop', 'stop', 'system_reset', 'cont',
                        'cont', 'system_reset'):
            with self.subTest(command=command):
                stock, ours = [told(qmp, command) for qmp in self.sessions]
                self.assertEqual(stock, ours)


if __name__ == '__main__':
    unittest.main()

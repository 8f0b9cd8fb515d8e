# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command in every state, while a guest does I/O: an answer of the schema's, or an error."""

import itertools
import json
import socket
import threading
import unittest

from lsi import Lsi
from qmp import LSI, QmpCase

READ = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0])
WRITE = bytes([0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0])
ENDS = 20  # of processes, until a query has come at the very moment

# The arguments of each command; those that aren't here take none. A command that isn't known here
# and takes some fails the test.
ARGUMENTS = {
    'qom-list': {'path': '/machine/peripheral/hd0'},
    'qom-get': {'path': '/machine/peripheral/hd0', 'property': 'drive'},
    'device-list-properties': {'typename': 'scsi-hd'},
    'device_add': {'driver': 'scsi-hd', 'id': 'hd1', 'drive': 'spare', 'bus': 'lsi0.0',
                   'scsi-id': 0, 'lun': 1},
    'device_del': {'id': 'hd1'},
    'object-add': {'qom-type': 'x-remote-object', 'id': 'o1', 'devid': 'lsi1', 'fd': None},
    'object-del': {'id': 'o1'},
    'blockdev-add': {'driver': 'raw', 'node-name': 'extra', 'file': 'file0', 'read-only': True},
    'blockdev-del': {'node-name': 'extra'},
    'block_resize': {'node-name': 'd0', 'size': 1 << 20},
    'eject': {'id': 'cd0', 'force': True},
    'blockdev-open-tray': {'id': 'cd0', 'force': True},
    'blockdev-close-tray': {'id': 'cd0'},
    'blockdev-remove-medium': {'id': 'cd0'},
    'blockdev-insert-medium': {'id': 'cd0', 'node-name': 'spare'},
    'blockdev-change-medium': {'id': 'cd0', 'filename': '/dev/fdset/9', 'format': 'raw'},
    'getfd': {'fdname': 'x'},
    'closefd': {'fdname': 'x'},
    'add-fd': {'fdset-id': 1},
    'remove-fd': {'fdset-id': 1},
    'human-monitor-command': {'command-line': 'info block'},
}
KINDS = {'string': str, 'int': int, 'boolean': bool, 'number': (int, float), 'value': object}


class Schema:
    """What query-qmp-schema tells, and whether an answer is so."""

    def __init__(self, entities):
        self.entities = {(e['meta-type'] == 'command', e['meta-type'] == 'event', e['name']): e
                         for e in entities}

    def type(self, name):
        return self.entities[False, False, name]

    def command(self, name):
        return self.entities[True, False, name]

    def event(self, name):
        return self.entities[False, True, name]

    def check(self, name, value, where):
        entity = self.type(name)
        getattr(self, 'check_' + entity['meta-type'])(entity, value, where)

    def check_builtin(self, entity, value, where):
        kind = KINDS[entity['json-type']]
        assert isinstance(value, kind), f'{where}: {value!r} is no {entity["json-type"]}'
        assert kind is not int or not isinstance(value, bool), where

    def check_enum(self, entity, value, where):
        assert value in entity['values'], f'{where}: {value!r}'

    def check_array(self, entity, value, where):
        assert isinstance(value, list), where
        for number, item in enumerate(value):
            self.check(entity['element-type'], item, f'{where}[{number}]')

    def check_object(self, entity, value, where):
        members = {member['name']: member for member in entity['members']}
        assert isinstance(value, dict), where
        assert value.keys() <= members.keys(), f'{where}: {value.keys() - members.keys()}'
        for name, member in members.items():
            if name in value:
                self.check(member['type'], value[name], f'{where}.{name}')
            else:
                assert 'default' in member, f'{where}: {name} is missing'


class Load(threading.Thread):
    """A guest that reads and writes until it is told to end, whatever the answers are."""

    def __init__(self, guest):
        super().__init__(daemon=True)
        self.guest, self.ended, self.done = guest, threading.Event(), 0
        self.start()

    def run(self):
        try:
            while not self.ended.is_set():
                for lun, cdb in ((0, READ), (1, WRITE), (0, WRITE), (1, READ)):
                    self.guest.start(0, lun, cdb, 4096, cdb is WRITE)
                    self.guest.finish(self.ended.is_set)
                    self.done += 1
                self.guest.write(0x10, 0xc001) # as a reset may have undone it
                self.guest.write(0x04, 0x07, 2)
        except (EOFError, OSError):
            pass

    def stop(self):
        self.ended.set()
        self.join()


class States(QmpCase):
    def setUp(self):
        super().setUp()
        ours, theirs = socket.socketpair()
        self.process, self.qmp, self.other = self.start_qmp(
            *LSI, '-device', 'lsi53c895a,id=lsi1',
            '-blockdev', f'file,node-name=file0,filename={self.disk()}',
            '-blockdev', 'raw,node-name=d0,file=file0',
            '-blockdev', f'raw,node-name=spare,file.driver=file,file.filename={self.disk("s")}',
            '-device', 'scsi-hd,id=hd0,drive=d0,scsi-id=0,lun=0,bus=lsi0.0',
            '-device', 'scsi-cd,id=cd0,scsi-id=1,bus=lsi0.0',
            *self.served(theirs.fileno()), fds=[theirs], sessions=2)
        self.addCleanup(ours.close)
        self.pass_file(self.qmp, self.disk('iso'), fdset=9, mode='rb')
        self.numbers = itertools.count()
        guest = Lsi(ours)
        guest.until_ready(0)
        self.load = Load(guest)
        self.addCleanup(self.load.stop)
        self.schema = Schema(self.qmp('query-qmp-schema'))
        self.commands = [c['name'] for c in self.qmp('query-commands')]

    def arguments(self, name):
        members = self.schema.type(self.schema.command(name)['arg-type'])['members']
        if name not in ARGUMENTS:
            self.assertFalse([m for m in members if 'default' not in m],
                             f'this test knows no arguments of {name}')
        return ARGUMENTS.get(name, {})

    def pass_listener(self, qmp):
        """The name that a socket has for the next command of this session."""
        name = f'link{next(self.numbers)}'
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / name))
            listener.listen()
            qmp.send(json.dumps({'execute': 'getfd', 'arguments': {'fdname': name}}),
                     [listener.fileno()])
        qmp.answer()
        return name

    def run_one(self, qmp, name):
        """'return' or the error's class."""
        arguments = dict(self.arguments(name))
        if name == 'object-add':
            arguments['fd'] = self.pass_listener(qmp)
        with open('/dev/null', 'rb') as null:
            qmp.send(json.dumps({'execute': name, 'arguments': arguments}), [null.fileno()])
        answer = qmp.answer()
        for event in qmp.events:
            self.schema.check(self.schema.event(event['event'])['arg-type'],
                              event.get('data', {}), event['event'])
        qmp.events.clear()
        if 'return' in answer:
            self.schema.check(self.schema.command(name)['ret-type'], answer['return'], name)
            return 'return'
        return answer['error']['class']

    def run_all(self, qmp, leave_out=()):
        return {name: self.run_one(qmp, name) for name in self.commands
                if name not in ('quit', *leave_out)}

    def alive(self):
        self.assertTrue(self.other('query-status')['status'])
        self.assertIsNone(self.process.poll())

    def test_running(self):
        results = self.run_all(self.qmp, ['stop', 'cont'])
        failed = {name for name, result in results.items() if result != 'return'}
        # What the ones before have undone; everything else has worked.
        self.assertEqual(failed, {'qmp_capabilities', 'blockdev-remove-medium',
                                  'blockdev-insert-medium'} & failed)
        done = self.load.done
        while self.load.done < done + 4:
            self.alive()

    def test_stopped(self):
        self.qmp('stop')
        results = self.run_all(self.qmp, ['stop', 'cont'])
        self.assertEqual(results['object-add'], 'GenericError')
        self.assertEqual(results['device_add'], 'return')
        self.qmp('cont')
        self.alive()

    def test_not_negotiated(self):
        self.other.close()
        fresh = self.connect_qmp(self.folder / 'qmp1', negotiate=False)
        results = self.run_all(fresh, ['qmp_capabilities'])
        self.assertEqual(set(results.values()), {'CommandNotFound'})
        self.assertEqual(self.run_one(fresh, 'qmp_capabilities'), 'return')

    def race(self, *commands):
        """One session gives these all the time while the other one gives each command."""
        stop = threading.Event()

        def repeat():
            while not stop.is_set():
                for name in commands:
                    self.run_one(self.other, name)
        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            for _ in range(3):
                self.run_all(self.qmp)
        finally:
            stop.set()
            thread.join()
        self.alive()

    def test_racing_reset(self):
        self.race('system_reset')

    def test_racing_stop(self):
        self.race('stop', 'cont')

    def test_racing_removal(self):
        self.race('device_add', 'device_del')

    def test_racing_objects(self):
        self.race('object-add', 'object-del')

    def test_racing_medium(self):
        self.race('blockdev-change-medium', 'eject')

    def test_racing_quit(self):
        """Each command arrives while the process ends: it is answered or the session is over."""
        for name in self.commands:
            with self.subTest(command=name):
                try:
                    self.other.send('{"execute":"quit"}')
                    self.run_one(self.qmp, name)
                except (EOFError, OSError):
                    pass
                self.ends(self.process)
            self.load.stop()
            self.doCleanups()
            self.setUp()

    def test_guest_leaves(self):
        """The last client goes while commands are under way."""
        self.qmp.send('{"execute":"system_reset"}{"execute":"query-block"}{"execute":"stop"}')
        self.load.guest.sock.shutdown(socket.SHUT_RDWR)
        self.ends(self.process)

    def test_queries_at_the_end(self):
        """Queries go on while the process ends: one may come beside what ends it."""
        for _ in range(ENDS):
            try:
                self.load.guest.sock.shutdown(socket.SHUT_RDWR)
                while self.process.poll() is None:
                    self.qmp.send('{"execute":"query-block"}')
            except OSError:
                pass
            self.ends(self.process)
            self.load.stop()
            self.doCleanups()
            self.setUp()


if __name__ == '__main__':
    unittest.main()

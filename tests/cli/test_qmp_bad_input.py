# SPDX-License-Identifier: GPL-2.0-or-later
"""The monitor's doors: what clients send that is no command, or a command that makes no sense."""

import json
import os
import select
import socket
import unittest

from qmp import Qmp, QmpCase
from remote import PROGRAM, add_rows, wait_for

GENERIC, NOT_FOUND = 'GenericError', 'CommandNotFound'
MANY = 5000

ROWS = [
    # name, text, class, description
    ('unbalanced', '{"execute":"query-status"]', GENERIC, 'JSON parse error'),
    ('bare_word', 'nonsense\n', GENERIC, 'JSON parse error'),
    ('bare_words', 'query-status \n', GENERIC, 'JSON parse error'),
    ('keyword', '{nope}', GENERIC, 'JSON parse error'),
    ('closing', '}', GENERIC, 'JSON parse error'),
    ('number', '17\n', GENERIC, 'must be a JSON object'),
    ('string', '"quit"', GENERIC, 'must be a JSON object'),
    ('array', '[{"execute":"quit"}]', GENERIC, 'must be a JSON object'),
    ('duplicate_key', '{"execute":"query-status","execute":"quit"}', GENERIC, 'duplicate'),
    ('single_quotes', "{'execute':'quit'}", GENERIC, 'JSON parse error'),
    ('huge_number', '{"execute":"query-status","id":' + '9' * 400 + '}', GENERIC, 'too big'),
    ('nul', b'{"execute":"quit\x00', GENERIC, 'control character'),
    ('nul_escaped', '{"execute":"quit\\u0000"}', GENERIC, 'JSON parse error'),
    ('newline_in_string', '{"execute":"quit\n', GENERIC, 'control character'),
    ('not_utf8', b'{"execute":"\xc3\x28"}', GENERIC, 'JSON parse error'),
    ('surrogate', '{"execute":"\\ud800"}', GENERIC, 'JSON parse error'),
    ('reset_byte', b'{"execute":\xff', GENERIC, 'stray byte 0xff'),
    ('deep', '[' * MANY + ']' * MANY, GENERIC, 'nesting depth'),
    ('deep_objects', '{"a":' * MANY + '1' + '}' * MANY, GENERIC, 'nesting depth'),
    ('deep_argument', '{"execute":"blockdev-add","arguments":{"driver":"raw","node-name":"n",'
                      '"file":' + '{"file":' * 200 + '1' + '}' * 202, GENERIC, 'nested deeper'),
    ('huge', '{"execute":"' + 'x' * (2 << 20) + '"}', GENERIC, 'size limit'),
    ('huge_list', '[' + '1,' * (1 << 20) + '1]', GENERIC, 'size limit'),
    ('no_execute', '{}', GENERIC, "lacks member 'execute'"),
    ('execute_type', '{"execute":1}', GENERIC, "'execute' must be a string"),
    ('arguments_type', '{"execute":"query-status","arguments":[]}', GENERIC,
     "'arguments' must be an object"),
    ('unknown_member', '{"execute":"query-status","x":1}', GENERIC, "'x' is unexpected"),
    ('exec_oob', '{"exec-oob":"query-status"}', GENERIC, "'exec-oob' is unexpected"),
    ('unknown_command', '{"execute":"query-nonsense"}', NOT_FOUND, 'query-nonsense has not been'),
    ('empty_command', '{"execute":""}', NOT_FOUND, 'has not been found'),
    ('command_with_format', '{"execute":"%s%n"}', NOT_FOUND, '%s%n has not been'),
    ('capabilities_again', '{"execute":"qmp_capabilities"}', NOT_FOUND, 'already complete'),
    ('missing_argument', '{"execute":"qom-list"}', GENERIC, "'path' is missing"),
    ('unknown_argument', '{"execute":"query-status","arguments":{"a":1}}', GENERIC,
     "'a' is unexpected"),
    ('argument_type', '{"execute":"qom-list","arguments":{"path":5}}', GENERIC,
     "type for 'path', expected: string"),
    ('argument_null', '{"execute":"qom-list","arguments":{"path":null}}', GENERIC,
     "type for 'path', expected: string"),
    ('argument_fraction', '{"execute":"remove-fd","arguments":{"fdset-id":1.0}}', GENERIC,
     "type for 'fdset-id', expected: int"),
    ('argument_bool', '{"execute":"eject","arguments":{"id":"x","force":"yes"}}', GENERIC,
     "type for 'force', expected: boolean"),
    ('argument_enum', '{"execute":"blockdev-change-medium","arguments":{"id":"x","filename":"y",'
                      '"read-only-mode":"maybe"}}', GENERIC, "does not accept value 'maybe'"),
    ('negative_set', '{"execute":"remove-fd","arguments":{"fdset-id":-1}}', GENERIC, 'not found'),
    ('negative_size', '{"execute":"block_resize","arguments":{"device":"d","size":-1}}', GENERIC,
     '>0 size'),
    ('resize_nothing', '{"execute":"block_resize","arguments":{"size":1}}', GENERIC,
     'exactly one'),
    ('device_array', '{"execute":"device_add","arguments":{"driver":"scsi-hd","drive":[1]}}',
     GENERIC, "'drive' can't be an array"),
    ('device_driver', '{"execute":"device_add","arguments":{"driver":"nonsense"}}', GENERIC,
     "'nonsense' is not a valid device model"),
    ('device_no_driver', '{"execute":"device_add","arguments":{"id":"x"}}', GENERIC,
     "'driver' is missing"),
    ('device_bus', '{"execute":"device_add","arguments":{"driver":"scsi-hd","bus":"b"}}', GENERIC,
     "Bus 'b' not found"),
    ('object_type', '{"execute":"object-add","arguments":{"qom-type":"nonsense","id":"o"}}',
     GENERIC, "'nonsense' is not an object type"),
    ('object_id', '{"execute":"object-add","arguments":{"qom-type":"x-remote-object","id":"0"}}',
     GENERIC, "'id' expects"),
    ('object_del', '{"execute":"object-del","arguments":{"id":"o"}}', GENERIC, "'o' not found"),
    ('node_name', '{"execute":"blockdev-add","arguments":{"driver":"null","node-name":"#x"}}',
     GENERIC, '.'),
    ('qom_path', '{"execute":"qom-get","arguments":{"path":"/nowhere","property":"type"}}',
     'DeviceNotFound', "'/nowhere' not found"),
    ('qom_property', '{"execute":"qom-get","arguments":{"path":"/machine","property":"x"}}',
     GENERIC, "'x-remote.x' not found"),
]


class Sent(QmpCase):
    """After each of them the monitor is as good as new."""

    def check(self, text, kind, pattern):
        process, qmp = self.start_qmp()
        qmp.send(text)
        error = qmp.answer()['error']
        self.assertEqual(error['class'], kind)
        self.assertRegex(error['desc'], pattern)
        qmp.send('\n')
        self.assertTrue(qmp('query-status')['running'])


add_rows(Sent, ROWS)


class Streams(QmpCase):
    def test_byte_by_byte(self):
        _, qmp = self.start_qmp()
        for byte in b'{"execute": "query-name", "id": "\\u00e9 \\" { ["}':
            qmp.send(bytes([byte]))
        self.assertEqual(qmp.answer(), {'return': {}, 'id': 'é " { ['})

    def test_back_to_back(self):
        """Without anything in between, more than the process reads at a time."""
        _, qmp = self.start_qmp()
        qmp.send(''.join('{"execute":"query-name","id":%d}' % n for n in range(2000)))
        self.assertEqual([qmp.answer()['id'] for _ in range(2000)], list(range(2000)))

    def test_resynchronises(self):
        _, qmp = self.start_qmp()
        qmp.send('{"execute":"query-name","id":1}{oops}{"execute":"query-name","id":2} huh '
                 '{"execute":"query-name","id":3}{"execute":"x\n{"execute":"query-name","id":4}')
        seen = [qmp.answer() for _ in range(7)]
        self.assertEqual([answer.get('id') for answer in seen if 'return' in answer],
                         [1, 2, 3, 4])
        self.assertEqual(sum('error' in answer for answer in seen), 3)

    def test_ids(self):
        _, qmp = self.start_qmp()
        for value in (None, 0, 'x', [1, {'a': []}], {'b': None}, True, 1.5):
            answer = qmp.raw(json.dumps({'execute': 'query-name', 'id': value}))
            self.assertEqual(answer, {'return': {}, 'id': value})
            answer = qmp.raw(json.dumps({'execute': 'nonsense', 'id': value}))
            self.assertEqual(answer['id'], value)

    def test_negotiation(self):
        process = self.start('-qmp', f'unix:{self.folder}/q,server=on,wait=off')
        qmp = self.connect_qmp(self.folder / 'q', negotiate=False)
        self.assertEqual(qmp.greeting['QMP']['capabilities'], [])
        self.assertEqual(qmp.greeting['QMP']['version']['package'], PROGRAM)
        for command in ('query-status', 'quit', 'nonsense'):
            error = qmp.raw(json.dumps({'execute': command}))['error']
            self.assertEqual(error['class'], NOT_FOUND)
            self.assertIn('capabilities negotiation', error['desc'])
        self.assert_error(GENERIC, "'oob' not available", qmp, 'qmp_capabilities', enable=['oob'])
        self.assert_error(GENERIC, "does not accept value 'x'", qmp, 'qmp_capabilities',
                          enable=['x'])
        qmp('qmp_capabilities', enable=[])
        qmp('quit')
        self.ends(process)

    def test_who_does_not_read_is_cut_off(self):
        """Events come together until there are too many; another session is not held up."""
        process, deaf, other = self.start_qmp(sessions=2)
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for _ in range(20000):
            other('stop')
            other('cont')
            other.events.clear()
            if self.hung_up(deaf.sock):
                break
        self.assertTrue(deaf.at_end())
        other('quit')
        self.assertIn('does not read', self.ends(process))

    @staticmethod
    def hung_up(sock):
        poll = select.poll()
        poll.register(sock, select.POLLRDHUP)
        return bool(poll.poll(0))

    def test_who_does_not_read_answers_waits(self):
        """Commands of a client that doesn't read wait in its own socket."""
        _, deaf, other = self.start_qmp(sessions=2)
        deaf.sock.setblocking(False)
        command = b'{"execute":"query-qmp-schema"}' * 1000
        sent = 0
        try:
            while sent < 100 << 20:
                sent += deaf.sock.send(command)
        except BlockingIOError:
            pass
        self.assertLess(sent, 4 << 20)
        self.assertTrue(other('query-status')['running'])
        deaf.sock.settimeout(30)
        self.assertIn('return', deaf.answer())

    def test_leaves_in_mid_command(self):
        process, one, other = self.start_qmp(sessions=2)
        for text in ('{"execute":"query-st', '{"execute":"stop"}', '[[[', ''):
            one.send(text)
            one.close()
            one = self.connect_qmp(self.folder / 'qmp0')
        self.assertIn(other('query-status')['status'], ('running', 'paused'))
        one('quit')
        self.ends(process)

    def test_second_client_waits(self):
        _, one = self.start_qmp()
        second = socket.socket(socket.AF_UNIX)
        self.addCleanup(second.close)
        second.connect(str(self.folder / 'qmp0'))
        second.setblocking(False)
        self.assertTrue(one('query-status')['running'])
        with self.assertRaises(BlockingIOError):
            second.recv(1)
        one.close()
        second.setblocking(True)
        self.assertEqual(Qmp(second)('query-status')['status'], 'running')

    def test_too_many_descriptors(self):
        process, qmp = self.start_qmp()

        def count():
            return len(os.listdir(f'/proc/{process.pid}/fd'))
        before = count()
        with open(self.disk(), 'rb') as image:
            for _ in range(10):
                qmp('query-name', fds=[image.fileno()] * 200)
                self.assertLess(count(), before + 50)
        qmp.close()
        again = self.connect_qmp(self.folder / 'qmp0')
        again('query-name')
        wait_for(lambda: count() <= before, 'closed descriptors')


if __name__ == '__main__':
    unittest.main()

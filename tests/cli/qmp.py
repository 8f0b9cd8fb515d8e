# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the monitor, and a process that has one."""

import array
import json
import socket

from remote import DEADLINE, RemoteCase, wait_for

LSI = ['-device', 'lsi53c895a,id=lsi0']


class QmpError(Exception):
    """An answer that is an error."""

    def __init__(self, error):
        super().__init__(f"{error['class']}: {error['desc']}")
        self.kind, self.desc = error['class'], error['desc']


class Qmp:
    """One session."""

    def __init__(self, sock, negotiate=True):
        self.sock = sock
        self.sock.settimeout(DEADLINE)
        self.buffer = b''
        self.events = []
        self.greeting = self.receive()
        if negotiate:
            self('qmp_capabilities')

    def close(self):
        self.sock.close()

    def send(self, data, fds=()):
        data = data if isinstance(data, bytes) else data.encode()
        if fds:
            self.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                        array.array('i', fds))])
        else:
            self.sock.sendall(data)

    def receive(self):
        """The next message, event or not."""
        decoder = json.JSONDecoder()
        while True:
            text = self.buffer.decode(errors='replace').lstrip()
            try:
                message, end = decoder.raw_decode(text)
                self.buffer = text[end:].encode()
                return message
            except ValueError:
                data = self.sock.recv(65536)
                if not data:
                    raise EOFError(f'the monitor has hung up after {self.buffer!r}') from None
                self.buffer += data

    def answer(self):
        """The next message that is no event."""
        while True:
            message = self.receive()
            if 'event' not in message:
                return message
            self.events.append(message)

    def raw(self, text):
        """Sends text; the whole answer."""
        self.send(text)
        return self.answer()

    def __call__(self, command, fds=(), **arguments):
        arguments = {name.replace('_', '-') if name not in ('tray_open',) else name: value
                     for name, value in arguments.items()}
        request = {'execute': command}
        if arguments:
            request['arguments'] = arguments
        self.send(json.dumps(request), fds)
        message = self.answer()
        if 'error' in message:
            raise QmpError(message['error'])
        return message['return']

    def human(self, line):
        return self('human-monitor-command', command_line=line)

    def wait_event(self, name):
        """Its data; those before it are dropped."""
        while True:
            event = self.events.pop(0) if self.events else self.receive()
            if event.get('event') == name:
                return event.get('data')

    def at_end(self):
        """True once the other side has hung up; what it still had to say is dropped."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


class QmpCase(RemoteCase):
    def start_qmp(self, *argv, fds=(), sessions=1, **keywords):
        """(process, session...)"""
        paths = [self.folder / f'qmp{n}' for n in range(sessions)]
        options = [word for path in paths
                   for word in ('-qmp', f'unix:{path},server=on,wait=off')]
        process = self.start(*argv, *options, fds=fds, **keywords)
        return process, *[self.connect_qmp(path) for path in paths]

    def connect_qmp(self, path, negotiate=True):
        def attempt():
            sock = socket.socket(socket.AF_UNIX)
            if sock.connect_ex(str(path)):
                sock.close()
                return None
            return sock
        qmp = Qmp(wait_for(attempt, f'somebody who listens on {path}'), negotiate)
        self.addCleanup(qmp.close)
        return qmp

    def assert_error(self, kind, pattern, function, *args, **keywords):
        with self.assertRaises(QmpError) as caught:
            function(*args, **keywords)
        self.assertEqual(caught.exception.kind, kind)
        self.assertRegex(caught.exception.desc, pattern)

    def pass_file(self, qmp, path, fdset=None, mode='r+b'):
        """The name that an image file has for a process with its sandbox on."""
        with open(path, mode) as image:
            more = {} if fdset is None else {'fdset-id': fdset}
            return f"/dev/fdset/{qmp('add-fd', fds=[image.fileno()], **more)['fdset-id']}"

    def served(self, fd_number, name='o0', device='lsi0'):
        return ['-object', f'x-remote-object,id={name},devid={device},fd={fd_number}']

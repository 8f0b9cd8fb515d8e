# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with a driver for the 53C895A, no more of one than tests of I/O in flight need.

One SCSI command at a time: a SCRIPT in guest memory selects the target, sends the CDB, moves the
data, takes status and message, and interrupts. A phase that the script doesn't expect, since the
unit fails the command early, goes on at its status part.
"""

import array
import mmap
import os
import socket
import struct
import time

from remote import DEADLINE, Proxy

SYNC_SYSMEM, BAR_WRITE, BAR_READ, DEVICE_RESET = 0, 4, 5, 7
MEMORY = 1 << 20
SCRIPT, MESSAGE, CDB, STATUS, DATA = 0x0, 0x200, 0x210, 0x230, 0x1000
IO_BASE = 0xc000
DSTAT, ISTAT, DSP, SIST0, SIST1 = 0x0c, 0x14, 0x2c, 0x42, 0x43
DIP, SIP = 1, 2
PHASE_MISMATCH, SELECTION_TIMEOUT = 0x80, 0x04
UNIT_ATTENTION = 6
DONE = 0x98080000


class Lsi(Proxy):
    """The other end of an x-remote-object."""

    def __init__(self, sock):
        super().__init__(sock)
        memory = os.memfd_create('ram')
        os.ftruncate(memory, MEMORY)
        self.memory = mmap.mmap(memory, MEMORY)
        self.map(memory)
        os.close(memory)
        self.write(0x10, IO_BASE | 1)
        self.write(0x04, 0x07, 2)

    def map(self, fd):
        payload = struct.pack('<8Q8Q8q', 0, *[0] * 7, MEMORY, *[0] * 7, *[0] * 8)
        self.sock.sendmsg([struct.pack('<iIQ', SYNC_SYSMEM, 0, len(payload)) + payload],
                          [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))])

    def bar(self, command, register, value, size):
        self.sock.sendall(struct.pack('<iIQQQI?3x', command, 0, 24, IO_BASE + register, value,
                                      size, False))
        return self.reply()

    def get(self, register, size=1):
        return self.bar(BAR_READ, register, 0, size)

    def put(self, register, value, size=1):
        self.bar(BAR_WRITE, register, value, size)

    def start(self, target, lun, cdb, length, out=False):
        """Begins a command; length bytes of data move at DATA."""
        move = 0x08000000 if out else 0x09000000
        words = [0x41000000 | target << 16, SCRIPT + 0x70,
                 0x0e000001, MESSAGE,
                 0x0a000000 | len(cdb), CDB]
        if length:
            words += [move | length, DATA]
        self.status_part = SCRIPT + 4 * len(words)
        words += [0x0b000001, STATUS,
                  0x0f000001, STATUS + 1,
                  0x60000040, 0,
                  0x48000000, 0,
                  DONE, 0x600d]
        struct.pack_into(f'<{len(words)}I', self.memory, SCRIPT, *words)
        self.memory[MESSAGE] = 0x80 | lun
        self.memory[CDB:CDB + len(cdb)] = cdb
        self.memory[STATUS] = 0xff
        self.put(DSP, SCRIPT, 4)

    def finish(self, give_up=lambda: False):
        """Waits for the command's end; its status, or None if nobody answered the selection."""
        deadline = time.monotonic() + DEADLINE
        while not give_up():
            istat = self.get(ISTAT)
            if istat & SIP:
                sist0, sist1 = self.get(SIST0), self.get(SIST1)
                self.get(DSTAT)
                if sist1 & SELECTION_TIMEOUT:
                    return None
                if sist0 & PHASE_MISMATCH:
                    self.put(DSP, self.status_part, 4)
            elif istat & DIP:
                self.get(DSTAT)
                return self.memory[STATUS]
            assert time.monotonic() < deadline, 'the command does not end'
        return None

    def command(self, target, lun, cdb, length=0, out=False):
        self.start(target, lun, cdb, length, out)
        return self.finish()

    def sense(self, target, lun):
        """(key, asc, ascq)"""
        self.command(target, lun, bytes([3, lun << 5, 0, 0, 18, 0]), 18)
        data = self.memory[DATA:DATA + 18]
        return data[2] & 15, data[12], data[13]

    def until_ready(self, target, lun=0):
        """Takes the unit attentions that there are, and returns them."""
        seen = []
        while self.command(target, lun, bytes(6)) == 2:
            sense = self.sense(target, lun)
            if sense[0] != UNIT_ATTENTION:
                break
            seen.append(sense)
        return seen

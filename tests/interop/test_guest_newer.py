# SPDX-License-Identifier: GPL-2.0-or-later
"""The bare-metal guest of tests/guest in a newer QEMU: both of its clients, with real interrupts.

Under KVM vfio-user's end of interrupt is an eventfd that comes beside the socket; and the
x-pci-proxy-dev of that age runs under nothing else. Linux needs more of KVM than this guest does.
"""

import unittest

import test_guest
from interop import REMOTE
import vfio_user


class GuestOnNewerBoard(test_guest.GuestCase):
    def board_args(self, accel):
        return [*self.common_args(vfio_user.newer_qemu(), accel, self.guest), '-no-user-config',
                '-no-reboot', '-machine', 'pc,memory-backend=mem',
                '-object', 'memory-backend-memfd,id=mem,size=32M,share=on',
                '-device', 'isa-debug-exit,iobase=0x501,iosize=2']

    def run_vfio_user(self, accel):
        server = vfio_user.Server(self.folder, [self.image], auto_shutdown='on')
        self.addCleanup(server.kill)
        server.wait_listening(self.deadline)
        machine = self.start([*self.board_args(accel), *server.client_args(0)])
        ended = self.finish(machine, 'the machine')
        self.assertEqual(server.process.wait(self.deadline), 0)
        return ended

    def test_proxy_kvm(self):
        self.need(REMOTE)
        self.check(self.run_remote(self.board_args('kvm')), test_guest.INTERRUPTS)

    def test_vfio_user_kvm(self):
        self.need(REMOTE)
        self.check(self.run_vfio_user('kvm'), test_guest.INTERRUPTS)

    def test_vfio_user_tcg(self):
        self.need(REMOTE, kvm=False)
        # Under TCG this client takes each access to the device for an end of interrupt, so the
        # level that the handler is about to take away is signalled once more, and may or may not
        # be gone again before the CPU sees it.
        self.check(self.run_vfio_user('tcg'), test_guest.INTERRUPTS,
                   others='idle [0-9]+ spurious [0-9]+')


if __name__ == '__main__':
    unittest.main()

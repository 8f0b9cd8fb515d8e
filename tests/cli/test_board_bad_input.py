# SPDX-License-Identifier: GPL-2.0-or-later
"""Command lines of a board that can't be satisfied: one line, status 1, nothing touched."""

import unittest

from board import BOARD, PROGRAM
from remote import add_rows
from test_bad_input import BadInput

QTEST = ('-accel', 'qtest')
BACKEND = ('-object', 'memory-backend-memfd,id=ram,size=64M')
X = 'x' * 103

# As in test_bad_input.py; {used} is the path of a listening socket.
ROWS = [
    ('machine_unknown', ['-machine', 'q35'], "unsupported machine type 'q35'.*"),
    ('machine_property', ['-machine', 'pc,foo=1'], "Property 'pc-machine.foo' not found"),
    ('machine_accel_unknown', ['-machine', 'pc,accel=tcg'], "invalid accelerator 'tcg' .*"),
    ('machine_accel_empty', ['-machine', 'pc,accel='], ".*'accel' is empty"),
    ('machine_accel_empty_word', ['-machine', 'pc,accel=qtest:'], "invalid accelerator '' .*"),
    ('machine_accel_and_accel', [*QTEST, '-machine', 'pc,accel=qtest'], '.*exclude each other'),
    ('machine_backend_missing', ['-machine', 'pc,memory-backend=ram'],
     "Memory backend 'ram' not found"),
    ('machine_chardev', ['-machine', 'pc,chardev=c'], "Property 'pc-machine.chardev' not found"),
    ('machine_without_a_board', ['-M', 'x-remote', '-kernel', 'k'], '.*x-remote.*'),
    ('machine_without_a_board_memory', ['-M', 'x-remote', '-m', '1G'], '.*x-remote.*'),
    ('nothing_to_serve', ['-M', 'x-remote'], 'nothing to serve: .*', ''),

    ('accel_unknown', ['-accel', 'tcg'], "invalid accelerator 'tcg' .*"),
    ('accel_unknown_among_others', [*QTEST, '-accel', 'hvf'], "invalid accelerator 'hvf' .*"),
    ('accel_missing', ['-accel', 'kernel-irqchip=on'], "Parameter 'accel' is missing"),
    ('accel_parameter', ['-accel', 'qtest,foo=1'], "Invalid parameter 'foo'"),
    ('accel_irqchip', ['-accel', 'kvm,kernel-irqchip=off'], ".*'kernel-irqchip'.*"),
    ('accel_irqchip_split', ['-accel', 'kvm,kernel-irqchip=split'], ".*'split'.*"),

    ('memory_size', ['-m', 'lots'], ".*'size'.*'lots.*"),
    ('memory_negative', [*QTEST, '-m', 'size=-1'], ".*'size'.*"),
    ('memory_zero', [*QTEST, '-m', '0'], 'memory size .*'),
    ('memory_too_much', [*QTEST, '-m', '3073'], 'memory size .*3 GiB.*'),
    ('memory_page', [*QTEST, '-m', '4097B'], '.*'),
    ('memory_huge', [*QTEST, '-m', '99999999999999999999'], ".*'size'.*"),
    ('memory_slots', [*QTEST, '-m', '1G,slots=2'], "Invalid parameter 'slots'"),
    ('memory_not_of_the_backend', [*BACKEND, *QTEST, '-M', 'pc,memory-backend=ram', '-m', '65'],
     "memory backend 'ram' has 67108864 bytes"),
    ('backend_without_size', ['-object', 'memory-backend-memfd,id=ram'], ".*'size'.*"),
    ('backend_private', [*BACKEND[:1], BACKEND[1] + ',share=off'], ".*'share'.*"),
    ('backend_unsealed', [*BACKEND[:1], BACKEND[1] + ',seal=off'], ".*'seal'.*"),
    ('backend_property', [*BACKEND[:1], BACKEND[1] + ',foo=1'], ".*foo' not found"),

    ('qtest_nobody_listens', ['-qtest', 'unix:{dir}/nope'], '.*{dir}/nope.*'),
    ('qtest_no_socket', ['-qtest', 'unix:{disk}'], ".*Can't connect.*"),
    ('qtest_datagram', ['-qtest', 'unix:{dir}/gram'], ".*Can't connect.*"),
    ('qtest_path_empty', ['-qtest', 'unix:'], '.*'),
    ('qtest_path_too_long', ['-qtest', 'unix:/tmp/' + X], '.*107.*has 108'),
    ('qtest_parameter', ['-qtest', 'unix:{dir}/s,foo=1'], "Invalid parameter 'foo'"),
    ('qtest_wait_of_a_client', ['-qtest', 'unix:{dir}/s,wait=off'], ".*'wait'.*"),
    ('qtest_server_no_bool', ['-qtest', 'unix:{dir}/s,server=maybe'], ".*'server'.*'maybe'.*"),
    ('qtest_server_in_use', ['-qtest', 'unix:{dir}/used,server=on'], '.*in use'),
    ('qtest_server_no_folder', ['-qtest', 'unix:{dir}/no/s,server=on'], '.*{dir}/no/s.*'),
    ('qtest_backend', ['-qtest', 'tcp:localhost:1'], 'expected unix:PATH.*'),
    ('qtest_empty', ['-qtest', ''], 'expected unix:PATH.*'),
    ('qtest_chardev_missing', ['-qtest', 'chardev:c'], "Chardev 'c' not found"),
    ('qtest_fd_not_open', ['-qtest', 'fd:999'], '.*999.*not open'),
    ('qtest_fd_listening', ['-qtest', 'fd:{listening}'], '.*not a connected.*'),
    ('qtest_fd_pipe', ['-qtest', 'fd:{pipe}'], '.*not a socket'),
    ('qtest_of_kvm', ['-accel', 'kvm', '-qtest', 'fd:{fd}'], 'needs -accel qtest, not kvm'),
    ('qtest_log_file', [*QTEST, '-qtest-log', '{dir}/qlog'], '.*standard error.*'),
    ('chardev_path_and_fd', ['-chardev', 'socket,id=c,path={dir}/s,fd={fd}'], '.*exclude.*'),
    ('chardev_neither', ['-chardev', 'socket,id=c'], "Parameter 'fd' or 'path' is missing"),
    ('chardev_wait', ['-chardev', 'socket,id=c,path={dir}/s,wait=on'], ".*'wait'.*"),
    ('chardev_of_the_machine', ['-chardev', 'socket,id=c,path={dir}/s', '-device', 'lsi53c895a',
                                '-M', 'x-remote,chardev=c'], '.*not a connected socket'),

    ('serial_unknown', [*QTEST, '-serial', 'pty'], 'expected stdio.*'),
    ('serial_twice', [*QTEST, '-serial', 'none', '-serial', 'none'], '.*one such port only'),
    ('serial_file_no_folder', [*QTEST, '-serial', 'file:{dir}/no/f'], '.*{dir}/no/f.*'),
    ('serial_nobody_listens', [*QTEST, '-serial', 'unix:{dir}/nope'], '.*{dir}/nope.*'),
    ('serial_server', [*QTEST, '-serial', 'unix:{dir}/s,server=on'], '.*server=on'),
    ('serial_chardev', [*QTEST, '-serial', 'chardev:c'], "Chardev 'c' not found"),
    ('debugcon_twice', [*QTEST, '-debugcon', 'none', '-debugcon', 'none'], '.*one such port only'),
    ('debugcon_unknown', [*QTEST, '-debugcon', 'x'], 'expected stdio.*'),
    ('debugcon_is_a_folder', [*QTEST, '-debugcon', 'file:{dir}'], '.*{dir}.*'),

    ('append_alone', [*QTEST, '-append', 'x'], 'only allowed with -kernel'),
    ('net', ['-net', 'user'], "only 'none' is possible: .*"),
    ('nic', ['-nic', 'user'], "only 'none' is possible: .*"),
    ('display', ['-display', 'gtk'], "only 'none' is possible: .*"),
    ('missing_argument', ['-kernel'], 'requires an argument'),

    ('device_addr_taken', [*QTEST, '-device', 'lsi53c895a,addr=1'], 'PCI address 01.0 .*', ''),
    ('device_addr_malformed', [*QTEST, '-device', 'lsi53c895a,addr=x'], ".*'addr'.*", ''),
    ('device_addr_slot', [*QTEST, '-device', 'lsi53c895a,addr=20'], ".*'addr'.*", ''),
    ('device_addr_function', [*QTEST, '-device', 'lsi53c895a,addr=2.8'], ".*'addr'.*", ''),
    ('device_addr_no_function', [*QTEST, '-device', 'lsi53c895a,addr=2.'], ".*'addr'.*", ''),
]


class BoardBadInput(BadInput):
    binary = BOARD
    program = PROGRAM


# The rows of the base class are the remote program's.
for name in [name for name in dir(BadInput) if name.startswith('test_')]:
    setattr(BoardBadInput, name, None)
add_rows(BoardBadInput, [(f'board_{name}', *row) for name, *row in ROWS])
del BadInput

if __name__ == '__main__':
    unittest.main()

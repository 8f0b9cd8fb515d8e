# SPDX-License-Identifier: GPL-2.0-or-later
"""What the program says about itself."""

import os
import re
import subprocess
import unittest

from remote import PROGRAM, REMOTE, RemoteCase, add_rows

# Arguments, and a pattern that the output has.
ROWS = [
    ('version', ['-version'],
     rf'^{PROGRAM} version \d+\.\d+\S* \(x86_64-remote-softmmu, \w+\)\n\Z'),
    ('version_two_dashes', ['--version'], rf'^{PROGRAM} version '),
    ('usage', ['-help'], rf'(?m)^usage: {PROGRAM} \[options\]$'),
    ('usage_short', ['-h'], r'(?m)^-h or -help     \S'),
    ('machine', ['-machine', 'help'], r'(?m)^x-remote +.*\(default\)$'),
    ('machine_alias', ['-M', 'help'], r'(?m)^remote +.*\(alias of x-remote\)$'),
    ('machine_properties', ['-machine', 'x-remote,help'], r'(?m)^  chardev=<str> +- '),
    ('machine_polling', ['-machine', 'x-remote,help'],
     r'(?m)^  poll-max-ns=<int32> +- .*\(default: 131072\)\n'
     r'  poll-grow=<int32> +- .*\(default: 0\)\n  poll-shrink=<int32> +- .*\(default: 2\)$'),
    ('device_adapter', ['-device', 'help'], r'(?m)^name "lsi53c895a", bus PCI, alias "lsi"'),
    ('device_disk', ['-device', 'help'], r'(?m)^name "scsi-hd", bus SCSI'),
    ('device_question_mark', ['-device', '?'], r'(?m)^name "lsi53c895a"'),
    ('device_properties', ['-device', 'scsi-hd,help'], r'(?m)^  drive=<str> +- '),
    ('device_default', ['-device', 'scsi-hd,help'], r'(?m)^  scsi-id=<\w+> +- .*\(default: -1\)$'),
    ('device_properties_by_alias', ['-device', 'lsi,help'], r'\Alsi53c895a options:\n'),
    ('device_properties_json', ['-device', '{"driver":"lsi53c895a","help":true}'],
     r'\Alsi53c895a options:\n'),
    ('object', ['-object', 'help'], r'(?m)^  x-remote-object$'),
    ('object_properties', ['-object', 'x-remote-object,help'], r'(?m)^  devid=<str> +- '),
    ('object_polling', ['-object', 'x-remote-object,help'],
     r'(?m)^  poll-max-ns=<int32> +- .*; -1: as -machine says \(default: -1\)$'),
    ('chardev', ['-chardev', 'help'], r'(?m)^  socket$'),
    ('trace_groups', ['-d', 'help'], r'(?m)^lsi$'),
    ('trace_patterns', ['-trace', 'help'], r'(?m)^lsi$'),
    ('before_anything_is_opened', ['-drive', 'if=none,id=d,file=/nope', '-object', 'help'],
     'x-remote-object'),
]


class Help(RemoteCase):
    def check(self, argv, pattern):
        result = self.run_remote(*argv)
        self.assertRegex(result.stdout, pattern)
        self.assertEqual((result.returncode, result.stderr), (0, ''))

    def test_every_option_listed_is_known(self):
        usage = self.run_remote('-help').stdout
        listed = re.findall(r'(?m)^-(\S+)(?: or -(\S+))?( \S+)?', usage)
        names = {name for *pair, _ in listed for name in pair if name}
        self.assertLessEqual({'M', 'machine', 'device', 'drive', 'blockdev', 'object', 'chardev',
                              'name', 'pidfile', 'D', 'd', 'trace', 'version', 'help', 'h',
                              'nodefaults', 'no-user-config', 'nographic', 'display', 'serial',
                              'monitor', 'vga', 'm'}, names)
        for name in names:
            with self.subTest(name):
                error = self.run_remote('-' + name).stderr
                self.assertNotIn('invalid option', error)

    def test_output_that_can_not_be_written(self):
        with open('/dev/full', 'wb') as full:
            self.assertEqual(subprocess.call([REMOTE, '-help'], stdout=full), 1)

    def test_minimal_profile(self):
        minimal = os.environ.get('QEMU_REMOTE_MINIMAL')
        if not minimal or not os.path.exists(minimal):
            self.skipTest('no program of the minimal profile')
        listed = subprocess.run([minimal, '-device', 'help'], stdout=subprocess.PIPE, text=True)
        self.assertEqual(re.findall(r'(?m)^name "([^"]+)"', listed.stdout),
                         ['lsi53c895a', 'scsi-hd'])
        refused = subprocess.run([minimal, '-device', 'lsi53c810'], stderr=subprocess.PIPE,
                                 text=True)
        self.assertIn("'lsi53c810' is not a valid device model name", refused.stderr)
        self.assertEqual(refused.returncode, 1)

    def test_unknown_type_is_an_error(self):
        result = self.run_remote('-device', 'nosuch,help')
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr.count('\n'), 1)


add_rows(Help, ROWS)

if __name__ == '__main__':
    unittest.main()

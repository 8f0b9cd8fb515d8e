# SPDX-License-Identifier: GPL-2.0-or-later
"""What built objects and programs contain: no state of their own, and only what is selected."""

import os
import re
import unittest

import tree

# The design's list: log level and descriptor, trace mask, and the thread's machine for SIGBUS.
WRITABLE = {
    ('util_log.c', 'log_to'),
    ('util_trace.c', 'trace_mask'),
    ('hw_core_guest-memory-sigbus.c', 'current'),
}
# GLib's error domains: an integer that is made once, by G_DEFINE_QUARK.
QUARK = re.compile(r'q\.\d+')


def library_objects():
    """(object, symbol, section) of each named datum in the library of all sources."""
    # objdump finds its way into thin archives, whose paths are relative to the archive's folder.
    text = tree.run('objdump', '-t', 'libcommon.a', cwd=tree.BUILD)
    member = None
    for line in text.splitlines():
        header = re.match(r'(\S+\.o):\s+file format', line)
        if header:
            member = os.path.basename(header[1]).removesuffix('.o')
            continue
        entry = re.match(r'[0-9a-f]+ (.{7}) (\S+)\t([0-9a-f]+) (?:\.hidden )?(\S+)$', line)
        if entry and 'd' not in entry[1] and int(entry[3], 16):
            yield member, entry[4], entry[2]


def program(variable):
    path = os.environ.get(variable)
    if not path or not os.path.exists(path):
        raise unittest.SkipTest(f'${variable} is not built')
    return path


def symbols(path):
    """Names of the program's own functions and data."""
    return {line.split()[-1] for line in tree.run('nm', '--defined-only', path).splitlines()}


def needed(path):
    """Libraries that the dynamic linker loads for the program itself."""
    return set(re.findall(r'\(NEEDED\).*\[(.*)\]', tree.run('readelf', '-dW', path)))


class Objects(unittest.TestCase):
    def test_only_the_listed_variables_are_writable(self):
        found = list(library_objects())
        self.assertTrue(found)
        writable = {(member, name) for member, name, section in found
                    if re.match(r'\.(data|bss|tdata|tbss)\b(?!\.rel\.ro)|\*COM\*', section)
                    and not QUARK.fullmatch(name)}
        self.assertEqual(writable, WRITABLE)


class Selection(unittest.TestCase):
    """The default profile's program beside the minimal one, from the same objects."""

    LEFT_OUT = {
        'scsi-cd': re.compile(r'scsi_?cd'),
        'lsi53c810': re.compile(r'53c?810'),
        'io_uring': re.compile(r'uring'),
    }

    @classmethod
    def setUpClass(cls):
        cls.default = program('QEMU_REMOTE')
        cls.minimal = program('QEMU_REMOTE_MINIMAL')

    def test_what_minimal_leaves_out_is_in_the_default_alone(self):
        for what, pattern in self.LEFT_OUT.items():
            with self.subTest(what):
                self.assertTrue([name for name in symbols(self.default) if pattern.search(name)])
                self.assertEqual(
                    [name for name in symbols(self.minimal) if pattern.search(name)], [])

    def test_both_have_the_adapter_the_disk_and_the_protocol(self):
        for path in (self.default, self.minimal):
            for pattern in ('^lsi_', '^scsi_', '^mpqemu_', '^block_', '^machine_'):
                with self.subTest(path + ' ' + pattern):
                    self.assertTrue([name for name in symbols(path) if re.search(pattern, name)])

    def test_minimal_is_a_part_of_the_default(self):
        # A compiler's own names (constprop, part, numbered statics) may differ by inlining.
        plain = {name for name in symbols(self.minimal) if '.' not in name}
        self.assertEqual(plain - symbols(self.default), set())

    def test_the_default_needs_at_most_8_libraries(self):
        self.assertLessEqual(len(needed(self.default)), 8)

    def test_minimal_needs_at_most_4_libraries_and_not_liburing(self):
        libraries = needed(self.minimal)
        self.assertLessEqual(len(libraries), 4)
        self.assertEqual([name for name in libraries if 'uring' in name], [])

    def test_the_programs_are_hardened(self):
        for path in (self.default, self.minimal):
            with self.subTest(path):
                self.assertIn('DYN (Position-Independent Executable',
                              tree.run('readelf', '-hW', path))
                self.assertRegex(tree.run('readelf', '-dW', path), r'FLAGS_1.*\bNOW\b')
                segments = tree.run('readelf', '-lW', path)
                self.assertIn('GNU_RELRO', segments)
                self.assertRegex(segments, r'GNU_STACK.*\bRW\b')

    def test_the_default_is_at_most_600_kib_stripped(self):
        stripped = os.path.join(tree.BUILD, 'meson-private', 'stripped')
        tree.run('strip', '-o', stripped, self.default)
        self.addCleanup(os.unlink, stripped)
        self.assertLessEqual(os.path.getsize(stripped), 600 * 1024)


if __name__ == '__main__':
    unittest.main()

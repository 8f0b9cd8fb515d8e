# SPDX-License-Identifier: GPL-2.0-or-later
"""What `make bench-remote` does besides measuring: its options, command lines and tables."""

import contextlib
import importlib.machinery
import importlib.util
import io
import socket
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import tree

FOLDER = Path(tree.ROOT) / 'tests/bench'
sys.path.insert(0, str(FOLDER))

import report  # noqa: E402 (its folder has to be on the path first)
import rows  # noqa: E402
import sides  # noqa: E402

NAMES = ['remote', 'stock', 'third']


def load_bench():
    loader = importlib.machinery.SourceFileLoader('bench_remote', str(FOLDER / 'bench-remote'))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


BENCH = load_bench()


class Options(unittest.TestCase):
    def refused(self, *argv):
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as ended:
            BENCH.parse(argv)
        self.assertEqual(ended.exception.code, 2)
        return said.getvalue()

    def test_everything_by_default(self):
        options = BENCH.parse([])
        self.assertEqual(options.only, list(rows.GROUPS))
        self.assertEqual(options.remote_binary,
                         str(Path(tree.ROOT) / 'build/qemu-system-x86_64-remote'))

    def test_some_groups(self):
        self.assertEqual(BENCH.parse(['--only', 'nbd,iops']).only, ['nbd', 'iops'])

    def test_unknown_group(self):
        self.assertIn('no such group: nosuch', self.refused('--only', 'iops,nosuch'))

    def test_not_a_number(self):
        self.assertIn('--rounds', self.refused('--rounds', 'many'))

    def test_every_group_has_a_title(self):
        for name, function in rows.GROUPS.items():
            with self.subTest(name):
                self.assertTrue(function.__doc__)


class CommandLine(unittest.TestCase):
    def words(self, side, *more):
        return ' '.join(side.arguments(['a', 'b'], [3, 4], *more))

    def test_mpqemu(self):
        line = self.words(sides.Side('remote', 'prog', link='x=1'), 'cache=none')
        self.assertTrue(line.startswith('prog -machine x-remote '))
        self.assertIn('id=drive1,format=raw,file=b,cache=none', line)
        self.assertIn('x-remote-object,id=link1,devid=lsi1,fd=4,x=1', line)

    def test_vfio_user(self):
        line = self.words(sides.Side('third', 'prog', 'vfio-user'))
        self.assertIn('-machine x-remote,vfio-user=on', line)
        self.assertIn('x-vfio-user-server,id=link0,device=lsi0,fd=3', line)

    def test_format_and_more_words(self):
        line = self.words(sides.Side('remote', 'prog', image='qcow2', more=('-sandbox', 'off')))
        self.assertIn(' -sandbox off ', line)
        self.assertIn('format=qcow2,file=a', line)


class Tables(unittest.TestCase):
    def cells(self, *row, **more):
        return report.cells([rows.Row(*row, **more)], NAMES)[1]

    def test_ratio_and_aim(self):
        self.assertEqual(self.cells('t', 'us', {'remote': 1, 'stock': 4}, aim=('<=', 0.5)),
                         ['t', '1', '4', '-', 'us', '0.25', 'at most 0.5', 'yes'])
        self.assertEqual(self.cells('t', 'us', {'remote': 1, 'stock': 4}, aim=('>=', 0.5))[-1],
                         'no')

    def test_limit(self):
        self.assertEqual(self.cells('t', 'ms', {'remote': 1.2}, digits=1, limit=1),
                         ['t', '1.2', '-', '-', 'ms', '', 'at most 1 ms', 'no'])
        self.assertEqual(self.cells('t', 'ms', {'remote': -0.2}, limit=1)[-1], 'yes')

    def test_not_measured(self):
        self.assertEqual(self.cells('not measured: why', '', {}),
                         ['not measured: why', '-', '-', '-', '', '', '', ''])

    def test_document(self):
        groups = {'g': ('Title', [rows.Row('t', 'us', {'remote': 1})])}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'doc.md'
            path.write_text('before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n',
                            encoding='utf-8')
            BENCH.document(path, ['a machine'], groups, NAMES)
            text = path.read_text(encoding='utf-8')
            self.assertRegex(text, r'\Abefore\n<!-- figures -->\na machine\n\n### Title\n\n')
            self.assertTrue(text.endswith('<!-- end of figures -->\nafter\n'))
            self.assertNotIn('old', text)
            path.write_text('no place', encoding='utf-8')
            with self.assertRaises(sides.BenchError):
                BENCH.document(path, [], groups, NAMES)

    def test_the_document_has_a_place(self):
        text = (Path(tree.ROOT) / 'docs/performance.md').read_text(encoding='utf-8')
        self.assertRegex(text, r'(?s)<!-- figures -->\n.*\n<!-- end of figures -->')


class Measuring(unittest.TestCase):
    def rows_of(self, *errors):
        def group(_):
            yield rows.Row('t', 'us', {'remote': 1})
            for error in errors:
                raise error
        with contextlib.redirect_stderr(io.StringIO()):
            return BENCH.measure_group(group, None)

    def test_figures(self):
        figures, measured = self.rows_of()
        self.assertTrue(measured)
        self.assertEqual([row.title for row in figures], ['t'])

    def test_a_group_that_fails_is_told_in_its_table(self):
        for error in (sides.BenchError('no reply\nmore'), ConnectionResetError('no reply')):
            figures, measured = self.rows_of(error)
            self.assertFalse(measured)
            self.assertEqual([row.title for row in figures], ['not measured: no reply'])

    def test_a_document_without_a_place_is_refused_before_the_run(self):
        with self.assertRaisesRegex(sides.BenchError, 'nosuch'):
            BENCH.document_parts(Path('/nosuch'))


class Asking(unittest.TestCase):
    def serve(self, answer):
        """A monitor with this answer to everything but the negotiation."""
        sock, _ = self.listener.accept()
        with sock, sock.makefile('rw', encoding='utf-8') as stream:
            for line in ['{"QMP": {}}\n', '{"return": {}}\n']:
                stream.write(line)
                stream.flush()
                stream.readline()
            while True:
                stream.write(answer)
                stream.flush()
                if not stream.readline():
                    return

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / 'q'
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)
        self.listener.bind(str(self.path))
        self.listener.listen()

    def test_counts_answers(self):
        server = threading.Thread(target=self.serve, args=('{"return": []}\n',))
        server.start()
        asker = sides.Asker(self.path, 'query-name', 1000)
        with asker:
            while asker.answers < 3:
                self.assertTrue(asker.is_alive())
        server.join()
        self.assertGreaterEqual(asker.answers, 3)


if __name__ == '__main__':
    unittest.main()

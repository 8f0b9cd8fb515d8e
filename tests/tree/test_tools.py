# SPDX-License-Identifier: GPL-2.0-or-later
"""The tools that say whether the tests passed: tests/tap.py and scripts/run-tests."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import unittest

import tree

CASES = '''
import os
import unittest

class Mixed(unittest.TestCase):
    def test_a_passes(self):
        os.system('echo ok 99 from a child')
        print('ok 98 from the case')

    def test_b_fails(self):
        self.assertEqual(1, 2)

    @unittest.skip('no # such thing')
    def test_c_skips(self):
        pass

    def test_d_subtests(self):
        for number in range(3):
            with self.subTest(number):
                self.assertEqual(number, 1)

    @unittest.expectedFailure
    def test_e_fails_as_expected(self):
        self.fail()

    @unittest.expectedFailure
    def test_f_passes_unexpectedly(self):
        pass

class SetUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise unittest.SkipTest('absent')

    def test_never(self):
        self.fail()
'''


def load_run_tests():
    loader = importlib.machinery.SourceFileLoader('run_tests', tree.path('scripts/run-tests'))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('run_tests', loader))
    loader.exec_module(module)
    return module


class Tap(unittest.TestCase):
    def run_cases(self, text, *names):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'test_made_up.py')
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
            return subprocess.run([sys.executable, tree.path('tests/tap.py'), path, *names],
                                  capture_output=True, text=True, check=False)

    def test_every_kind_of_result(self):
        run = self.run_cases(CASES)
        self.assertEqual(run.stdout.splitlines(), [
            'TAP version 13',
            'ok 1 - Mixed.test_a_passes',
            'not ok 2 - Mixed.test_b_fails',
            '# failed: 1 != 2',
            'ok 3 - Mixed.test_c_skips # SKIP no # such thing',
            'not ok 4 - Mixed.test_d_subtests',
            '# failed: 0 != 1',
            'ok 5 - Mixed.test_e_fails_as_expected # TODO expected failure',
            'not ok 6 - Mixed.test_f_passes_unexpectedly',
            'ok 7 - setUpClass (test_made_up.SetUp) # SKIP absent',
            '1..7',
        ])
        self.assertEqual(run.returncode, 1)
        self.assertIn('AssertionError: 1 != 2', run.stderr)
        self.assertIn('ok 99 from a child', run.stderr)

    def test_comments_of_the_module(self):
        run = self.run_cases(CASES + "\n\nCOMMENTS = ['| a |']\n", 'Mixed.test_a_passes')
        self.assertEqual(run.stdout.splitlines()[-2:], ['# | a |', '1..1'])

    def test_one_by_name(self):
        run = self.run_cases(CASES, 'Mixed.test_a_passes')
        self.assertEqual(run.stdout.splitlines()[1:], ['ok 1 - Mixed.test_a_passes', '1..1'])
        self.assertEqual(run.returncode, 0)

    def test_a_file_that_does_not_load(self):
        run = self.run_cases('import nothing_of_that_name\n')
        self.assertNotEqual(run.returncode, 0)
        self.assertEqual(run.stdout, '')


class Summary(unittest.TestCase):
    def setUp(self):
        self.summary = load_run_tests().Summary()

    def add(self, *lines, result='OK'):
        self.summary.add_program({'name': 'project:suite / program', 'result': result,
                                  'stdout': '\n'.join(lines)})

    def counts(self):
        return self.summary.passed, len(self.summary.failed), len(self.summary.skipped)

    def test_cases_are_counted_not_programs(self):
        self.add('TAP version 13', '1..4', 'ok 1 /a/b', '# a comment', 'ok 2 /a/c # SKIP no ring',
                 'not ok 3 - /a/d', 'not ok 4 /a/e # TODO later', 'okay', result='FAIL')
        self.assertEqual(self.counts(), (2, 1, 1))
        self.assertEqual(self.summary.skipped, [('suite/program: /a/c', 'no ring')])
        self.assertEqual(self.summary.failed, [('suite/program: /a/d', 'not ok')])

    def test_a_failed_case_has_its_reason(self):
        self.add('not ok 1 - a', '# failed: 1 != 2', 'not ok 2 - b', '1..2', result='FAIL')
        self.assertEqual(self.summary.failed, [('suite/program: a', '1 != 2'),
                                               ('suite/program: b', 'not ok')])

    def test_a_crash_counts_as_a_failure(self):
        self.summary.add_program({'name': 'project:suite / program', 'result': 'ERROR',
                                  'stdout': 'ok 1 /a', 'stderr': 'first\nthe last word\n'})
        self.assertEqual(self.summary.failed, [('suite/program', 'error: the last word')])
        self.summary.failed.clear()
        self.add('1..3', 'ok 1 /a', result='FAIL')
        self.assertEqual(self.counts(), (2, 1, 0))
        self.add('', result='TIMEOUT')
        self.assertEqual(self.summary.failed[1], ('suite/program', 'timeout'))

    def test_a_failed_case_is_not_counted_twice(self):
        self.add('not ok 1 /a', '1..1', result='ERROR')
        self.assertEqual(self.counts(), (0, 1, 0))

    def test_a_program_that_skips_itself(self):
        self.add('1..0 # SKIP no kernel', result='SKIP')
        self.assertEqual(self.summary.skipped, [('suite/program', 'no kernel')])

    def test_tables_are_shown(self):
        self.add('# Start of tests', '# | a | b |', 'ok 1 /a', '1..1')
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.summary.show()
        self.assertEqual(out.getvalue().splitlines(), ['| a | b |',
                                                       '1 passed, 0 failed, 0 skipped'])

    def test_the_last_line(self):
        self.add('1..2', 'ok 1 /a', 'ok 2 /b # SKIP why')
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.summary.show()
        self.assertEqual(out.getvalue().splitlines(),
                         ['skipped: suite/program: /b: why', '1 passed, 0 failed, 1 skipped'])


if __name__ == '__main__':
    unittest.main()

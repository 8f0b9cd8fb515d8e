#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the unittest cases of one file and print TAP.

    tap.py FILE [TestCase[.test_method]]...

Standard output carries TAP alone: what the cases and their child processes print goes to standard
error, and so do the details of a failure, since that is what meson shows of a test that failed;
what an exception says comes as a comment, too, for the summary of scripts/run-tests. The plan comes
last, since a class that skips itself counts as one. Lines that the module has put into its list
COMMENTS come before it, as comments.
"""

import importlib.util
import os
import sys
import unittest

REASON_MAX = 600


class TapResult(unittest.TestResult):
    """One TAP line for each case."""

    def __init__(self, stream, module):
        super().__init__()
        self.stream = stream
        self.prefix = module + '.'
        self.count = 0
        self.bad = 0
        self.broken = set()  # cases that a failed subTest has marked

    def line(self, text):
        print(text, file=self.stream, flush=True)

    def details(self, test, text):
        print(f'{self.name(test)}:\n{text}', file=sys.stderr, flush=True)

    def name(self, test):
        return test.id().removeprefix(self.prefix).replace('#', ' ')

    def report(self, test, passed, directive='', reason=''):
        self.count += 1
        self.bad += not passed
        verdict = 'ok' if passed else 'not ok'
        self.line(f'{verdict} {self.count} - {self.name(test)}{directive}')
        if reason:
            self.line(f"# failed: {' '.join(str(reason).split())[:REASON_MAX]}")

    def addSuccess(self, test):
        self.report(test, True)

    def addError(self, test, err):
        self.details(test, self._exc_info_to_string(err, test))
        self.report(test, False, reason=err[1])

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is None:
            return
        self.details(subtest, self._exc_info_to_string(err, test))
        # The case itself gets no other callback when one of its subtests failed.
        if test.id() not in self.broken:
            self.broken.add(test.id())
            self.report(test, False, reason=err[1])

    def addSkip(self, test, reason):
        self.report(test, True, f' # SKIP {reason.replace(chr(10), " ")}')

    def addExpectedFailure(self, test, err):
        self.report(test, True, ' # TODO expected failure')

    def addUnexpectedSuccess(self, test):
        self.details(test, 'passed, though marked as an expected failure')
        self.report(test, False)


def load(path):
    """The file as a module; its own folder is on the module path."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    name = os.path.basename(path).removesuffix('.py')
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main():
    path, *names = sys.argv[1:]
    stream = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)

    module = load(path)
    loader = unittest.TestLoader()
    if names:
        suite = loader.loadTestsFromNames(names, module)
    else:
        suite = loader.loadTestsFromModule(module)
    result = TapResult(stream, module.__name__)
    result.line('TAP version 13')
    suite.run(result)
    for text in getattr(module, 'COMMENTS', ()):
        result.line('# ' + text)
    result.line(f'1..{result.count}')
    return 1 if result.bad else 0


if __name__ == '__main__':
    sys.exit(main())

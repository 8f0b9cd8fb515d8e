#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Print a C header with the names of the system calls by number: syscall-names.py CC [ARG]...

The numbers are those of the compiler's <sys/syscall.h>, so of the machine that is built for. The
sandbox's signal handler needs them, which can ask no library.
"""

import re
import subprocess
import sys


def numbers(compiler):
    """{number: name}"""
    def run(*args, text):
        return subprocess.run([*compiler, '-E', *args, '-x', 'c', '-'], input=text, check=True,
                              capture_output=True, text=True).stdout

    include = '#include <sys/syscall.h>\n'
    names = sorted(set(re.findall(r'^#define __NR_(\w+) ', run('-dM', text=include), re.M)))
    # A number may be an expression of other macros.
    values = run('-P', text=include + ''.join(f'\n@{name}@ __NR_{name}\n' for name in names))
    found = re.findall(r'^@(\w+)@ (\d+)$', values, re.M)
    return {int(number): name for name, number in found}


def main():
    calls = numbers(sys.argv[1:])
    if calls.get(0) is None:
        sys.exit('syscall-names.py: <sys/syscall.h> has no system call 0')
    width = max(map(len, calls.values())) + 1
    print('/* Made by scripts/syscall-names.py. */')
    print(f'static const char syscall_names[][{width}] = {{')
    for number, name in sorted(calls.items()):
        print(f'    [{number}] = "{name}",')
    print('};')


if __name__ == '__main__':
    main()

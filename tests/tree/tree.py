# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the tree share: where things are, and what the tree consists of."""

import functools
import json
import os
import shlex
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('MESON_BUILD_ROOT', os.path.join(ROOT, 'build'))
C_FOLDERS = ('accel', 'block', 'hw', 'monitor', 'remote', 'system', 'util')
FOLDERS = C_FOLDERS + ('include', 'configs', 'data', 'docs', 'scripts', 'tests', '.ci')
TOP_FILES = ('Kconfig', 'Makefile', 'configure', 'meson.build', 'meson_options.txt')


def path(relative):
    return os.path.join(ROOT, relative)


def read(relative):
    with open(path(relative), encoding='utf-8') as file:
        return file.read()


def files(*folders, suffixes=('',)):
    """The files below the folders, relative to the tree; no caches, and no corpora (data)."""
    found = []
    for folder in folders:
        for where, subfolders, names in os.walk(path(folder)):
            subfolders[:] = [name for name in subfolders if name not in ('__pycache__', 'corpus')]
            found += [os.path.relpath(os.path.join(where, name), ROOT) for name in names
                      if name.endswith(suffixes)]
    return sorted(found)


def copy_to(folder):
    """A copy of what the build reads, for tests that change it."""
    for name in FOLDERS:
        if os.path.isdir(path(name)):
            shutil.copytree(path(name), os.path.join(folder, name),
                            ignore=shutil.ignore_patterns('__pycache__'))
    for name in TOP_FILES:
        shutil.copy2(path(name), folder)


@functools.cache
def compile_commands():
    """(source relative to the tree, target's object, words of the command) of each compilation."""
    with open(os.path.join(BUILD, 'compile_commands.json'), encoding='utf-8') as file:
        entries = json.load(file)
    return [(os.path.relpath(os.path.join(entry['directory'], entry['file']), ROOT),
             entry['output'], shlex.split(entry['command'])) for entry in entries]


def compiler_flags():
    """The compiler and the flags of the tree's own sources, without input and output."""
    for source, _, words in compile_commands():
        if source.startswith(C_FOLDERS) and source != 'system/registry.c':
            skip = {'-MD', '-MQ', '-MF', '-o', '-c'}
            with_value = {'-MQ', '-MF', '-o', '-c'}
            kept, drop = [], False
            for word in words:
                if drop or word in skip:
                    drop = word in with_value
                    continue
                kept.append(word)
            return kept
    raise LookupError('compile_commands.json has no source of this tree')


def run(*command, **keywords):
    """Output of a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **keywords)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise RuntimeError(f'{shlex.join(command)}: exit status {done.returncode}')
    return done.stdout

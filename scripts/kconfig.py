#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Resolve a target's device profile against the Kconfig files.

Reads configs/targets/T.mak (TARGET_* variables) and configs/devices/T/P.mak (CONFIG_* assignments),
writes config.mak for meson's keyval module and config.h for system/registry.c, and prints the names
of the files read, so that meson.build can have a change of any of them configure again.

kconfiglib takes an unknown symbol, or a value that a symbol can't have, in silence and goes on
with another one. A profile is a promise about what is in the program, so here each assignment
keeps its file and line, and one that doesn't come out as written ends the configuration.
"""

import argparse
import os
import re
import sys

import kconfiglib

ASSIGNMENT = re.compile(r'([A-Z][A-Z0-9_]*)=(.*)')
UNSET = re.compile(r'# (CONFIG_[A-Z0-9_]+) is not set')


class ProfileError(Exception):
    """What is wrong, with file and line in front where there is one."""


class Assignment:
    """One line NAME=VALUE, and where it is."""

    def __init__(self, path, line, name, value):
        self.where = f'{path}:{line}'
        self.name = name
        self.value = value

    def error(self, text):
        return ProfileError(f'{self.where}: {self.name}={self.value}: {text}')


def read_assignments(path, prefix):
    """The NAME=VALUE lines of a .mak file, by name; each name starts with prefix."""
    found = {}
    with open(path, encoding='utf-8') as file:
        for number, text in enumerate(file, 1):
            text = text.strip()
            unset = UNSET.fullmatch(text)
            if unset:
                text = unset[1] + '=n'
            if not text or text.startswith('#'):
                continue
            match = ASSIGNMENT.fullmatch(text)
            if not match or not match[1].startswith(prefix):
                raise ProfileError(f'{path}:{number}: {text}: expected {prefix}NAME=VALUE')
            item = Assignment(path, number, match[1], match[2])
            first = found.setdefault(item.name, item)
            if first.value != item.value:
                raise item.error(f'{first.where} says {first.value}')
    return found


def load_kconfig(path):
    """The symbol tree; whatever kconfiglib would only warn of is an error."""
    os.environ['srctree'] = os.path.dirname(path)
    os.environ['KCONFIG_WARN_UNDEF'] = 'y'
    tree = kconfiglib.Kconfig(os.path.basename(path), warn_to_stderr=False)
    if tree.warnings:
        raise ProfileError('\n'.join(tree.warnings))
    return tree


def why_not(tree, symbol, wanted):
    """Why the symbol resolved to something other than the wanted value."""
    if symbol.direct_dep is tree.n:
        return 'this tree has no code for it'
    if not any(node.prompt for node in symbol.nodes):
        return f'it is {symbol.str_value} by what selects it, and can\'t be assigned'
    if symbol.type == kconfiglib.BOOL and wanted == 'n':
        selectors = [item for item in kconfiglib.split_expr(symbol.rev_dep, kconfiglib.OR)
                     if kconfiglib.expr_value(item)]
        return 'selected by ' + ', '.join(map(kconfiglib.expr_str, selectors))
    unmet = [item for item in kconfiglib.split_expr(symbol.direct_dep, kconfiglib.AND)
             if not kconfiglib.expr_value(item)]
    if not unmet:
        return 'out of its range'
    return 'it depends on ' + ' && '.join(map(kconfiglib.expr_str, unmet)) + ', not selected here'


def resolve(tree, assignments):
    """Gives the symbols their values and holds each assignment to what it says."""
    symbols = {}
    for item in assignments.values():
        symbol = tree.syms.get(item.name.removeprefix('CONFIG_'))
        if symbol is None or not symbol.nodes:
            raise item.error('there is no such symbol')
        value = item.value
        if symbol.type == kconfiglib.STRING:
            value = value.removeprefix('"').removesuffix('"')
        if not symbol.set_value(value):
            raise item.error(f'not a value of type {kconfiglib.TYPE_TO_STR[symbol.type]}')
        symbols[item] = (symbol, value)
    for item, (symbol, value) in symbols.items():
        if symbol.str_value != value:
            raise item.error(why_not(tree, symbol, value))


def selected(tree):
    """(name, value) of each symbol that is on, in the order of the Kconfig files."""
    for symbol in tree.unique_defined_syms:
        if symbol.type == kconfiglib.BOOL:
            if symbol.str_value == 'y':
                yield f'CONFIG_{symbol.name}', 'y'
        elif symbol.str_value:
            yield f'CONFIG_{symbol.name}', symbol.str_value


def write_if_changed(path, text):
    """Leaves an equal file and its time alone, so that nothing is recompiled for it."""
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    try:
        with open(path, encoding='utf-8') as file:
            if file.read() == text:
                return
    except FileNotFoundError:
        pass
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def as_mak(variables, values):
    lines = [f'{item.name}={item.value}' for item in variables.values()]
    lines += [f'{name}={value}' for name, value in values]
    return '\n'.join(lines) + '\n'


def as_header(variables, values, profile):
    lines = ['/* Made by scripts/kconfig.py. */']
    lines += [f'#define {item.name} "{item.value}"' for item in variables.values()]
    lines += [f'#define TARGET_PROFILE "{profile}"']
    for name, value in values:
        quoted = value if re.fullmatch(r'-?[0-9]+|0x[0-9a-fA-F]+', value) else f'"{value}"'
        lines.append(f'#define {name} ' + ('1' if value == 'y' else quoted))
    return '\n'.join(lines) + '\n'


def run(args):
    variables = read_assignments(args.target, 'TARGET_')
    name = os.path.basename(args.target).removesuffix('.mak')
    variables['TARGET_NAME'] = Assignment(args.target, 0, 'TARGET_NAME', name)
    for required in ('TARGET_ARCH', 'TARGET_PROGRAM'):
        if required not in variables:
            raise ProfileError(f'{args.target}: {required} is missing')

    tree = load_kconfig(args.kconfig)
    resolve(tree, read_assignments(args.profile, 'CONFIG_'))
    values = list(selected(tree))

    profile = os.path.basename(args.profile).removesuffix('.mak')
    write_if_changed(args.output, as_mak(variables, values))
    if args.header:
        write_if_changed(args.header, as_header(variables, values, profile))
    print('\n'.join([args.target, args.profile, *tree.kconfig_filenames]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kconfig', required=True, help='the top-level Kconfig file')
    parser.add_argument('--target', required=True, help='configs/targets/T.mak')
    parser.add_argument('--profile', required=True, help='configs/devices/T/P.mak')
    parser.add_argument('--header', help='config.h to write')
    parser.add_argument('output', help='config.mak to write')
    try:
        run(parser.parse_args())
    except (ProfileError, kconfiglib.KconfigError, OSError) as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main()

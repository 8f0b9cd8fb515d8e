# SPDX-License-Identifier: GPL-2.0-or-later
"""The launcher file: a Launch as TOML.

    [vm]
    kernel = "vmlinuz"
    append = "root=/dev/sda"

    [[remote]]                  # a process
    [[remote.device]]           # a PCI function in it
    id = "lsi0"
    [[remote.device.disk]]      # on its SCSI bus
    file = "disk.img"

Which keys there are, and of which kind, is what the dataclasses in description.py say. Anything
else is refused with file, line and key. tomllib tells no lines, so they are looked up in the text;
where a key can't be found there, as in a table written on one line, it is its table's line.
Relative file names are relative to the launcher file.
"""

import dataclasses
import difflib
import os
import re

from .description import Disk, Launch, Vm
from .errors import LaunchError

HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
ASSIGNMENT = re.compile(r"""\s*(["']?)([A-Za-z0-9_.-]+)\1\s*=""")
KIND_NAMES = {str: "a string", int: "a number", float: "a number", bool: "true or false"}
PATHS = {Disk: ("file",), Vm: ("kernel", "initrd")}


def lines_of(text):
    """Maps each key's path, as in ("remote", 0, "device", 1, "id"), to its line."""
    found, here, counts = {}, (), {}
    for number, line in enumerate(text.splitlines(), 1):
        header, assignment = HEADER.match(line), ASSIGNMENT.match(line)
        if header:
            here = ()
            parts = [part.strip(" \"'") for part in header[2].split(".")]
            for last, part in ((i == len(parts) - 1, p) for i, p in enumerate(parts)):
                here += (part,)
                if last and header[1] == "[[":
                    counts[here] = counts.get(here, -1) + 1
                if here in counts:
                    here += (counts[here],)
            found.setdefault(here, number)
            if header[1] == "[[":
                found.setdefault(here[:-1], number)
        elif assignment:
            found.setdefault(here + tuple(assignment[2].split(".")), number)
    return found


class Reader:
    def __init__(self, path, text):
        self.path = path
        self.folder = os.path.dirname(path)
        self.lines = lines_of(text)

    def refuse(self, where, sentence):
        line = next((self.lines[where[:n]] for n in range(len(where), 0, -1)
                     if where[:n] in self.lines), 1)
        raise LaunchError(f"{self.path}:{line}: {sentence}")

    @staticmethod
    def title(where):
        names = ".".join(part for part in where if isinstance(part, str))
        return f"[{names}]" if names else "the file"

    def table(self, kind, table, where):
        """An instance of the dataclass `kind` from a TOML table."""
        if not isinstance(table, dict):
            self.refuse(where, f"'{where[-1]}' is not a table")
        known = {f.metadata["key"] or f.name.replace("_", "-"): f
                 for f in dataclasses.fields(kind) if f.metadata["kind"]}
        values = {}
        for key, raw in table.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f" (is it '{near[0]}'?)" if near else ""
                self.refuse((*where, key), f"unknown key '{key}' in {self.title(where)}{hint}")
            values[known[key].name] = self.value(known[key].metadata["kind"], raw, (*where, key))
        for name in PATHS.get(kind, ()):
            if values.get(name):
                values[name] = os.path.join(self.folder, values[name])
        if kind is Disk and not values.get("file"):
            self.refuse(where, f"key 'file' is missing in {self.title(where)}")
        return kind(**values)

    def value(self, kind, raw, where):
        if isinstance(kind, tuple) and isinstance(kind[0], str):  # one of these words
            if raw not in kind:
                self.refuse(where, f"'{where[-1]}' is one of {', '.join(kind)}")
            return raw
        if isinstance(kind, tuple):  # a list of these
            if not isinstance(raw, list):
                self.refuse(where, f"'{where[-1]}' is not a list")
            return [self.value(kind[0], item, (*where, n)) for n, item in enumerate(raw)]
        if dataclasses.is_dataclass(kind):
            return self.table(kind, raw, where)
        allowed = (int, float) if kind is float else (kind,)
        if not isinstance(raw, allowed) or (kind is not bool and isinstance(raw, bool)):
            name = next(part for part in reversed(where) if isinstance(part, str))
            self.refuse(where, f"'{name}' is not {KIND_NAMES[kind]}")
        return raw


def load(path):
    """Reads a launcher file; what it says nothing about has its default."""
    try:
        import tomllib
    except ImportError:
        raise LaunchError(f"{path}: a launcher file needs Python 3.11 or later") from None
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        data = tomllib.loads(text)
    except OSError as err:
        raise LaunchError(f"{path}: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise LaunchError(f"{path}: not a text file") from err
    except tomllib.TOMLDecodeError as err:
        raise LaunchError(f"{path}: {err}") from err
    reader = Reader(path, text)
    launch = reader.table(Launch, data, ())
    for number, remote in enumerate(launch.remotes):
        if not remote.functions:
            reader.refuse(("remote", number), "a remote without a device serves nothing")
    return launch

"""Seeded damage to input files: what a torn disk, a hasty editor or an enemy does to them.

A mutation is a function of a random generator and a file's bytes. ``mutant`` draws one file of one
base and one to three mutations of it; the same seed makes the same bytes.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .bases import BASES, SCENARIO

__all__ = ["NASTY_TEXT", "Mutant", "mutant"]

NASTY_TEXT = (
    "",
    " ",
    "=cmd|'/c calc'!A1",
    "@SUM(A1:A9)",
    "+1+1",
    "-1",
    "\t=1",
    "../../../../tmp/escaped",
    "/etc/passwd",
    "a/b",
    "..",
    "~",
    "C:\\x",
    'a"b',
    "a'b",
    "a,b",
    "a;b",
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "{{ 7*7 }}",
    "%s%n",
    "${HOME}",
    "$(touch escaped)",
    "`touch escaped`",
    "caf\u00e9",
    "\u202egnp.exe",
    "\u200b",
    "\U0001f4a5",
    "e\u0301" * 50,
    "\x1b[31mred",
    "\x07",
    "\x7f",
    "\ufeff",
    "\ufffe",
    "NUL",
    "nan",
    "inf",
    "default",
    "all",
    "null",
    "x" * 300,
)

_NUMBERS = (
    "0",
    "-0",
    "-1",
    "1",
    "1e308",
    "1e309",
    "-1e308",
    "1e-320",
    "nan",
    "-nan",
    "inf",
    "-inf",
    "9" * 30,
    "9" * 5_000,
    "-" + "9" * 30,
    "2147483648",
    "4294967296",
    "1_000",
    "0x10",
    "1.",
    ".5",
    "1e",
    "1,5",
    "0.1.2",
    "1e-9",
    "0.5",
    "3",
)

_VALUES = (
    *_NUMBERS,
    "true",
    "[]",
    "{}",
    "[[]]",
    '[["a"]]',
    "{ BTC = 1 }",
    "[1, 2, 3]",
    '"1ns"',
    '"1s"',
    '"0d"',
    '"9999999999999999999999w"',
    '"-1h"',
    '"1h"',
    "2026-01-01",
    "07:32:00",
    '"2026-01-01T00:00:00Z"',
    "2026-01-01T00:00:00+00:00",
    "'''a\nb'''",
)

Mutation = Callable[[random.Random, bytes], bytes]


@dataclass(frozen=True)
class Mutant:
    """One file of one base, damaged.

    Attributes
    ----------
    base, file
        Which; all other files of the base stay as they are.
    content
        Its bytes; None where there is no plain file in its place but what ``kind`` says.
    kind
        ``file``, ``absent``, ``folder``, ``link-to-nothing``, ``link-to-itself``,
        ``link-to-zeros``, ``pipe``.
    how
        Names of the mutations.
    """

    base: str
    file: str
    content: bytes | None
    kind: str
    how: tuple[str, ...]

    def put(self, folder: Path) -> None:
        """Write the file into a folder that holds the base."""
        path = folder / self.file
        remove(path)
        if self.content is not None:
            path.write_bytes(self.content)
        elif self.kind == "folder":
            path.mkdir()
        elif self.kind == "link-to-nothing":
            path.symlink_to(folder / "nothing")
        elif self.kind == "link-to-itself":
            path.symlink_to(path)
        elif self.kind == "link-to-zeros":
            path.symlink_to("/dev/zero")
        elif self.kind == "pipe":
            os.mkfifo(path)


def remove(path: Path) -> None:
    """Remove whatever is in a file's place."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def mutant(seed: int) -> Mutant:
    """Return the mutant of a seed."""
    rng = random.Random(seed)
    base = rng.choice(list(BASES))
    files = BASES[base]
    # the scenario has most of the rules
    file = SCENARIO if rng.random() < 0.5 else rng.choice(list(files))
    if rng.random() < 0.02:
        return Mutant(base, file, None, rng.choice(_PLACES), ("place",))
    content = files[file].encode()
    known = _OF_TOML if file.endswith(".toml") else _OF_CSV
    chosen = rng.choices(known, k=rng.choice((1, 1, 1, 1, 2, 3)))
    for mutation in chosen:
        content = mutation(rng, content)
    return Mutant(base, file, content, "file", tuple(one.__name__ for one in chosen))


_PLACES = ("absent", "folder", "link-to-nothing", "link-to-itself", "link-to-zeros", "pipe")


def _place(rng: random.Random, content: bytes) -> int:
    return rng.randrange(len(content) + 1)


def _lines(content: bytes) -> list[bytes]:
    return content.split(b"\n")


def flip_bytes(rng: random.Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(min(rng.choice((1, 1, 2, 8)), len(damaged))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def insert_bytes(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    return content[:place] + rng.randbytes(rng.choice((1, 3, 20))) + content[place:]


def insert_nul(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    return content[:place] + b"\0" + content[place:]


def cut_off(rng: random.Random, content: bytes) -> bytes:
    return content[: _place(rng, content)]


def cut_out(rng: random.Random, content: bytes) -> bytes:
    first, last = sorted((_place(rng, content), _place(rng, content)))
    return content[:first] + content[last:]


def delete_line(rng: random.Random, content: bytes) -> bytes:
    lines = _lines(content)
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def duplicate_line(rng: random.Random, content: bytes) -> bytes:
    lines = _lines(content)
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return b"\n".join(lines)


def swap_lines(rng: random.Random, content: bytes) -> bytes:
    lines = _lines(content)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def utf_16(rng: random.Random, content: bytes) -> bytes:
    return content.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-16-le")))


def other_encoding(rng: random.Random, content: bytes) -> bytes:
    return content.replace(b"a", "\u00e4".encode(rng.choice(("latin-1", "cp1252", "utf-8"))), 3)


def byte_order_mark(rng: random.Random, content: bytes) -> bytes:
    return b"\xef\xbb\xbf" + content


def other_line_ends(rng: random.Random, content: bytes) -> bytes:
    return content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\x0b", b"\xe2\x80\xa8")))


def empty(rng: random.Random, content: bytes) -> bytes:
    return rng.choice((b"", b"\n", b" ", b"\xef\xbb\xbf"))


def replaced_number(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"(?<![\w.\"-])-?\d[\d_.e]*(?![\w.:\"-])", content))
    return _swapped(rng, content, found, rng.choice(_NUMBERS).encode())


def replaced_value(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"(?<== )[^\n]+", content))
    return _swapped(rng, content, found, rng.choice(_VALUES).encode())


def replaced_text(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb'"[^"\n]*"', content))
    text = rng.choice(NASTY_TEXT)
    quote = rng.choice(('"', "'", '"""'))
    return _swapped(rng, content, found, f"{quote}{text}{quote}".encode())


def escaped_text(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb'"[^"\n]*"', content))
    escaped = "".join(f"\\U{ord(mark):08X}" for mark in rng.choice((*NASTY_TEXT, "\0", "a\nb")))
    return _swapped(rng, content, found, f'"{escaped}"'.encode())


def swapped_values(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"(?<== )[^\n]+", content))
    return _swapped(rng, content, found, rng.choice(found)[0]) if found else content


def renamed_key(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"(?m)^[\w-]+(?= =)", content))
    names = [match[0] for match in found] or [b"x"]
    text = rng.choice(NASTY_TEXT).replace("\\", "").replace('"', "").encode()
    new = rng.choice((rng.choice(names), b"x", b'"' + text + b'"', b"a.b.c", b"__class__"))
    return _swapped(rng, content, found, new)


def other_header(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"(?m)^\[+[\w.]+\]+", content))
    names = [match[0] for match in found] or [b"[x]"]
    return _swapped(rng, content, found, rng.choice((rng.choice(names), b"[x]", b"[[venue]]")))


def nested(rng: random.Random, content: bytes) -> bytes:
    depth = rng.choice((5, 100, 20_000))
    found = list(re.finditer(rb"(?<== )[^\n]+", content))
    deep = rng.choice((b"[" * depth + b"]" * depth, b"{a=" * depth + b"1" + b"}" * depth))
    return _swapped(rng, content, found, deep)


def dotted(rng: random.Random, content: bytes) -> bytes:
    return b".".join([b"a"] * rng.choice((3, 500))) + b" = 1\n" + content


def other_cell(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"(?<=[,\n])[^,\n]*", content))
    text = rng.choice(NASTY_TEXT)
    quoted = '"' + text.replace('"', '""') + '"'
    return _swapped(rng, content, found, rng.choice((text, quoted)).encode())


def other_number_cell(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"(?<=,)-?[\d.e]+(?=[,\n])", content))
    return _swapped(rng, content, found, rng.choice(_NUMBERS).encode())


def huge_cell(rng: random.Random, content: bytes) -> bytes:
    """Put ten million characters in the place of a cell, or of a text."""
    found = list(re.finditer(rb'"[^"\n]*"', content) if b" = " in content else [])
    found = found or list(re.finditer(rb"(?<=[,\n])[^,\n]*", content))
    huge = rng.choice((b"x", b"9", b'""', b" ")) * 10_000_000
    return _swapped(rng, content, found, b'"' + huge + b'"')


def other_separator(rng: random.Random, content: bytes) -> bytes:
    return content.replace(b",", rng.choice((b";", b"\t", b"|", b", ", b",,")))


def open_quote(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    return content[:place] + b'"' + content[place:]


def swapped_columns(rng: random.Random, content: bytes) -> bytes:
    rows = [line.split(b",") for line in _lines(content)]
    one, other = rng.randrange(len(rows[0])), rng.randrange(len(rows[0]))
    for row in rows:
        if max(one, other) < len(row):
            row[one], row[other] = row[other], row[one]
    return b"\n".join(b",".join(row) for row in rows)


def no_rows(rng: random.Random, content: bytes) -> bytes:
    return _lines(content)[0] + b"\n"


def many_columns(rng: random.Random, content: bytes) -> bytes:
    return b"\n".join(line + b",x" * 500 for line in _lines(content))


def other_format(rng: random.Random, content: bytes) -> bytes:
    return rng.choice((b"PAR1", b"\x89HDF\r\n\x1a\n", b"\x1f\x8b", b"PK\x03\x04")) + content


def _swapped(rng: random.Random, content: bytes, found: list[re.Match[bytes]], new: bytes) -> bytes:
    if not found:
        return content
    match = rng.choice(found)
    return content[: match.start()] + new + content[match.end() :]


_OF_ALL: tuple[Mutation, ...] = (
    flip_bytes,
    insert_bytes,
    insert_nul,
    cut_off,
    cut_out,
    delete_line,
    duplicate_line,
    swap_lines,
    utf_16,
    other_encoding,
    byte_order_mark,
    other_line_ends,
    empty,
)
_OF_TOML: list[Mutation] = [
    *_OF_ALL,
    *(12 * (replaced_number, replaced_value, replaced_text)),
    *(4 * (escaped_text, swapped_values, renamed_key, other_header)),
    nested,
    dotted,
]
_OF_CSV: list[Mutation] = [
    *_OF_ALL,
    *(24 * (other_cell, other_number_cell)),
    other_separator,
    open_quote,
    swapped_columns,
    no_rows,
    many_columns,
    other_format,
]

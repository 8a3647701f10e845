"""``python -m benchmarks``: the table, growth, other books, a profile, the price models.

Ratios, not seconds, are what compares: every row is divided by what NumPy (SFC64, one thread,
float32) needs, in the same process and moment, to draw as many normals as the row's paths hold.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

TABLES = ("table", "growth", "other-books", "profile", "models")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table that was asked for, and keep it in a page where one is named."""
    asked = _parser().parse_args(arguments)
    kept = []
    for line in _lines(asked):
        print(line, flush=True)
        kept.append(line)
    if asked.into is not None:
        _replace(asked.into, asked.what, "\n".join(kept))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="table", choices=TABLES)
    parser.add_argument("--paths", type=int, help="paths of each row, at most")
    parser.add_argument("--accounts", type=int, help="accounts (default: the reference's)")
    parser.add_argument("--steps", type=int, help="steps (default: the reference's)")
    parser.add_argument("--axis", action="append", help="growth: only this axis; may be repeated")
    parser.add_argument("--most", type=int, help="growth: leave out larger sizes")
    parser.add_argument("--page", type=Path, help="growth: an HTML page to draw it on")
    parser.add_argument("--into", type=Path, help="a Markdown page whose table is replaced")
    return parser


def _lines(asked: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of what was asked for.

    Each table is imported when it is asked for: what prints rows must stay small, because a process
    counts its parent's memory as its own until it has more.
    """
    lines = importlib.import_module(f"benchmarks.{asked.what.replace('-', '_')}").lines
    given = {name: getattr(asked, name) for name in ("paths", "accounts", "steps")}
    size = {name: number for name, number in given.items() if number is not None}
    if asked.what == "models":
        return lines()
    if asked.what == "growth":
        return lines(asked.axis, asked.most, asked.page)
    if asked.what == "table":
        return lines({**size, "paths": None}, asked.paths)
    return lines(size)


def _replace(page: Path, what: str, table: str) -> None:
    """Put a table between ``<!-- what -->`` and ``<!-- end of what -->`` of a page.

    Raises
    ------
    ValueError
        If the page has no such place.
    """
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {what} -->\n", f"<!-- end of {what} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has no place for {what}: {begin.strip()} ... {end}")
    page.write_text(f"{before}{begin}\n{table}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

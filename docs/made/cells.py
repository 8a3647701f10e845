"""Tables of Markdown whose cells are only text, whatever a description says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

__all__ = ["cell", "code", "described", "grid"]


def described(text: str | None, what: str) -> str:
    """Return a description as it may stand in a table.

    Raises
    ------
    ValueError
        There is none.
    """
    if not text or not text.strip():
        raise ValueError(f"{what} has no description")
    return cell(text)


def cell(text: str) -> str:
    """Return text that neither a table nor HTML nor Markdown takes for its own."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:
        raise ValueError(f"a backtick without its partner: {text}")
    return "".join(code(part) if odd % 2 else _quiet(part) for odd, part in enumerate(parts))


def _quiet(text: str) -> str:
    plain = escape(text, quote=False)
    for mark in "\\*_[]|":
        plain = plain.replace(mark, f"\\{mark}")
    return plain


def code(text: str) -> str:
    """Return text as code in a cell of a table; it may break behind a mark."""
    plain = escape(text, quote=False).replace("|", "&#124;<wbr>").replace("_", "_<wbr>")
    return f"<code>{plain}</code>"


def grid(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a table, an empty one behind it."""
    heads = list(heads)
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""

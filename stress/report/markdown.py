"""The report as Markdown: a text that reads in a mail or a chat as it stands, or rendered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from stress.report.document import Document
from stress.report.section import Column, Content, Table
from stress.report.text import shown

__all__ = ["markdown_text", "plain"]

# what Markdown, its tables or HTML inside it would obey; an underscore inside a word means nothing
_OBEYED = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)|<(?=[A-Za-z/!?])|&(?=[#\w]+;)")
_ENTITIES = {"<": "&lt;", "&": "&amp;"}

# a number and its unit keep the blank that no line is broken at
_SPACE = re.compile(r"[^\S\u00a0]+")

# what many renderers make a link or a call of without being asked
_LINKED = re.compile(r":(?=//)|(?<=www)\.|@(?=\w)", re.IGNORECASE)

_AT_THE_START = re.compile(r"^(\d*)([#+=.)>-])")


def markdown_text(document: Document) -> str:
    """Return the document as Markdown: sentences, tables with intervals in brackets, no figures."""
    heading = document.heading
    byline = (heading.created, f"data as of {heading.as_of}" if heading.as_of else "")
    blocks = [
        f"# {plain(heading.title)}",
        " · ".join(plain(part) for part in (heading.source, *byline) if part),
        "Figures stand in `report.html`, all numbers in `result.nc`.",
    ]
    for section, content in document.parts:
        blocks += [f"## {plain(section.title)}", *_blocks(content)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def plain(text: str) -> str:
    """Return a text on one line that Markdown shows as it is: no markup, link or call in it."""
    line = _SPACE.sub(" ", text).strip(" ")
    line = _OBEYED.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), line)
    return _LINKED.sub(lambda found: f"\\{found[0]}", line)


def _sentence(text: str) -> str:
    """Return the same for the start of a line, where a mark may begin a heading or a list."""
    return _AT_THE_START.sub(r"\1\\\2", plain(text))


def _blocks(content: Content) -> Iterator[str]:
    yield from map(_sentence, content.lead)
    yield _list(
        f"{_sentence(headline.label)}: **{plain(text.value)}**"
        + (f" ({plain(text.interval)})" if text.interval else "")
        for headline in content.headlines
        for text in [shown(headline.kind, headline.estimate)]
    )
    yield from (f"> **Note.** {plain(sentence)}" for sentence in content.warnings)
    yield _list(map(_sentence, content.items))
    yield from map(_table, content.tables)
    yield from map(_sentence, content.notes)
    for verbatim in content.verbatim:
        yield f"{_sentence(verbatim.title)}:"
        yield _fenced(verbatim.text)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(table: Table) -> str:
    """Return a table of GitHub's Markdown under its caption, numbers to the right."""
    rows = [
        [
            plain(str(shown(column.kind, cell)))
            for column, cell in zip(table.columns, row, strict=True)
        ]
        for row in table.rows
    ]
    heads = [plain(column.title) for column in table.columns]
    lines = [heads, [_rule(column) for column in table.columns], *rows]
    return f"**{plain(table.caption)}**\n\n" + "\n".join(map(_row, lines))


def _rule(column: Column) -> str:
    return "---" if column.kind in ("text", "verdict") else "--:"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _fenced(text: str) -> str:
    """Return a text in a code block whose fence is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"

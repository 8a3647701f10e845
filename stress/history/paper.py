"""What the pages over several runs share: the look of the report, links, cells, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from os.path import relpath
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from stress.data.files import atomically
from stress.errors import InputError
from stress.history.marks import check_free
from stress.history.runs import HEADLINES, Limit
from stress.report.read import Estimate
from stress.report.text import MISSING, Shown, shown

__all__ = [
    "VERDICTS",
    "Figure",
    "columns",
    "figures",
    "link",
    "most_used",
    "written",
]

VERDICTS = {0: "kept", 3: "breached", 4: "not resolved"}
"""Exit code of a finished run -> what it says of the limits."""

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Figure:
    """A cell with a number, and what it sorts by."""

    shown: Shown
    key: str


def columns(found: list[Mapping[str, Estimate]]) -> tuple[str, ...]:
    """Return the headlines that at least one of several runs has."""
    return tuple(name for name in HEADLINES if any(name in each for each in found))


def figures(headlines: Mapping[str, Estimate], names: tuple[str, ...]) -> list[Figure]:
    """Return a cell for each headline; a dash where it was not simulated."""
    return [
        Figure(shown(HEADLINES[name][1], headlines[name]), repr(headlines[name].value))
        if name in headlines
        else Figure(Shown(MISSING), "")
        for name in names
    ]


def most_used(limits: tuple[Limit, ...]) -> tuple[str, str]:
    """Return the limit that is used most, in words, and its share that is used, to sort by."""
    known = [limit for limit in limits if limit.used == limit.used]
    if not known:
        return "", ""
    worst = max(known, key=lambda limit: limit.used)
    where = "over" if worst.breached else "within"
    value, threshold = shown(worst.kind, worst.value), shown(worst.kind, worst.threshold)
    text = f"{worst.name}: {value} {where} a limit of {threshold}"
    return text, repr(worst.used)


def link(folder: Path, file: str, page: Path) -> str:
    """Return the address of a file in a run folder, as seen from a page; empty if it is absent."""
    target = folder / file
    if not target.is_file():
        return ""
    # a first part with a colon would be read as a scheme
    return quote(Path(relpath(target, page.parent)).as_posix())


def written(template: str, page: Path, mark: str, **content: Any) -> Path:
    """Write a page, whole or not at all, and return its path.

    Parameters
    ----------
    template
        Name of a template beside this file.
    page
        Where it goes.
    mark
        Who writes it: a page with another mark is not written over.
    content
        What the template shows.

    Raises
    ------
    InputError
        If the page is another's, or cannot be written.
    """
    check_free(page, mark)
    text = (
        _environment()
        .get_template(template)
        .render(mark=mark, css=_asset("page.css"), script=_asset("page.js"), **content)
    )
    try:
        atomically(page, lambda part: part.write_text(text, encoding="utf-8", newline="\n"))
    except OSError as error:
        rule = f"cannot be written: {error.strerror}"
        raise InputError(rule, file=page, remedy="make room, or name another folder") from None
    return page


def _asset(name: str) -> Markup:
    """Return the report's style or script."""
    return Markup(resources.files("stress.report").joinpath(name).read_text("utf-8"))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": _breakable, "anchor": _anchor}
    environment.globals |= {"own_css": Markup((_HERE / "paper.css").read_text("utf-8"))}
    return environment


def _breakable(text: str) -> Markup:
    """Return escaped text that may break behind an underscore: keys have no spaces."""
    return escape(text).replace("_", Markup("_<wbr>"))


def _anchor(number: int) -> str:
    return f"scenario-{number}"

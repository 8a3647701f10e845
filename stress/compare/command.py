"""``margin-stress compare A B``: what changed between two runs, and what came of it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from stress.errors import InputError
from stress.result.comparison import Comparison, to_json

__all__ = ["compare_command"]


def compare_command(
    one: str | PathLike[str],
    other: str | PathLike[str],
    *,
    output: str | PathLike[str] | None,
    as_json: bool,
) -> int:
    """Compare two runs, print the differences, write a page where one is asked for; return 0.

    Parameters
    ----------
    one, other
        Run folders, or paths of a ``result.nc``; differences are ``other`` minus ``one``.
    output
        Page to write.

    Raises
    ------
    InputError
        If one of the two holds no result of a run, or the page cannot be written.
    """
    # imported here, because a command line that only parses its verbs needs none of it
    from stress.compare.compare import compare
    from stress.compare.text import text_of
    from stress.result.store import open_result

    found = compare(open_result(one), open_result(other), folders=(str(one), str(other)))
    page = None if output is None else _write(found, Path(output))
    if as_json:
        print(to_json(found), end="")
        return 0
    print(text_of(found))
    if page is not None:
        print(f"\npage: {page.resolve()}")
    return 0


def _write(found: Comparison, path: Path) -> Path:
    from stress.compare.page import render_comparison
    from stress.report.page import write_page

    try:
        return write_page(render_comparison(found), path)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", file=path, remedy="name another file with -o"
        ) from None

"""Tables in their places on a page of the documentation."""

from __future__ import annotations

__all__ = ["placed"]


def placed(page: str, name: str, table: str) -> str:
    """Return a page with a table between ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises
    ------
    ValueError
        If the page has no such place.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no place for {name}: {begin.strip()} ... {end}")
    return f"{before}{begin}\n{table}\n\n{end}{after}"

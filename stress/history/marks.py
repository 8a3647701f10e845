"""Which pages are ours: each says in its head who wrote it, and nobody else's is written over."""

from __future__ import annotations

from pathlib import Path

from stress.errors import InputError

__all__ = ["HISTORY", "INDEX", "PACK", "check_free", "is_marked", "is_pack"]

INDEX = "index.html"

HISTORY, PACK = "margin-stress history", "margin-stress pack"

_HEAD = 2_000
"""Bytes of a page in which its mark stands."""


def is_marked(page: Path, mark: str) -> bool:
    """Return whether there is a page that was written under a mark."""
    try:
        with page.open("rb") as file:
            return f'content="{mark}"'.encode() in file.read(_HEAD)
    except OSError:
        return False


def is_pack(folder: Path) -> bool:
    """Return whether a folder is of several scenarios that were run together."""
    page = folder / INDEX
    return page.is_file() and not page.is_symlink() and is_marked(page, PACK)


def check_free(page: Path, mark: str) -> None:
    """Refuse to write over a page that is another's.

    Raises
    ------
    InputError
        If there is a file of this name that was not written under the same mark.
    """
    if page.is_symlink() or (page.exists() and not page.is_file()):
        raise InputError("is not a file", file=page, remedy="move it away")
    if page.exists() and not is_marked(page, mark):
        raise InputError(
            "was not written by this command", file=page, remedy="move it away, or name another"
        )

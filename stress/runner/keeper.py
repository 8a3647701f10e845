"""Where a run keeps what it has finished."""

from __future__ import annotations

from stress.measure.kept import Arrays

__all__ = ["Keeper", "chunk_name"]


class Keeper:
    """Parts of a run by name, each a few arrays. This one keeps nothing.

    Attributes
    ----------
    keeps
        Whether it is worth making arrays for it.
    """

    keeps = False

    def has(self, name: str) -> bool:
        """Return whether a part is there, whole and sound."""
        return False

    def get(self, name: str) -> Arrays:
        """Return a part that is there."""
        raise KeyError(name)

    def put(self, name: str, arrays: Arrays) -> None:
        """Keep a part."""


def chunk_name(chunk: range) -> str:
    """Return the name of the measures of a chunk of paths."""
    return f"paths-{chunk.start:09d}-{chunk.stop:09d}"

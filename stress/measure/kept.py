"""What measures have accumulated as plain arrays, to be stored and taken up again.

A measure names in ``KEPT`` its attributes that grow with the paths; everything else follows from
the job. Each is an array, a whole number, a list of arrays of consecutive paths (paths last), a
measure, a dict of such, or None. A measure that holds something else writes ``arrays`` and
``restore`` itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from stress.types import Array

__all__ = ["Arrays", "arrays_of", "merge", "restore"]

Arrays = dict[str, Array]
"""Arrays by the way to them: names with slashes."""


def arrays_of(measure: Any) -> Arrays:
    """Return all that a measure has accumulated; ``restore`` takes it back to the last digit."""
    if hasattr(measure, "arrays"):
        return dict(measure.arrays())
    found: Arrays = {}
    for name, value in _parts(measure):
        if isinstance(value, np.ndarray):
            found[name] = value
        elif isinstance(value, (int, float, np.number)):
            found[name] = np.asarray(value)
        elif isinstance(value, list):
            if value:
                found[name] = np.concatenate(value, axis=-1)
        elif value is not None:
            found |= {f"{name}/{way}": array for way, array in arrays_of(value).items()}
    return found


def restore(measure: Any, arrays: Mapping[str, Array]) -> None:
    """Give a measure that has seen nothing what ``arrays_of`` returned of one like it.

    Raises
    ------
    KeyError
        If something is missing.
    """
    if hasattr(measure, "restore"):
        measure.restore(arrays)
        return
    for name, value in _parts(measure):
        if isinstance(value, np.ndarray):
            _assign(measure, name, arrays[name])
        elif isinstance(value, (int, float, np.number)):
            _assign(measure, name, arrays[name].item())
        elif isinstance(value, list):
            _assign(measure, name, [arrays[name]] if name in arrays else [])
        elif value is not None:
            restore(value, _below(arrays, name))


def merge(measure: Any, other: Any, *, besides: tuple[str, ...] = ()) -> None:
    """Add to the parts that ``measure`` names in ``KEPT`` what another has of later paths."""
    for name, value in _parts(measure):
        if name in besides:
            continue
        theirs = other[name] if isinstance(other, dict) else getattr(other, name, None)
        if isinstance(value, dict):
            merge(value, theirs)
        elif value is not None:
            value.merge(theirs)


def _parts(measure: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts by name; an attribute that only some have is None in the others."""
    if isinstance(measure, dict):
        yield from measure.items()
        return
    for name in measure.KEPT:
        yield name, getattr(measure, name, None)


def _assign(measure: Any, name: str, value: Any) -> None:
    if isinstance(measure, dict):
        measure[name] = value
    else:
        setattr(measure, name, value)


def _below(arrays: Mapping[str, Array], name: str) -> Arrays:
    start = f"{name}/"
    return {
        way.removeprefix(start): array for way, array in arrays.items() if way.startswith(start)
    }

"""Books unlike the reference: where the approach pays, and what it costs where it does not.

Ours is the whole run, measures included; the plain kernel finds first breaches only. Both on the
same book and paths, each in a process of its own, as ratios to the draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.machine import machine_line
from benchmarks.row import measured

__all__ = ["BOOKS", "lines"]

BASE = {"accounts": 4_096, "assets": 16, "steps": 288, "paths": 256}

BOOKS: dict[str, dict[str, Any]] = {
    "as R1": {},
    "none liquidated": {"leverage": (0.05, 0.3)},
    "30 % liquidated": {"leverage": (8.0, 60.0)},
    "90 % liquidated": {"leverage": (70.0, 170.0)},
    "all directional": {"kinds": (("directional", 1.0),), "leverage": (4.0, 20.0)},
    "all hedged": {"kinds": (("hedged", 1.0),), "leverage": (4.0, 20.0)},
    "3 assets": {"assets": 3},
    "200 assets": {"assets": 200},
    "200 assets, 60 positions each": {"assets": 200, "positions": 60, "accounts": 512},
}
"""What differs from ``BASE``."""

HEADER = (
    "| book | liquidated | ours, x draw | kernel alone, x draw | plain kernel, x draw "
    "| ours / plain | kernel / plain |\n|---|--:|--:|--:|--:|--:|--:|"
)


def lines(changes: dict[str, Any]) -> Iterator[str]:
    """Yield a line a book; ``changes`` apply to every book."""
    size = ", ".join(f"{number:,} {name}" for name, number in {**BASE, **changes}.items())
    yield f"{machine_line()}; {size} unless the book says otherwise\n\n{HEADER}"
    for name, differs in BOOKS.items():
        size = {**BASE, **differs, **changes}
        ours = measured("ours", name=name, size=size)
        kernel = measured("kernel", name=name, size=size)
        plain = measured("plain", name=name, size=size)
        yield (
            f"| {name} | {ours.liquidated:.1%} | {ours.ratio:.2f} | {kernel.ratio:.2f} "
            f"| {plain.ratio:.2f} | {ours.ratio / plain.ratio:.2f} "
            f"| {kernel.ratio / plain.ratio:.2f} |"
        )

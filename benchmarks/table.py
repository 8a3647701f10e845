"""The table: R1, R2 and the contenders, each in a process of its own, as ratios to the draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from benchmarks.machine import machine_line
from benchmarks.row import Row, measured

__all__ = ["CONTENDERS", "Contender", "lines"]


@dataclass(frozen=True)
class Contender:
    """A row to be measured.

    Attributes
    ----------
    name, module
        Its name in the table, and which file of this folder measures it.
    most_paths
        Paths at most: what is slow is measured on fewer, against as many fewer normals.
    arguments
        Further arguments of its ``row``.
    most_steps
        Steps at most, where a whole horizon takes minutes.
    needs
        The library without which the row is left out, and says so.
    """

    name: str
    module: str
    most_paths: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    most_steps: int | None = None


CONTENDERS = (
    Contender("NumPy draws the normals", "draws", 4_096),
    Contender("R1, this project", "ours", 4_096),
    Contender("R2, this project", "ours", 4_096, {"cascade": True}),
    Contender("R1, plain JAX kernel", "plain", 256),
    Contender(
        "R2, 24 steps, nothing left out",
        "kernel",
        64,
        {"cascade": True, "everyone": True},
        most_steps=24,
    ),
    Contender("R1, numba loop", "numba_loop", 512, needs="numba"),
    Contender("numba, paths alone", "numba_loop", 4_096, {"only_paths": True}, "numba"),
    Contender("QuantLib, paths alone", "quantlib_paths", 128, needs="QuantLib"),
    Contender("R1 without tiers, lrvx", "lrvx_waterfall", 1, needs="lrvx"),
)

HEADER = (
    "| | paths | seconds | x draw | account-path-steps/s | compile s | peak MiB | liquidated | |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|---|"
)


def lines(size: Mapping[str, Any], paths: int | None = None) -> Iterator[str]:
    """Yield the table's lines as they come; a contender that is not installed says so in its own.

    ``size`` is what differs from R1's; ``paths`` are at most so many.
    """
    yield f"{machine_line()}\n\n{HEADER}"
    for contender in CONTENDERS:
        if contender.needs and find_spec(contender.needs) is None:
            yield f"| {contender.name} | | | | | | | | left out: {contender.needs} is not here |"
            continue
        most = contender.most_paths
        of = {**size, "paths": most if paths is None else min(paths, most)}
        if contender.most_steps is not None:
            of["steps"] = min(contender.most_steps, size.get("steps", contender.most_steps))
        yield _markdown(
            measured(contender.module, name=contender.name, size=of, **contender.arguments)
        )


def _markdown(row: Row) -> str:
    """Return a row as a line of a Markdown table."""
    rate = f"{row.rate:.1e}" if row.steps else ""
    # NaN is not equal to itself
    liquidated = f"{row.liquidated:.2%}" if row.liquidated == row.liquidated else ""
    return (
        f"| {row.name} | {row.paths:,} | {row.seconds:.3g} | {row.ratio:,.3g} | {rate} "
        f"| {row.compile_seconds:.1f} | {row.peak_mib:,.0f} | {liquidated} | {row.note} |"
    )

"""Whether path i of one run has to do with path i of the other.

Path i's random numbers follow from the seed and i, whatever the number of paths. With one seed the
pairs of outcomes on path 0, 1, 2, ... are therefore independent of each other, whatever else the
two runs share, and an interval from the differences path by path holds; the more the runs share,
the narrower it is (common random numbers: Glasserman and Yao 1992). An interval from the two
estimates as if they were independent would not hold.

Where one run has more paths than the other the pairs are the paths that both have. What the longer
run knows besides is left out: adding it would bring the sampling error of its own book back, which
the pairing has just removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from stress.compare.facts import design_effect, group_of, inputs_of, labels, scenario_of
from stress.compare.scenario import scenario_changes
from stress.result.comparison import How, Pairing, Shared

__all__ = ["pairing_of"]

_NO_DRAWS = ("given", "historical")
"""Models whose path i is row or window i of a file, whatever the seed."""

_DRAWS = (
    ("seed", "seed"),
    ("model of the market", "market_model"),
    ("number of steps", "steps"),
    ("length of a step", "step_seconds"),
    ("version of JAX", "jax_version"),
)
"""What the random numbers of a path, and what becomes of them, follow from; and the assets."""

_PRICES = ("market", "stress", "simulation.precision", "simulation.monitoring")
"""Keys of the scenario that move prices besides."""

_HARMLESS = (
    "name",
    "simulation.paths",
    "simulation.confidence",
    "simulation.levels",
    "simulation.quantiles",
    "simulation.detail",
    "simulation.estimator",
    "simulation.max_relative_error",
    "market.as_of",
    "market.max_age",
    "book.as_of",
    "book.max_age",
    "book.compare",
    "limits",
    "appetite",
    "analysis",
    "backtest",
)
"""Keys of the scenario that decide nothing of what becomes of the main world on a path. A key that
is not here does, so that a new one is safe."""

_COMPUTER = ("source", "jax_version", "platform", "device_kind")


def pairing_of(one: xr.DataTree, other: xr.DataTree) -> Pairing:
    """Return what the paths of two runs share."""
    shared, because = _shared(one, other)
    how = _how(shared, one, other)
    return Pairing(
        how=how,
        shared=shared,
        paths=_common_paths(one, other) if how == "paired" else 0,
        confidence=min(float(tree.attrs["confidence"]) for tree in (one, other)),
        design_effect=max(design_effect(one), design_effect(other)),
        because=because,
    )


def _how(shared: Shared, one: xr.DataTree, other: xr.DataTree) -> How:
    if shared == "nothing":
        return "independent"
    return "paired" if _common_paths(one, other) else "either"


def _common_paths(one: xr.DataTree, other: xr.DataTree) -> int:
    """Return how many paths both have; none where a result does not list them."""
    return min(int(group_of(tree, "paths").sizes.get("path", 0)) for tree in (one, other))


def _shared(one: xr.DataTree, other: xr.DataTree) -> tuple[Shared, tuple[str, ...]]:
    """Return what path i of both has in common, and what keeps it from being more."""
    differing = [_said(name, one, other, key) for name, key in _DRAWS]
    if _assets(one) != _assets(other):
        differing.append("the assets differ")
    because = tuple(said for said in differing if said)
    models = {tree.attrs.get("market_model") for tree in (one, other)}
    drawn = not models <= set(_NO_DRAWS)
    seeds = _same(one, other, "seed")
    if drawn and not seeds:
        return "nothing", because
    keys = _changed_keys(one, other)
    if because and (drawn or because != (_said("seed", one, other, "seed"),)):
        return "seed", because
    if moved := [key for key in keys if _under(key, _PRICES)]:
        return "random numbers", (f"{moved[0]} differs", *because)
    if decides := [key for key in keys if not _under(key, _HARMLESS)]:
        return "prices", (f"{decides[0]} differs", *because)
    if because or not all(_same(one, other, fact) for fact in _COMPUTER):
        return "prices", because or ("the program, or the machine, is another one",)
    return ("everything", ()) if scenario_of(one) else ("prices", ("no scenario to hold apart",))


def _changed_keys(one: xr.DataTree, other: xr.DataTree) -> list[str]:
    """Return the keys of the scenario whose value, or whose file's content, differs."""
    before, after = scenario_of(one), scenario_of(other)
    files = [
        _contents(content, inputs_of(tree)) for content, tree in ((before, one), (after, other))
    ]
    changed = [key for key in {**files[0], **files[1]} if files[0].get(key) != files[1].get(key)]
    return [*changed, *(change.key for change in scenario_changes(before, after))]


def _contents(
    content: Mapping[str, Any], digests: Mapping[str, str], key: str = ""
) -> dict[str, str]:
    """Return the hash of the file that each key names."""
    found: dict[str, str] = {}
    for name, value in content.items():
        here = f"{key}.{name}" if key else name
        if isinstance(value, Mapping):
            found |= _contents(value, digests, here)
        elif isinstance(value, str) and value in digests:
            found[here] = digests[value]
    return found


def _under(key: str, tables: tuple[str, ...]) -> bool:
    if key in _HARMLESS:
        return key in tables
    return any(key == table or key.startswith((f"{table}.", f"{table}[")) for table in tables)


def _assets(tree: xr.DataTree) -> list[str]:
    found: list[str] = labels(tree, "assets", "asset").tolist()
    return found


def _same(one: xr.DataTree, other: xr.DataTree, key: str) -> bool:
    return bool(one.attrs.get(key) == other.attrs.get(key))


def _said(name: str, one: xr.DataTree, other: xr.DataTree, key: str) -> str:
    if _same(one, other, key):
        return ""
    pair = [str(tree.attrs.get(key, "not known")) for tree in (one, other)]
    return f"the {name} is {pair[0]} in one and {pair[1]} in the other"

"""The declared limits of two runs, one beside the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from stress.compare.facts import bounded, group_of, labels, numbers
from stress.result.comparison import Bounded, Difference, LimitChange, Unit

__all__ = ["limit_changes"]

_ABOUT = {
    "max_expected_shortfall": "total_loss_expected_shortfall",
    "max_uncovered_loss": "uncovered_loss_value_at_risk",
    "max_fund_exhaustion_probability": "fund_exhaustion_probability",
    "max_fund_draw": "fund_draw_value_at_risk",
}
"""The number of the book, at its highest level, that a limit is about."""

_OF_GROUP = "max_group_any_liquidation_probability."


@dataclass(frozen=True)
class _Judged:
    value: Bounded
    threshold: float
    verdict: str


_NOT_DECLARED = _Judged(Bounded(), float("nan"), "not declared")


def limit_changes(
    one: xr.DataTree,
    other: xr.DataTree,
    differences: Sequence[Difference],
    groups: Sequence[Difference],
) -> tuple[LimitChange, ...]:
    """Return every limit that one of the runs declares, in the order of the later one.

    Parameters
    ----------
    differences, groups
        Of the book and of its groups, among which those that limits are about.
    """
    found = [_judged(tree) for tree in (one, other)]
    return tuple(
        _change(name, found[0], found[1], differences, groups)
        for name in dict.fromkeys([*found[1], *found[0]])
    )


def _judged(tree: xr.DataTree) -> dict[str, _Judged]:
    data = group_of(tree, "limits")
    if "value" not in data:
        return {}
    value, bounds = numbers(data, "value"), numbers(data, "value_interval")
    threshold = numbers(data, "threshold")
    return {
        str(name): _Judged(
            bounded(value[i], bounds[i]),
            float(threshold[i]),
            _verdict(bool(data["breached"].values[i]), bool(data["resolved"].values[i])),
        )
        for i, name in enumerate(labels(tree, "limits", "limit"))
    }


def _verdict(breached: bool, resolved: bool) -> str:
    if breached:
        return "breached"
    return "kept" if resolved else "not resolved"


def _change(
    name: str,
    one: dict[str, _Judged],
    other: dict[str, _Judged],
    differences: Sequence[Difference],
    groups: Sequence[Difference],
) -> LimitChange:
    before, after = (judged.get(name, _NOT_DECLARED) for judged in (one, other))
    about = _about(name, differences, groups)
    return LimitChange(
        name=name,
        unit=_unit(name),
        one=before.value,
        other=after.value,
        threshold_one=before.threshold,
        threshold_other=after.threshold,
        verdict_one=before.verdict,
        verdict_other=after.verdict,
        change=about.change if about else Bounded(),
        verdict=about.verdict if about else None,
    )


def _about(
    name: str, differences: Sequence[Difference], groups: Sequence[Difference]
) -> Difference | None:
    """Return the difference that a limit is about; None of a maximum over accounts or assets."""
    if name.startswith(_OF_GROUP):
        group = name.removeprefix(_OF_GROUP)
        found = [
            of for of in groups if (of.name, of.label) == ("any_liquidation_probability", group)
        ]
    else:
        found = [of for of in differences if of.name == _ABOUT.get(name)]
    # levels ascend
    return found[-1] if found else None


def _unit(name: str) -> Unit:
    if "probability" in name:
        return "probability"
    return "number" if "number" in name else "money"

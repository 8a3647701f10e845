"""The printed tables of a back-test: verdicts a model, and the closing table model by asset."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from stress.backtest.judge import PASSES

__all__ = ["closing_table", "verdict_table"]


def verdict_table(tree: xr.DataTree) -> str:
    """Return one line a model: how many of its tests fail, and which joint tails."""
    data, attributes = tree["verdicts"].to_dataset(), tree.attrs
    head = (
        f"{attributes['title']}: {attributes['windows']:,} windows of {attributes['window']}, "
        f"{attributes['first'][:10]} to {attributes['last'][:10]}, {attributes['refits']} "
        f"estimates, {attributes['duration_seconds']:.0f} s"
    )
    columns = ("VaR fails", "clustered", "ES fails", "lower tail", "upper tail", "liquidations")
    width = max(len("model"), *(len(str(name)) for name in data["model"].values)) + 2
    lines = [head, f"{'model':<{width}}" + "".join(f"{name:>14}" for name in columns) + "   Brier"]
    for name in data["model"].values:
        row = data.sel(model=name)
        tests, cells = int(row["coverage_tests"]), int(row["liquidation_tests"])
        words = (
            f"{int(row['coverage_failures'])} of {tests}",
            f"{int(row['independence_failures'])} of {tests}",
            f"{int(row['shortfall_failures'])} of {tests}",
            str(row["lower_tail"].values),
            str(row["upper_tail"].values),
            f"{int(row['liquidation_failures'])} of {cells}",
        )
        line = f"{name:<{width}}" + "".join(f"{word:>14}" for word in words)
        lines.append(f"{line}  {float(row['brier']):.4f}")
    lines.append(_joint_line(tree))
    return "\n".join(lines)


def closing_table(tree: xr.DataTree, models: Sequence[str] | None = None) -> str:
    """Return the table model by asset, side and level; of some models, all if not given.

    Exceedances over their expected number, Kupiec's p-value, Christoffersen's, and the verdicts
    after Holm's correction; the joint tail's verdict stands with the model.
    """
    data, joint = tree["coverage"].to_dataset(), tree["joint_tails"].to_dataset()
    width = max(15, *(len(str(name)) + 2 for name in data["series"].values))
    lines = []
    for name in data["model"].values:
        if models is not None and name not in models:
            continue
        tails = ", ".join(
            f"{tail} tail {float(joint['forecast'].sel(model=name, tail=tail)):.2f} "
            f"{joint['verdict'].sel(model=name, tail=tail).values}"
            for tail in joint["tail"].values
        )
        lines += [f"{name}: co-exceedance {tails}", _heading(width)]
        lines += [
            _line(data.sel(model=name, level=level, side=side, series=series), width)
            for level in data["level"].values
            for side in data["side"].values
            for series in data["series"].values
        ]
        lines.append("")
    return "\n".join(lines[:-1]) if lines else "the scenario's own model was not tested"


def _joint_line(tree: xr.DataTree) -> str:
    data = tree["joint_tails"].to_dataset()
    parts = []
    for tail in data["tail"].values:
        row = data.sel(tail=tail)
        low, high = (float(bound) for bound in row["realised_interval"].values)
        parts.append(f"{tail} {float(row['realised']):.2f} ({low:.2f} to {high:.2f})")
    return "realised co-exceedance at 5 %: " + ", ".join(parts)


def _heading(width: int) -> str:
    return (
        f"  {'asset':<{width}}{'side':<7}{'level':>6}{'exceeded':>10}{'expected':>10}"
        f"{'Kupiec p':>10}{'exact p':>9}{'Christ. p':>11}{'Z2 p':>8}  verdict"
    )


def _line(row: xr.Dataset, width: int) -> str:
    p_values = [
        float(row[name])
        for name in (
            "kupiec_p_value",
            "exact_p_value",
            "independence_simulated_p_value",
            "shortfall_p_value",
        )
    ]
    words = [
        str(row["coverage_verdict"].values),
        str(row["independence_verdict"].values),
        f"shortfall {row['shortfall_verdict'].values}",
    ]
    wrong = [word for word in words if not word.endswith(PASSES)]
    kupiec, exact, christoffersen, shortfall = p_values
    return (
        f"  {row['series'].values!s:<{width}}{row['side'].values!s:<7}{float(row['level']):>6.3g}"
        f"{int(row['exceedances']):>10}{float(row['expected']):>10.1f}{kupiec:>10.3f}{exact:>9.3f}"
        f"{christoffersen:>11.3f}{shortfall:>8.3f}  {', '.join(wrong) or PASSES}"
    )

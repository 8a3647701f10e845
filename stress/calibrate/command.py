"""``margin-stress calibrate``: a price history becomes a calibration file and a short table."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

import stress
from stress.calibrate.file import calibration_text, iso, stale, write_calibration
from stress.calibrate.gbm import Calibration, calibrate, say
from stress.data.prices import read_prices
from stress.data.timestamps import parse_moment
from stress.errors import InputError

__all__ = ["calibrate_command"]

_TWO_SIDED_95 = 1.959963984540054
"""The 0.975 quantile of the standard normal."""


def calibrate_command(
    prices: str | PathLike[str],
    output: str | PathLike[str],
    *,
    assets: list[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    as_json: bool = False,
) -> int:
    """Calibrate, write the file, print what was found and return the exit code.

    Parameters
    ----------
    prices
        Tidy price file, CSV or Parquet.
    output
        The calibration file to write.
    assets
        Which assets, in which order; None takes all of the file.
    since, until
        First and last moment to use, ISO date or date-time in UTC unless a zone is given; both are
        included, a date alone as ``until`` with its whole day.
    as_json
        Print JSON instead of the table.

    Raises
    ------
    InputError
        The history, an option or the output cannot be used; nothing is written then.
    """
    if Path(prices).resolve() == Path(output).resolve():
        raise InputError(
            "the calibration would overwrite the price file",
            file=output,
            key="--output",
            remedy="name another file",
        )
    first = _moment(since, "--since") if since is not None else None
    last = _moment(until, "--until", whole_day=True) if until is not None else None
    if first is not None and last is not None and first > last:
        raise InputError(
            f"--since {since} is after --until {until}", key="--since", remedy="exchange the two"
        )
    calibration = calibrate(read_prices(prices).choose(assets, first, last))
    path = write_calibration(calibration_text(calibration, stress.__version__), output)
    if as_json:
        print(json.dumps(_summary(calibration, path), indent=2))
    else:
        print(_table(calibration, path))
    return 0


def _moment(text: str, option: str, *, whole_day: bool = False) -> np.datetime64:
    try:
        moment, _ = parse_moment(text)
    except ValueError:
        raise InputError(
            f'"{text}" is not a timestamp',
            key=option,
            remedy="write 2024-01-31 or 2024-01-31T08:00:00Z",
        ) from None
    if whole_day and len(text.strip()) == len("2024-01-31") and "-" in text:
        moment = moment + np.timedelta64(1, "D") - np.timedelta64(1, "ms")
    return moment


def _summary(calibration: Calibration, path: Path) -> dict[str, Any]:
    low, high = _interval(calibration)
    history = calibration.history
    return {
        "file": str(path),
        "as_of": iso(calibration.last.max()),
        "bar_interval": say(calibration.bar),
        "assets": {
            asset: {
                "price": float(calibration.price[row]),
                "volatility": float(calibration.volatility[row]),
                "volatility_interval": [float(low[row]), float(high[row])],
                "observations": int(calibration.observations[row]),
                "gaps": int(calibration.gaps[row]),
                "duplicates_dropped": int(history.duplicates[row]),
                "first": iso(calibration.first[row]),
                "last": iso(calibration.last[row]),
            }
            for row, asset in enumerate(calibration.assets)
        },
        "common_observations": calibration.common_observations,
        "shrinkage": calibration.shrinkage,
        "least_eigenvalue": calibration.least_eigenvalue,
        "rows_out_of_order": history.out_of_order,
        "notes": stale(calibration),
    }


def _interval(calibration: Calibration) -> tuple[Any, Any]:
    """Two-sided 95 percent interval of each volatility, normal in its logarithm and so positive."""
    width = np.exp(_TWO_SIDED_95 * calibration.standard_error / calibration.volatility)
    return calibration.volatility / width, calibration.volatility * width


def _table(calibration: Calibration, path: Path) -> str:
    low, high = _interval(calibration)
    width = max(len("asset"), *map(len, calibration.assets))
    lines = [f"{'asset':<{width}}  volatility  95 % interval   observations  gaps  first"]
    for row, asset in enumerate(calibration.assets):
        lines.append(
            f"{asset:<{width}}  {calibration.volatility[row]:>10.4f}"
            f"  {low[row]:.4f}-{high[row]:.4f}  {calibration.observations[row]:>12,}"
            f"  {calibration.gaps[row]:>4,}  {str(calibration.first[row])[:10]}"
        )
    history = calibration.history
    lines.append(
        f"bars of {say(calibration.bar)} until {iso(calibration.last.max())};"
        f" correlation from {calibration.common_observations:,} common bars,"
        f" shrinkage {calibration.shrinkage:.4f},"
        f" least eigenvalue {calibration.least_eigenvalue:.4f}"
    )
    if dropped := int(history.duplicates.sum()):
        lines.append(f"{dropped:,} duplicate rows dropped")
    if history.out_of_order:
        lines.append(f"{history.out_of_order:,} rows out of order, sorted")
    lines += [f"note: {note}" for note in stale(calibration)]
    return "\n".join([*lines, str(path)])

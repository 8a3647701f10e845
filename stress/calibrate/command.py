"""``margin-stress calibrate``: a price history becomes a calibration file and a short table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

import stress
from stress.calibrate.file import calibration_text, iso, left_out, stale, write_calibration
from stress.calibrate.fit import MODELS, Fitted, fit
from stress.calibrate.gbm import Calibration, say
from stress.data.prices import PriceHistory, read_prices
from stress.data.tables import suggestion
from stress.data.timestamps import parse_moment
from stress.errors import InputError
from stress.types import ModelName

__all__ = ["calibrate_command"]

_TWO_SIDED_95 = 1.959963984540054
"""The 0.975 quantile of the standard normal."""

_LISTED = 5
"""How many wicks the table names."""


def calibrate_command(
    prices: str | PathLike[str],
    output: str | PathLike[str],
    *,
    assets: list[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    models: Sequence[str] | None = None,
    remove_wicks: bool = True,
    page: Callable[[Fitted, PriceHistory, Path], Path] | None = None,
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
    models
        Which models to estimate; None takes all that the history is long enough for.
    remove_wicks
        Whether single-bar wicks are taken out first.
    page
        What writes the page that holds the models against the history, to the path of the file with
        the ending ``.html``; no page without it. It is made further up, where models are simulated.
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
    if page is not None and Path(output).suffix == ".html":
        raise InputError(
            "the page would overwrite the calibration",
            file=output,
            key="--output",
            remedy="name a file that ends in .toml, or add --no-page",
        )
    first = _moment(since, "--since") if since is not None else None
    last = _moment(until, "--until", whole_day=True) if until is not None else None
    if first is not None and last is not None and first > last:
        raise InputError(
            f"--since {since} is after --until {until}", key="--since", remedy="exchange the two"
        )
    chosen = _models(models)
    history = read_prices(prices).choose(assets, first, last)
    fitted = fit(history, chosen, remove_wicks=remove_wicks)
    path = write_calibration(calibration_text(fitted, stress.__version__), output)
    drawn = page(fitted, history, path.with_suffix(".html")) if page is not None else None
    if as_json:
        summary = _summary(fitted, path)
        print(json.dumps({**summary, "page": str(drawn)} if drawn else summary, indent=2))
    else:
        print("\n".join([_table(fitted, path), *([str(drawn)] if drawn else [])]))
    return 0


def _models(names: Sequence[str] | None) -> list[ModelName] | None:
    if names is None:
        return None
    for name in names:
        if name not in MODELS:
            raise InputError(
                f'"{name}" is no model that is estimated',
                key="--models",
                remedy=suggestion(name, MODELS),
            )
    return [model for model in MODELS if model in names]


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


def _summary(fitted: Fitted, path: Path) -> dict[str, Any]:
    calibration, cleaning = fitted.base, fitted.cleaning
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
        "wicks_removed": int(cleaning.counts("close").sum()),
        "wicks_clipped": int(len(cleaning.wicks) - cleaning.counts("close").sum()),
        "models": fitted.fits,
        "notes": [*stale(calibration), *left_out(fitted)],
    }


def _interval(calibration: Calibration) -> tuple[Any, Any]:
    """Two-sided 95 percent interval of each volatility, normal in its logarithm and so positive."""
    width = np.exp(_TWO_SIDED_95 * calibration.standard_error / calibration.volatility)
    return calibration.volatility / width, calibration.volatility * width


def _table(fitted: Fitted, path: Path) -> str:
    calibration, cleaning = fitted.base, fitted.cleaning
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
    for wick in cleaning.wicks[:_LISTED]:
        done = "left out" if wick.column == "close" else f"clipped to {wick.kept:g}"
        lines.append(
            f"wick: {wick.asset} {wick.column} {wick.found:g} at {iso(wick.timestamp)}, {done}"
        )
    if len(cleaning.wicks) > _LISTED:
        lines.append(f"and {len(cleaning.wicks) - _LISTED:,} more wicks, all named in the file")
    lines += _fits(fitted)
    notes = [*stale(calibration), *left_out(fitted)]
    for model, described in fitted.fits.items():
        notes += [f"{model}: {note}" for note in described["notes"]]
    lines += [f"note: {note}" for note in notes]
    return "\n".join([*lines, str(path)])


def _fits(fitted: Fitted) -> list[str]:
    """Return the lines on how well each model fits."""
    width = max(map(len, ("model", *fitted.fits)))
    lines = [f"{'model':<{width}}  {'log likelihood':>14}  parameters  {'AIC':>11}  {'BIC':>11}"]
    for model, described in fitted.fits.items():
        if "aic" not in described:
            lines.append(f"{model:<{width}}  {'none':>14}")
            continue
        lines.append(
            f"{model:<{width}}  {described['log_likelihood']:>14,.1f}"
            f"  {described['parameters']:>10,}  {described['aic']:>11,.1f}"
            f"  {described['bic']:>11,.1f}"
        )
    return lines

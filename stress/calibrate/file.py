"""The calibration file: TOML with the estimates and where they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from stress.calibrate.fit import Fitted
from stress.calibrate.gbm import Calibration, say
from stress.data.cleaning import Wick
from stress.data.files import atomically
from stress.errors import InputError

__all__ = ["SCHEMA_VERSION", "calibration_text", "iso", "left_out", "stale", "write_calibration"]

SCHEMA_VERSION = 1

_METHOD = {
    "volatility": "sample standard deviation of log returns across exactly one bar, mean removed,"
    " from each asset's own whole history, annualised over 365 days",
    "volatility_standard_error": "s sqrt((kurtosis - 1) / (4 n)): independent returns of any law"
    " with a fourth moment; returns that cluster in calm and wild spells make it larger",
    "correlation": "Ledoit-Wolf (2004) shrinkage towards the identity of the standardised returns"
    " of the bars on which every asset has one, unit diagonal",
    "price": "last close of each asset",
    "adv": "mean of volume times close over the last 30 days, USD a day; volume is taken to be in"
    " units of the asset",
    "wicks": "closes of more than 10 local standard deviations that the next bar takes back are"
    " left out; highs and lows of more than 12 that no neighbour and no other asset confirms are"
    " clipped",
    "effective_observations": "common bars over 1 + a third of the mean excess kurtosis: bars of"
    " normal returns that say as much about a correlation",
    "models": "maximum likelihood from the common bars, garch from each asset's own history; fits"
    " give the log-likelihood at each model's maximum, and as it is simulated with the shared"
    " volatility and correlation; standard errors from the observed information",
}

_NUMBERS = re.compile(r"\[\s*((?:[-+\d.e]+,\s*)+)\]")
"""An array of numbers that is spread over lines."""


def calibration_text(fitted: Fitted, version: str) -> str:
    """Return the calibration file as TOML text.

    Parameters
    ----------
    version
        Of this package, for the provenance.
    """
    base = fitted.base
    traded = {
        asset: float(value)
        for asset, value in zip(fitted.assets, fitted.adv, strict=True)
        if value > 0
    }
    whole = {
        "schema_version": SCHEMA_VERSION,
        "as_of": iso(base.last.max()),
        "assets": list(base.assets),
        "correlation": base.correlation.tolist(),
        "price": _by_asset(base, base.price),
        "volatility": _by_asset(base, base.volatility),
        "volatility_standard_error": _by_asset(base, base.standard_error),
        "adv": traded,
        "models": fitted.models,
        "standard_errors": fitted.standard_errors,
        "fits": fitted.fits,
        "calibration": _provenance(fitted, version),
    }
    text = tomli_w.dumps({key: value for key, value in whole.items() if value != {}})
    # tomli_w puts every number of a nested array on a line of its own: a row of a matrix is one
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split()).removesuffix(',')}]", text)


def _provenance(fitted: Fitted, version: str) -> dict[str, Any]:
    calibration, cleaning = fitted.base, fitted.cleaning
    history = calibration.history
    return {
        "package": f"margin-stress {version}",
        "source": str(history.source),
        "sha256": history.sha256,
        "bar_interval": say(calibration.bar),
        "first_timestamp": iso(calibration.first.min()),
        "last_timestamp": iso(calibration.last.max()),
        "common_observations": calibration.common_observations,
        "shrinkage": calibration.shrinkage,
        "least_eigenvalue": calibration.least_eigenvalue,
        "rows_out_of_order": history.out_of_order,
        "effective_observations": fitted.effective_observations,
        "notes": [*stale(calibration), *left_out(fitted)],
        "observations": _by_asset(calibration, calibration.observations),
        "first": _by_asset(calibration, map(iso, calibration.first)),
        "last": _by_asset(calibration, map(iso, calibration.last)),
        "gaps": _by_asset(calibration, calibration.gaps),
        "duplicates_dropped": _by_asset(calibration, history.duplicates),
        "wicks_removed": _by_asset(calibration, cleaning.counts("close")),
        "wicks_clipped": _by_asset(calibration, cleaning.counts("high") + cleaning.counts("low")),
        "wicks": [_described(wick) for wick in cleaning.wicks],
        "method": _METHOD,
    }


def _described(wick: Wick) -> dict[str, Any]:
    told = {
        "asset": wick.asset,
        "timestamp": iso(wick.timestamp),
        "column": wick.column,
        "found": wick.found,
    }
    return told if wick.column == "close" else {**told, "kept": wick.kept}


def left_out(fitted: Fitted) -> list[str]:
    """Return a sentence for each model that was not estimated."""
    return [f"no {model}: {reason}" for model, reason in fitted.skipped.items()]


def stale(calibration: Calibration) -> list[str]:
    """Return a sentence for each asset whose history ends before the last timestamp of all."""
    end = calibration.last.max()
    return [
        f"{asset} ends at {iso(last)}, {(end - last) / np.timedelta64(1, 'D'):.4g} days before the"
        " last timestamp: its price is that old"
        for asset, last in zip(calibration.assets, calibration.last, strict=True)
        if last < end
    ]


def iso(moment: np.datetime64) -> str:
    """Return a UTC moment as ``2024-12-31T00:00:00Z``."""
    text = str(moment.astype("datetime64[ms]"))
    return text.removesuffix(".000") + "Z"


def _by_asset(calibration: Calibration, values: Iterable[Any]) -> dict[str, Any]:
    # NumPy scalars are no TOML values
    return {
        asset: value.item() if isinstance(value, np.generic) else value
        for asset, value in zip(calibration.assets, values, strict=True)
    }


def write_calibration(text: str, output: str | PathLike[str]) -> Path:
    """Write the text to ``output`` whole or not at all, and return its absolute path.

    Raises
    ------
    InputError
        The folder does not exist or cannot be written to.
    """
    path = Path(output).absolute()
    try:
        atomically(path, lambda draft: draft.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"the calibration cannot be written: {error.strerror}",
            file=path,
            remedy="name a file in an existing folder that may be written to with --output",
        ) from None
    return path

"""The calibration file: TOML with the estimates and where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from stress.calibrate.gbm import Calibration, say
from stress.data.files import atomically
from stress.errors import InputError

__all__ = ["SCHEMA_VERSION", "calibration_text", "iso", "stale", "write_calibration"]

SCHEMA_VERSION = 1

_METHOD = {
    "volatility": "sample standard deviation of log returns across exactly one bar, mean removed,"
    " from each asset's own whole history, annualised over 365 days",
    "volatility_standard_error": "s sqrt((kurtosis - 1) / (4 n)): independent returns of any law"
    " with a fourth moment; returns that cluster in calm and wild spells make it larger",
    "correlation": "Ledoit-Wolf (2004) shrinkage towards the identity of the standardised returns"
    " of the bars on which every asset has one, unit diagonal",
    "price": "last close of each asset",
}


def calibration_text(calibration: Calibration, version: str) -> str:
    """Return the calibration file as TOML text.

    Parameters
    ----------
    version
        Of this package, for the provenance.
    """
    head = {
        "schema_version": SCHEMA_VERSION,
        "as_of": iso(calibration.last.max()),
        "assets": list(calibration.assets),
    }
    tables = {
        "price": _by_asset(calibration, calibration.price),
        "volatility": _by_asset(calibration, calibration.volatility),
        "volatility_standard_error": _by_asset(calibration, calibration.standard_error),
        "calibration": _provenance(calibration, version),
    }
    # tomli_w puts every number of a nested array on a line of its own: a matrix is written here
    rows = [
        f"    [{', '.join(repr(float(value)) for value in row)}],"
        for row in calibration.correlation
    ]
    matrix = "\n".join(["correlation = [", *rows, "]"])
    return f"{tomli_w.dumps(head)}{matrix}\n\n{tomli_w.dumps(tables)}"


def _provenance(calibration: Calibration, version: str) -> dict[str, Any]:
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
        "notes": stale(calibration),
        "observations": _by_asset(calibration, calibration.observations),
        "first": _by_asset(calibration, map(iso, calibration.first)),
        "last": _by_asset(calibration, map(iso, calibration.last)),
        "gaps": _by_asset(calibration, calibration.gaps),
        "duplicates_dropped": _by_asset(calibration, history.duplicates),
        "method": _METHOD,
    }


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

"""Given price paths from a netCDF file or a Zarr directory, read by blocks of paths.

The layout is that of ``stress.simulate_prices(...).to_netcdf(...)``: a variable ``price`` in USD
with the dimensions path, time and asset, time 0 included, assets labelled. Only what is asked for
is in memory: the file may hold more paths than a machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np

from stress.data.tables import suggestion
from stress.errors import InputError, MissingInputError, ending
from stress.types import Floats, Integers

__all__ = ["GivenFile", "open_given"]

_DIMENSIONS = ("path", "time", "asset")

_LAYOUT = "write it as stress.simulate_prices(...).to_netcdf(...) does"

_DAYS = {
    "days": 1.0,
    "hours": 1 / 24,
    "minutes": 1 / 1440,
    "seconds": 1 / 86_400,
    "milliseconds": 1 / 86_400e3,
    "microseconds": 1 / 86_400e6,
    "nanoseconds": 1 / 86_400e9,
}
"""Units of time in days. Dates and durations of xarray are stored as numbers of one of these, too:
dates with a day to count from behind it, which does not matter here."""

_SHORT = {
    "d": "days",
    "h": "hours",
    "hr": "hours",
    "min": "minutes",
    "s": "seconds",
    "sec": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}

_START = 1e-6
"""Relative difference of prices at time 0 that is taken for rounding: float32 rounds by 6e-8."""

_UNEVEN = 1e-3
"""Share of a step by which a time may be off: days in float32 round a 5-minute step of a month by
3e-4, and over hundreds of steps another step adds up to more."""


@dataclass(frozen=True)
class GivenFile:
    """An open file of price paths that fits a scenario.

    Attributes
    ----------
    file
        Where it is.
    assets, price
        The scenario's assets, and (assets,) their prices at the start in USD.
    paths
        How many of its paths are used, from the first.
    prices
        The variable (path, time, asset) with the scenario's times and assets in its order, not yet
        read: an ``xarray.DataArray``.
    """

    file: Path
    assets: tuple[str, ...]
    price: Floats
    paths: int
    prices: Any

    def read(self, numbers: Integers) -> Floats:
        """Return the (paths, times, assets) prices in USD of the paths with some numbers.

        A number beyond the last path that is used reads as that path.

        Raises
        ------
        InputError
            The file cannot be read there; a price is not positive and finite, or differs at time 0
            from the scenario's.
        """
        wanted = np.minimum(np.asarray(numbers, np.int64), self.paths - 1)
        rows, place = np.unique(wanted, return_inverse=True)
        prices = self._rows(rows, slice(None))
        self._check(rows, prices)
        return prices[place]

    def _rows(self, rows: Integers, times: slice) -> Floats:
        try:
            block = self.prices.isel(path=_run(rows), time=times).transpose(*_DIMENSIONS)
            return np.asarray(block.values, np.float64)
        except (OSError, RuntimeError, ValueError) as error:
            raise self._error(
                f"paths {rows[0]} to {rows[-1]} cannot be read: {error}",
                "the file may be cut off: write it again",
            ) from None

    def _check_start(self) -> None:
        """Refuse another start of the first path, which needs no more than that to be read."""
        first = np.zeros(1, np.int64)
        self._check(first, self._rows(first, slice(1)))

    def _check(self, rows: Integers, prices: Floats) -> None:
        # what is not a number fails the comparison as well
        for path, step, asset in np.argwhere(~((prices > 0) & (prices < np.inf)))[:1]:
            raise self._error(
                f"the price of {self.assets[asset]} on path {rows[path]} at step {step} must be"
                f" positive and finite, got {prices[path, step, asset]:g}",
                "mend the prices of that path",
            )
        off = np.abs(prices[:, 0] / self.price - 1) > _START
        for path, asset in np.argwhere(off)[:1]:
            name, found = self.assets[asset], prices[path, 0, asset]
            raise self._error(
                f"{name} starts at {found:.10g} on path {rows[path]}, in the scenario at"
                f" {self.price[asset]:.10g}",
                f"let all paths start at one price, and market.price.{name} be that price",
            )

    def _error(self, rule: str, remedy: str) -> InputError:
        return InputError(rule, file=self.file, key="variable price", remedy=remedy)


def open_given(
    path: str | PathLike[str],
    *,
    assets: Sequence[str],
    price: Floats,
    steps: int,
    step_days: float,
    paths: int,
) -> GivenFile:
    """Open a netCDF file or Zarr directory of price paths and check it against a scenario.

    It is closed when what is returned is no longer in use, or at once if it is refused. Prices are
    checked as they are read, here only those of the first path at time 0.

    Parameters
    ----------
    path
        netCDF 4 file, or Zarr directory.
    assets, price
        The scenario's assets, and (assets,) their prices at the start in USD.
    steps, step_days
        Number of steps, and the length of one in days.
    paths
        How many paths are needed.

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        It cannot be read; it has no variable ``price`` of path, time and asset; an asset is absent
        or unlabelled; paths are too few; its times are not the scenario's; the first path starts at
        another price.
    """
    file = Path(path)
    dataset = _open(file)
    try:
        prices = _price_variable(file, dataset)
        columns = _columns(file, prices, assets)
        _check_paths(file, prices.sizes["path"], paths)
        _check_times(file, prices, steps, step_days)
        given = GivenFile(
            file=file,
            assets=tuple(assets),
            price=np.asarray(price, np.float64),
            paths=paths,
            prices=prices.isel(time=slice(steps + 1), asset=_run(columns)),
        )
        given._check_start()
    except InputError:
        dataset.close()
        raise
    # a file that is open cannot be written again, and reference cycles inside xarray keep it so
    finalize(given, dataset.close)
    return given


def _open(file: Path) -> Any:
    """Return the file's ``xarray.Dataset``, nothing but its coordinates read."""
    if not file.exists():
        remedy = "check the path, which is relative to the scenario"
        raise MissingInputError("the file does not exist", file=file, remedy=remedy)
    if file.is_dir() and find_spec("zarr") is None:
        raise InputError(
            "a Zarr directory needs the package zarr, which is not installed",
            file=file,
            key="market.file",
            remedy='run pip install "margin-stress[zarr]", or give a netCDF file',
        )
    # imported here, so that validate and the margin display start without it
    import xarray as xr

    kind, engine = ("Zarr", "zarr") if file.is_dir() else ("netCDF 4", "h5netcdf")
    try:
        # times stay the numbers that they are stored as: xarray's decoding depends on its version
        return xr.open_dataset(
            file, engine=engine, decode_times=False, decode_timedelta=False, cache=False
        )
    # each library underneath has errors of its own for what is not its format
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise InputError(
            f"cannot be read as {kind}: {reason}", file=file, key="market.file", remedy=_LAYOUT
        ) from None


def _price_variable(file: Path, dataset: Any) -> Any:
    if "price" not in dataset.data_vars:
        known = [str(name) for name in dataset.data_vars]
        found = "it has " + ending(known) if known else "it has none"
        rule = f'there is no variable "price", {found}'
        raise InputError(rule, file=file, key="market.file", remedy=_LAYOUT)
    prices = dataset["price"]
    if sorted(map(str, prices.dims)) != sorted(_DIMENSIONS):
        raise InputError(
            f"the dimensions must be path, time and asset, got {', '.join(map(str, prices.dims))}",
            file=file,
            key="variable price",
            remedy="rename its dimensions",
        )
    if prices.dtype.kind not in "fiu":
        rule = f"must hold numbers, got {prices.dtype}"
        raise InputError(rule, file=file, key="variable price", remedy=_LAYOUT)
    return prices


def _columns(file: Path, prices: Any, assets: Sequence[str]) -> Integers:
    """Return where the assets stand along the dimension asset."""
    key = "coordinate asset"
    if "asset" not in prices.coords:
        rule = "the assets have no labels"
        remedy = f"give it, in the order of the file, as {', '.join(assets)}"
        raise InputError(rule, file=file, key=key, remedy=remedy)
    labels = [
        label.decode(errors="replace") if isinstance(label, bytes) else str(label)
        for label in prices["asset"].values.tolist()
    ]
    for asset in assets:
        if labels.count(asset) != 1:
            absent = asset not in labels
            rule = f'asset "{asset}" is {"missing" if absent else "there twice"}'
            remedy = suggestion(asset, labels) if absent else "keep one of them"
            raise InputError(rule, file=file, key=key, remedy=remedy)
    return np.array([labels.index(asset) for asset in assets], np.int64)


def _check_paths(file: Path, found: int, needed: int) -> None:
    if found < needed:
        way_out = f"run with --paths {found}, or " if found else ""
        raise InputError(
            f"simulation.paths is {needed}, the file holds {found}",
            file=file,
            key="dimension path",
            remedy=f"{way_out}give more paths",
        )


def _check_times(file: Path, prices: Any, steps: int, step_days: float) -> None:
    """Refuse times that do not go on by the scenario's step, or not to its horizon."""
    key = "coordinate time"
    days = _days(file, prices)[: steps + 1]
    steps_since = (days - days[:1]) / step_days
    # what is not a number fails the comparison as well
    wrong = np.flatnonzero(~(np.abs(steps_since - np.arange(len(days))) <= _UNEVEN))
    if wrong.size:
        at = int(wrong[0])
        rule = (
            f"the times must be the scenario's step of {_human(step_days)} apart: number {at} is"
            f" {_human(days[at] - days[0])} after the first, not {_human(at * step_days)}"
        )
        remedy = 'correct simulation.step or the times; their attribute "units" says days, hours, '
        raise InputError(rule, file=file, key=key, remedy=remedy + "minutes or seconds")
    if len(days) <= steps:
        way_out = "shorten simulation.horizon, or " if len(days) > 1 else ""
        raise InputError(
            f"a horizon of {steps} steps needs {steps + 1} times, the first being time 0, and the"
            f" file holds {len(days)}",
            file=file,
            key=key,
            remedy=f"{way_out}give longer paths",
        )


def _days(file: Path, prices: Any) -> Floats:
    """Return the (times,) times in days, from anywhere."""
    key = "coordinate time"
    if "time" not in prices.coords:
        rule = "the times have no values"
        raise InputError(rule, file=file, key=key, remedy="give them in days, from 0")
    times = prices["time"]
    if times.dtype.kind not in "fiu":
        rule = f"must hold numbers, got {times.dtype}"
        raise InputError(rule, file=file, key=key, remedy="give them in days, from 0")
    stated = str(times.attrs.get("units", "days"))
    unit = stated.split(" since ")[0].strip().lower()
    unit = _SHORT.get(unit, unit)
    unit = unit if unit in _DAYS else f"{unit}s"
    if unit not in _DAYS:
        remedy = "give days, hours, minutes or seconds"
        raise InputError(f'unknown units "{stated}"', file=file, key=key, remedy=remedy)
    values = np.asarray(times.values)
    # whole numbers stay whole here, so that nanoseconds since 1970 lose no digit
    values = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
    return np.asarray(values - values[:1], np.float64) * _DAYS[unit]


def _human(days: float) -> str:
    """Return a duration in the largest unit of which it is at least one."""
    units = (("d", 1.0), ("h", 24.0), ("min", 1440.0), ("s", 86_400.0))
    unit, count = next((unit for unit in units if abs(days) * unit[1] >= 1), units[-1])
    return f"{days * count:.9g} {unit}"


def _run(rows: Integers) -> slice | Integers:
    """Return neighbours as a slice, which a file reads at once."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and (np.diff(rows) == 1).all():
        return slice(first, last + 1)
    return rows

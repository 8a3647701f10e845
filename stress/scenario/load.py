"""A scenario file, or a dict, into a complete and checked ``Scenario``."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from os.path import abspath, exists, isdir, isfile
from pathlib import Path
from typing import Any

from stress.errors import InputError, MissingInputError
from stress.scenario.appetite import with_limits_of_appetite
from stress.scenario.book_folder import moment_beside, with_book
from stress.scenario.checks import (
    check_calibration,
    check_file,
    check_known,
    check_scenario,
)
from stress.scenario.market import complete_market
from stress.scenario.presets import with_preset
from stress.scenario.problems import validated
from stress.scenario.reserved import check_reserved
from stress.scenario.resolve import file_hash, input_files
from stress.scenario.schema import Calibration, Impact, Scenario
from stress.scenario.toml import read_toml
from stress.scenario.windows import with_as_many_paths_as_windows
from stress.types import Mode

__all__ = ["load_calibration", "load_scenario", "read_toml", "with_options"]


def load_scenario(
    source: str | PathLike[str] | Mapping[str, Any],
    *,
    base: str | PathLike[str] | None = None,
    book: str | PathLike[str] | None = None,
    paths: int | None = None,
    seed: int | None = None,
    mode: Mode | None = None,
) -> Scenario:
    """Read a scenario and return it complete: paths absolute, calibration merged, all checked.

    Parameters
    ----------
    source
        A TOML file, or what one would hold as a dict.
    base
        Directory that the paths of a dict are relative to; the current one if not given.
    book
        Folder of a book that is used instead of the scenario's own (``book_folder``).
    paths, seed, mode
        Used instead of what the scenario says; ``mode`` is then dropped from ``book.compare``.

    Raises
    ------
    MissingInputError
        A file that the scenario names is absent.
    InputError
        Anything else that cannot be used, the scenario file itself being absent among it.
    """
    if isinstance(source, Mapping):
        file, raw = None, source
        folder = Path(abspath(base or "."))
    else:
        file = Path(source)
        raw = read_toml(file)
        folder = Path(abspath(file)).parent
    if book is not None:
        raw = with_book(raw, book, folder)
    raw = with_preset(raw, file)
    check_reserved(raw, file)
    raw = with_limits_of_appetite(raw, file)
    scenario = validated(Scenario, raw, file)
    scenario._source = file
    check_known(scenario.market, scenario.venue, file)
    check_file(scenario.market, file)
    scenario = _with_moment(_with_absolute_paths(scenario, folder))
    _check_inputs(scenario, folder)
    scenario = _complete(scenario)
    check_scenario(scenario)
    scenario = with_as_many_paths_as_windows(scenario)
    return with_options(scenario, paths=paths, seed=seed, mode=mode)


def with_options(
    scenario: Scenario,
    *,
    paths: int | None = None,
    seed: int | None = None,
    mode: Mode | None = None,
) -> Scenario:
    """Return a loaded scenario with another number of paths, seed or main world.

    The new main world is dropped from the compared ones.
    """
    simulation = {"paths": paths, "seed": seed}
    changed = {key: value for key, value in simulation.items() if value is not None}
    if not changed and mode is None:
        return scenario
    raw = scenario.model_dump()
    raw["simulation"].update(changed)
    if mode is not None:
        compare = tuple(world for world in scenario.book.compare if world != mode)
        raw["book"].update(mode=mode, compare=compare)
    # no file: the value at fault is the caller's
    other = validated(Scenario, raw, None)
    other._source = scenario.source
    return other if paths is None else with_as_many_paths_as_windows(other)


def _with_absolute_paths(scenario: Scenario, folder: Path) -> Scenario:
    def absolute(path: Path | None) -> Path | None:
        return None if path is None else Path(abspath(folder / path))

    market, book, backtest = scenario.market, scenario.book, scenario.backtest
    files = ("accounts", "positions", "collateral")
    return scenario.model_copy(
        update={
            "market": market.model_copy(
                update={
                    "calibration": absolute(market.calibration),
                    "file": absolute(market.file),
                    "history": absolute(market.history),
                }
            ),
            "book": book.model_copy(update={name: absolute(getattr(book, name)) for name in files}),
            "backtest": backtest
            and backtest.model_copy(update={"history": absolute(backtest.history)}),
        }
    )


def _with_moment(scenario: Scenario) -> Scenario:
    """Return the scenario with the moment that stands beside its book, where it states none."""
    if scenario.book.as_of is not None:
        return scenario
    as_of = moment_beside(scenario.book.accounts)
    return scenario.model_copy(update={"book": scenario.book.model_copy(update={"as_of": as_of})})


def _check_inputs(scenario: Scenario, folder: Path) -> None:
    files = input_files(scenario)
    for key, file in files.items():
        # given prices may be a Zarr directory
        if isfile(file) or (key == "market.file" and isdir(file)):
            continue
        if exists(file):
            raise InputError(
                f"{file} is not a file", file=scenario.source, key=key, remedy="name a file"
            )
        remedy = "check the path, which is relative to the scenario file"
        rule = f"the file {file} does not exist"
        raise MissingInputError(rule, file=scenario.source, key=key, remedy=remedy)
    _check_hashes(scenario, folder, files)


def _check_hashes(scenario: Scenario, folder: Path, files: Mapping[str, Path]) -> None:
    for name, expected in scenario.inputs.items():
        file = Path(abspath(folder / name))
        if file not in files.values():
            raise InputError(
                "the scenario names no such input file",
                file=scenario.source,
                key=f'inputs."{name}"',
                remedy="remove the line",
            )
        if file_hash(file) != expected:
            raise InputError(
                f"{file} has changed since this scenario was resolved",
                file=scenario.source,
                key="inputs",
                remedy="remove the [inputs] table to run on the new file",
            )


def _complete(scenario: Scenario) -> Scenario:
    """Merge calibration and history, and fill in what is zero, or one, by default."""
    file = scenario.market.calibration
    calibration = None if file is None else load_calibration(file)
    market = complete_market(scenario.market, calibration, scenario.source)
    venue: dict[str, Any] = {"haircut": _zero_else(scenario.venue.haircut, market.assets)}
    funding = scenario.venue.funding
    if funding is not None:
        rate = _zero_else(funding.rate, market.assets)
        venue["funding"] = funding.model_copy(update={"rate": rate})
    if calibration is not None and scenario.venue.impact.kind == "square-root":
        venue["impact"] = _with_adv(scenario.venue.impact, calibration, market.assets)
    return scenario.model_copy(
        update={
            "market": market,
            "venue": scenario.venue.model_copy(update=venue),
        }
    )


def _with_adv(impact: Impact, calibration: Calibration, assets: tuple[str, ...]) -> Impact:
    """Return the impact law with the calibration's volume of the assets that it states none of."""
    known = {asset: calibration.adv[asset] for asset in assets if asset in calibration.adv}
    return impact.model_copy(update={"adv": {**known, **impact.adv}})


def load_calibration(file: Path) -> Calibration:
    """Read a calibration file and return it checked.

    Raises
    ------
    InputError
        If it cannot be used.
    """
    calibration = validated(Calibration, read_toml(file), file)
    check_calibration(calibration, file)
    return calibration


def _zero_else(stated: Mapping[str, float], assets: tuple[str, ...]) -> dict[str, float]:
    return {asset: stated.get(asset, 0.0) for asset in assets}

"""Rules between keys, and between the scenario and its book."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike

import numpy as np

from stress.book.book import Book
from stress.data.tables import suggestion
from stress.errors import InputError, closest, ending
from stress.scenario.cascade import check_bridge, funding_steps
from stress.scenario.durations import duration_seconds
from stress.scenario.freshness import check_moments
from stress.scenario.matrices import check_correlation
from stress.scenario.model_checks import check_estimates, check_model, check_model_assets
from stress.scenario.models import MODEL_TABLES
from stress.scenario.overlay_checks import check_collateral, check_overlays
from stress.scenario.problems import shown
from stress.scenario.schema import Calibration, MarginLevel, Market, Scenario, Venue
from stress.types import RESAMPLING

__all__ = [
    "check_book",
    "check_calibration",
    "check_file",
    "check_known",
    "check_scenario",
    "steps",
]

_MOST_STEPS = 10_000_000
"""A century of five-minute steps: more is a slip of the unit."""

_READERS = {"file": "given", "history": "historical"}
_FILES = {"file": "netCDF file of the paths", "history": "CSV or Parquet file of the prices"}

File = str | PathLike[str] | None


def steps(scenario: Scenario) -> int:
    """Return the number of steps of the horizon.

    Raises
    ------
    InputError
        It is not whole, or beyond ten million.
    """
    simulation = scenario.simulation
    horizon, step = duration_seconds(simulation.horizon), duration_seconds(simulation.step)
    count = horizon / step
    if count > _MOST_STEPS:
        raise InputError(
            f"a horizon must have at most {_MOST_STEPS:,} steps, got more",
            file=scenario.source,
            key="simulation.step",
            remedy="lengthen the step or shorten the horizon",
        )
    if count.denominator == 1:
        return int(count)
    whole = max(1, round(count)) * step
    raise InputError(
        f'step "{simulation.step}" must divide horizon "{simulation.horizon}", '
        f"which is {float(count):.6g} steps",
        file=scenario.source,
        key="simulation.step",
        remedy=f"change one of them, for instance to a horizon of {_seconds_text(whole)}",
    )


def _seconds_text(seconds: object) -> str:
    return f'"{float(seconds):.12g}s"'  # type: ignore[arg-type]


def check_file(market: Market, file: File) -> None:
    """Refuse a model without the file that it reads, and a file or table that it does not read."""
    reads = {"file": market.model == "given", "history": market.model in RESAMPLING}
    for key, needed in reads.items():
        stated = getattr(market, key) is not None
        if stated == needed:
            continue
        rule = f'no {key} is read by model "{market.model}"'
        remedy = f'set market.model = "{_READERS[key]}", or remove the key market.{key}'
        if needed:
            rule, remedy = f'is missing, but model is "{market.model}"', f"name the {_FILES[key]}"
        raise InputError(rule, file=file, key=f"market.{key}", remedy=remedy)
    for name in MODEL_TABLES:
        if name != market.model and getattr(market, name.replace("-", "_")) is not None:
            raise InputError(
                f'has no effect with model "{market.model}"',
                file=file,
                key=f"market.{name}",
                remedy=f'set market.model = "{name}", or remove the table',
            )


def check_known(market: Market, venue: Venue, file: File) -> None:
    """Refuse a table that names an asset the market does not have."""
    tables = {
        "market.price": market.price,
        "market.volatility": market.volatility,
        "market.drift": market.drift,
        "venue.haircut": venue.haircut,
        "venue.tiers": [asset for asset in venue.tiers if asset != "default"],
        "venue.impact.adv": venue.impact.adv,
        "venue.impact.depth_1pct": venue.impact.depth_1pct,
        "venue.funding.rate": venue.funding.rate if venue.funding else (),
        "venue.decision.shards": venue.decision.shards,
    }
    for key, names in tables.items():
        _check_names(names, market.assets, file, key)
    check_model_assets(market, file)


def _check_names(names: Iterable[str], assets: Sequence[str], file: File, key: str) -> None:
    for name in names:
        if name not in assets:
            hint = suggestion(name, assets)
            remedy = f"{hint} (or add it to the assets)"
            raise InputError("unknown asset", file=file, key=f"{key}.{name}", remedy=remedy)


def check_calibration(calibration: Calibration, file: File) -> None:
    """Refuse a calibration that names an unknown asset, or whose numbers are none."""
    for key in ("price", "volatility", "drift", "adv"):
        _check_names(getattr(calibration, key), calibration.assets, file, key)
    if calibration.correlation:
        check_correlation(calibration.correlation, calibration.assets, file, "correlation")
    check_estimates(calibration, file)


def check_scenario(scenario: Scenario) -> None:
    """Check a scenario whose calibration is merged.

    Raises
    ------
    InputError
        The horizon is not a whole number of steps, a price, volatility or the correlation is
        missing, the correlation is none, a world is compared with itself, a liquidation would come
        before its margin call, rules of the venue do not go together, or an age is limited that
        nothing tells.
    """
    steps(scenario)
    market = scenario.market
    for key in ("price", "volatility"):
        _check_complete(scenario, key, getattr(market, key))
    if not market.correlation:
        raise InputError(
            "is missing",
            file=scenario.source,
            key="market.correlation",
            remedy="give the correlation of all assets, or a market.calibration that has them all",
        )
    check_correlation(market.correlation, market.assets, scenario.source, "market.correlation")
    check_model(scenario)
    _check_worlds(scenario)
    _check_warning(scenario)
    _check_amount(scenario)
    _check_decision(scenario)
    funding_steps(scenario)
    check_overlays(scenario)
    _check_monitoring(scenario)
    _check_templates(scenario)
    _check_splitting(scenario)
    _check_importance(scenario)
    _check_leave_one_out(scenario)
    check_moments(scenario)


def _check_complete(scenario: Scenario, key: str, given: dict[str, float]) -> None:
    absent = [asset for asset in scenario.market.assets if asset not in given]
    if absent:
        raise InputError(
            f"no {key} of {ending(absent)}",
            file=scenario.source,
            key=f"market.{key}",
            remedy=f"add {absent[0]} to market.{key}, or name a market.calibration that has it",
        )


def _check_leave_one_out(scenario: Scenario) -> None:
    """Refuse to ask what an account does to the others where no account does anything to them."""
    venue = scenario.venue
    influences = venue.impact.kind != "none" or venue.deleveraging.kind != "none"
    if scenario.analysis.leave_one_out and not influences:
        raise InputError(
            "without price impact and deleveraging no account's loss depends on another's",
            file=scenario.source,
            key="analysis.leave_one_out",
            remedy="leave it out, or state venue.impact or venue.deleveraging",
        )


def _check_splitting(scenario: Scenario) -> None:
    """Refuse to split paths that no random numbers make."""
    model = scenario.market.model
    if scenario.simulation.estimator == "splitting" and model in ("given", "historical"):
        raise InputError(
            f'"splitting" moves the random numbers behind a path, and model "{model}" has none: '
            "its paths are as they are",
            file=scenario.source,
            key="simulation.estimator",
            remedy='use "plain", or another market.model',
        )


def _check_importance(scenario: Scenario) -> None:
    """Refuse to weight paths whose densities are not known; what the book needs, a run refuses."""
    if scenario.simulation.estimator != "importance":
        return
    weighted = ("gbm", "student-t", "jump-diffusion")
    if scenario.market.model not in weighted or scenario.stress:
        under = " under [[stress]]" if scenario.stress else ""
        raise InputError(
            f'"importance" knows no densities of model "{scenario.market.model}"{under}',
            file=scenario.source,
            key="simulation.estimator",
            remedy=f'use "plain", or one of {", ".join(weighted)} without [[stress]]',
        )


def _check_templates(scenario: Scenario) -> None:
    assets = scenario.market.assets
    for number, template in enumerate(scenario.appetite.template if scenario.appetite else ()):
        for asset in template.weights:
            if asset not in assets:
                raise InputError(
                    f'template "{template.name}" names "{asset}", which is not in market.assets',
                    file=scenario.source,
                    key=f"appetite.template[{number}].weights",
                    remedy=closest(asset, assets),
                )


def _check_worlds(scenario: Scenario) -> None:
    if scenario.book.mode in scenario.book.compare:
        raise InputError(
            f'"{scenario.book.mode}" is the main world already (book.mode)',
            file=scenario.source,
            key="book.compare",
            remedy=f'remove "{scenario.book.mode}" from book.compare',
        )


def _check_warning(scenario: Scenario) -> None:
    venue = scenario.venue
    if isinstance(venue.trigger, MarginLevel):
        rates = {"venue.trigger.margin_level": venue.trigger.margin_level}
    else:
        rates = {f"venue.tiers.{asset}": table[-1].rate for asset, table in venue.tiers.items()}
    for key, rate in rates.items():
        if rate >= venue.warning:
            raise InputError(
                f"{rate:g} must be below venue.warning, {venue.warning:g}: a margin call comes "
                "before a liquidation",
                file=scenario.source,
                key=key,
                remedy="lower it or raise venue.warning",
            )


def _check_amount(scenario: Scenario) -> None:
    venue = scenario.venue
    if venue.order == "pro-rata" and venue.amount in ("tier", "position"):
        raise InputError(
            f'"{venue.amount}" closes one position at a time, order "pro-rata" all together',
            file=scenario.source,
            key="venue.amount",
            remedy='use "restore", "step" or "all", or another order',
        )


def _check_decision(scenario: Scenario) -> None:
    decision, assets = scenario.venue.decision, scenario.market.assets
    leads = decision.kind == "leader"
    other = "sharded" if leads else "leader"
    for key in ("shards", "lag") if leads else ("latency",):
        value = getattr(decision, key)
        if value:
            raise InputError(
                f'has no effect with kind "{decision.kind}", got {shown(value)}',
                file=scenario.source,
                key=f"venue.decision.{key}",
                remedy=f'set venue.decision.kind = "{other}", or remove the key',
            )
    absent = [asset for asset in assets if asset not in decision.shards]
    if decision.kind == "sharded" and absent:
        raise InputError(
            f"no shard of {ending(absent)}",
            file=scenario.source,
            key="venue.decision.shards",
            remedy=f"add {absent[0]} = 0, or the number of its shard",
        )
    _check_delays(scenario)


def _check_delays(scenario: Scenario) -> None:
    run = steps(scenario)
    for key in ("latency", "lag"):
        delay = getattr(scenario.venue.decision, key)
        if delay > run:
            raise InputError(
                f"must not be longer than the run, {run:,} steps, got {delay:,}",
                file=scenario.source,
                key=f"venue.decision.{key}",
                remedy="shorten it, in steps, or lengthen simulation.horizon",
            )


def _check_monitoring(scenario: Scenario) -> None:
    simulation = scenario.simulation
    if simulation.monitoring == "bridge" and scenario.market.model == "given":
        raise InputError(
            'model "given" has no variance inside a step, which "bridge" needs',
            file=scenario.source,
            key="simulation.monitoring",
            remedy='use monitoring = "step"',
        )
    check_bridge(scenario)


def check_book(scenario: Scenario, book: Book) -> None:
    """Check what the scenario says about the book that it names.

    Raises
    ------
    InputError
        A limit of a group that the book does not have, a position in an asset without tiers, an
        asset that is held without the numbers of the impact law, or columns that a bridge cannot
        follow.
    """
    for group in scenario.limits.max_group_any_liquidation_probability:
        if group not in book.groups:
            raise InputError(
                "no account of the book is in this group",
                file=scenario.source,
                key=f"limits.max_group_any_liquidation_probability.{group}",
                remedy=suggestion(group, book.groups),
            )
    _check_tiers(scenario, book)
    _check_impact(scenario, book)
    check_collateral(scenario, book)
    check_bridge(scenario, book)


def _check_impact(scenario: Scenario, book: Book) -> None:
    """Refuse an asset that may be traded by force and lacks what the chosen law needs."""
    impact, assets = scenario.venue.impact, scenario.market.assets
    if impact.kind == "none":
        return
    key = "adv" if impact.kind == "square-root" else "depth_1pct"
    held = np.union1d(book.position_asset, book.coin_asset)
    absent = [assets[index] for index in held if assets[index] not in getattr(impact, key)]
    if absent:
        raise InputError(
            f'no {key} of {ending(absent)}, held in the book, for impact "{impact.kind}"',
            file=scenario.source,
            key=f"venue.impact.{key}",
            remedy=f"add {absent[0]} to venue.impact.{key}",
        )


def _check_tiers(scenario: Scenario, book: Book) -> None:
    tiers = scenario.venue.tiers
    if isinstance(scenario.venue.trigger, MarginLevel) or "default" in tiers:
        return
    held = [scenario.market.assets[index] for index in np.unique(book.position_asset)]
    absent = [asset for asset in held if asset not in tiers]
    if absent:
        raise InputError(
            f"no tiers for {ending(absent)}, in which there are positions",
            file=scenario.source,
            key="venue.tiers",
            remedy=f"add {absent[0]} = [ {{ floor = 0, rate = 0.02 }} ], or the same for default",
        )

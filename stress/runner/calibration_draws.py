"""Parameters as likely as the estimated ones, each set run on the same normals.

The error of a calibration goes into the main numbers by repetition: draw a set of parameters from
the calibration's standard errors, run it with the kernels of the main run and the same random
numbers, and look at the spread. Of a model that draws from a history the history is drawn: blocks
of its rows, with replacement. The venue, the book, the volatility of the impact law and the state
that the market starts in stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import pdtrc

from stress.calibrate.draws import Drawn, drawn
from stress.calibrate.gbm import YEAR, bar_interval, one_bar_returns
from stress.data.cleaning import clean
from stress.data.prices import PriceHistory, read_prices
from stress.errors import InputError
from stress.market import Constant, ModelSource, PriceModel
from stress.market.filtered_historical import FilteredHistorical
from stress.market.jump_diffusion import JumpDiffusion
from stress.measure.calibration import CalibrationMeasure
from stress.runner.drive import Driver, drive, driver_over
from stress.runner.keeper import Keeper
from stress.runner.market import market_source
from stress.runner.measured import nothing_measured
from stress.runner.prepare import Job, build_market, market_clock
from stress.runner.progress import Silent
from stress.runner.resampling import resampling_of, resampling_source
from stress.scenario.build import build_setting, correlation_matrix
from stress.scenario.load import load_calibration
from stress.scenario.schema import Calibration, Market
from stress.stats.blocks import block_rows
from stress.stats.facts import block_length
from stress.types import RESAMPLING, Floats

__all__ = ["calibration_error", "drawn_markets", "resampled_history"]

_KEY = "--calibration-draws"
_STREAM = 0x63616C69
"""Sets the draws' random numbers apart from those of anything else with the same seed."""

_NO_ROOM = 1e-6
"""Probability of more jumps at once than the main run has room for that is not put up with."""

_ANY = np.zeros(1, np.uint32)
"""Path numbers, where the model is the same for all."""


def drawn_markets(
    job: Job, draws: int, instead: PriceModel | ModelSource | None = None
) -> tuple[ModelSource, ...]:
    """Return the markets of ``draws`` draws of the parameters; none of 0 draws.

    Draw k depends on the seed and on k only.

    Parameters
    ----------
    instead
        The price model that was given instead of the scenario's, if any.

    Raises
    ------
    InputError
        If there is only one draw, or nothing to draw from.
    """
    if draws == 0:
        return ()
    if draws < 2:
        raise InputError(
            f"an interval needs 2 draws or more, got {draws}",
            key=_KEY,
            remedy="ask for 20 or more, or leave it out",
        )
    _refuse_without_parameters(job.scenario.market, given=instead is not None)
    if job.scenario.market.model in RESAMPLING:
        return _resampled_markets(job, draws)
    calibration = _calibration(job.scenario.market)
    return tuple(_drawn_market(job, calibration, number) for number in range(draws))


def _refuse_without_parameters(market: Market, *, given: bool) -> None:
    if given or market.model == "given":
        raise InputError(
            "the prices come from outside the scenario, so there are no parameters to draw",
            key=_KEY,
            remedy="leave it out, or choose another market.model",
        )
    if market.model == "historical":
        raise InputError(
            "windows of the history are the sample itself: their sampling intervals hold its error "
            "already",
            key=_KEY,
            remedy='leave it out, or choose the model "bootstrap"',
        )


def _calibration(market: Market) -> Calibration:
    """Return the calibration that the market's parameters are from.

    Raises
    ------
    InputError
        If there is none, or it holds no standard errors of this model.
    """
    if market.calibration is None:
        raise InputError(
            "draws need the standard errors of a calibration file, and the scenario names none",
            key=_KEY,
            remedy='write one with "margin-stress calibrate" and name it in market.calibration',
        )
    calibration = load_calibration(market.calibration)
    lacks = "volatilities" if not calibration.volatility_standard_error else ""
    if market.table is not None and market.model not in calibration.standard_errors:
        lacks = market.model
    if lacks:
        raise InputError(
            f"holds no standard errors of {lacks}, which draws need",
            file=market.calibration,
            key=_KEY,
            remedy='calibrate again with "margin-stress calibrate", or leave it out',
        )
    return calibration


def calibration_error(
    job: Job, driver: Driver, drawn: Sequence[ModelSource], keeper: Keeper
) -> CalibrationMeasure:
    """Run every drawn market with the kernels of the main run and return what was measured.

    Parameters
    ----------
    keeper
        Has the draws that were run before, and is given each that is.
    """
    measure = CalibrationMeasure(job.request.confidence)
    for number, market in enumerate(drawn):
        part = f"draw-{number}-{job.scenario.simulation.paths}"
        if keeper.has(part):
            measure.restore(keeper.get(part))
            continue
        measured = nothing_measured(job)
        drive(job, _driver(job, driver, market), measured, Silent())
        measure.update(measured.worlds[job.main_mode])
        keeper.put(part, measure.newest())
    return measure


def _driver(job: Job, driver: Driver, market: ModelSource) -> Driver:
    """Return the main run's kernels for a drawn market, or new ones where it has other shapes."""
    spread = driver.spread
    first = np.arange(spread.block, dtype=np.uint32)
    if _shapes(market.block(first)) == _shapes(job.market.block(first)):
        return driver.under(market)
    return driver_over(replace(job, market=market), spread)


def _shapes(model: PriceModel) -> tuple[Any, ...]:
    leaves, structure = jax.tree.flatten(model)
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def _random(job: Job, number: int) -> np.random.Generator:
    return np.random.default_rng([_STREAM, job.scenario.simulation.seed, number])


def _drawn_market(job: Job, calibration: Calibration, number: int) -> ModelSource:
    """Return the market of one draw of the parameters."""
    market = job.scenario.market
    other = _draw(market, calibration, _random(job, number))
    update: dict[str, Any] = {
        "volatility": dict(zip(market.assets, map(float, other.volatility), strict=True)),
        "correlation": tuple(tuple(map(float, row)) for row in other.correlation),
        **_table(market, other.table),
    }
    scenario = job.scenario.model_copy(update={"market": market.model_copy(update=update)})
    source = market_source(scenario.market, market_clock(scenario, job.setting))
    # overlays act around the mean and the correlation that were drawn
    setting = build_setting(scenario)
    return build_market(scenario, setting, _with_bars_of(job, scenario.market, source))


def _with_bars_of(job: Job, market: Market, source: ModelSource) -> ModelSource:
    """Return a jump diffusion that draws its jumps for as many steps at once as the main run.

    Its kernels then serve, and jumps come of the same random numbers. Left as it is where it may
    have more jumps in that time than the main run has room for.
    """
    if market.jump_diffusion is None or market.jump_diffusion.common is None:
        return source
    own = market_source(job.scenario.market, market_clock(job.scenario, job.setting))
    main, drawn_ = own.block(_ANY), source.block(_ANY)
    assert isinstance(main, JumpDiffusion)
    assert isinstance(drawn_, JumpDiffusion)
    laws = (market.jump_diffusion.common, *market.jump_diffusion.own.values())
    jumps = sum(law.rate for law in laws) * job.setting.step_years * main.bar_steps
    slots = len(main.exceeding)
    if pdtrc(slots, jumps) > _NO_ROOM:
        return source
    exceeding = jnp.asarray(pdtrc(np.arange(slots), jumps), main.exceeding.dtype)
    return Constant(replace(drawn_, exceeding=exceeding, bar_steps=main.bar_steps))


def _draw(market: Market, calibration: Calibration, random: np.random.Generator) -> Drawn:
    """Return one draw of what the market has from its calibration; what it states itself stays."""
    estimated = {
        asset: calibration.volatility_standard_error.get(asset, 0.0)
        if market.volatility[asset] == calibration.volatility.get(asset)
        else 0.0
        for asset in market.assets
    }
    table = market.table.model_dump() if market.table is not None else {}
    errors = _kept(
        calibration.standard_errors.get(market.model, {}),
        table,
        calibration.models.get(market.model, {}),
    )
    return drawn(
        market.model,
        market.assets,
        table,
        errors if isinstance(errors, Mapping) else {},
        volatility=np.array([market.volatility[asset] for asset in market.assets]),
        volatility_error=np.array(list(estimated.values())),
        correlation=correlation_matrix(market.correlation),
        observations=_observations(market, calibration),
        generator=random,
    )


def _observations(market: Market, calibration: Calibration) -> float:
    """Return how many bars the correlation is known from; infinity where the scenario states it."""
    if not set(market.assets) <= set(calibration.assets):
        return inf
    rows = [calibration.assets.index(asset) for asset in market.assets]
    whole = correlation_matrix(calibration.correlation) if calibration.correlation else None
    own = correlation_matrix(market.correlation)
    if whole is None or not np.array_equal(whole[np.ix_(rows, rows)], own):
        return inf
    facts = calibration.calibration
    return float(facts.get("effective_observations", facts.get("common_observations", inf)))


def _kept(errors: Any, table: Any, estimates: Any) -> Any:
    """Return the standard errors of those numbers of a table that are the calibration's.

    The others the scenario states itself: a table without them, or 0 in a list.
    """
    if isinstance(errors, Mapping):
        if not isinstance(table, Mapping) or not isinstance(estimates, Mapping):
            return {}
        return {
            key: _kept(error, table[key], estimates[key])
            for key, error in errors.items()
            if key in table and key in estimates and _alike(table[key], estimates[key])
        }
    if isinstance(errors, (list, tuple)):
        same = zip(errors, table, estimates, strict=True)
        return [_kept(*three) for three in same]
    return errors if table == estimates else 0.0


def _alike(one: Any, other: Any) -> bool:
    """Say whether two values have one form, and numbers one value."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other)
    return isinstance(one, Mapping) == isinstance(other, Mapping) and (
        isinstance(one, Mapping) or one == other
    )


def _table(market: Market, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the market's field with a model's own numbers; none where it has no such table."""
    if market.table is None:
        return {}
    return {market.model.replace("-", "_"): type(market.table).model_validate(table)}


def _resampled_markets(job: Job, draws: int) -> tuple[ModelSource, ...]:
    """Return the markets of a model that draws from a history, each with a history of its own."""
    market = _pinned(job)
    assert market.history is not None
    history = read_prices(market.history).choose(market.assets)
    table = job.scenario.market.table
    history, _ = clean(history, remove_wicks=bool(getattr(table, "remove_wicks", True)))
    clock = market_clock(job.scenario, job.setting)
    found = []
    for number in range(draws):
        random = _random(job, number)
        rows = resampled_history(history, random)
        source = resampling_source(_weighted(market, random), clock, rows)
        found.append(build_market(job.scenario, job.setting, source))
    return tuple(found)


def _weighted(market: Market, random: np.random.Generator) -> Market:
    """Return the market with the weights of its filter drawn, where a calibration gives errors."""
    if market.calibration is None:
        return market
    calibration = load_calibration(market.calibration)
    if market.model not in calibration.standard_errors:
        return market
    other = _draw(market, calibration, random)
    return market.model_copy(update=_table(market, other.table))


def _pinned(job: Job) -> Market:
    """Return the market with the block length and the first volatility of the main run stated.

    Both are chosen by looking at the history; drawn histories are to differ in their rows. Wicks
    are left out before the rows are drawn, for the joints of blocks would look like some.
    """
    market = job.scenario.market
    source = resampling_of(job.market)
    assert source is not None
    assert source.draw is not None
    assert market.table is not None
    update: dict[str, Any] = {
        "block": 1 / float(source.draw.restart),
        "remove_wicks": False,
    }
    if market.model == "filtered-historical":
        assert isinstance(source.model, FilteredHistorical)
        initial = np.asarray(source.model.initial, np.float64)
        annual = np.sqrt(initial * (YEAR / source.rows.bar))
        update["initial_volatility"] = dict(zip(market.assets, map(float, annual), strict=True))
    table = market.table.model_copy(update=update)
    return market.model_copy(update={market.model.replace("-", "_"): table})


def resampled_history(history: PriceHistory, random: np.random.Generator) -> PriceHistory:
    """Return a history of the same length from blocks of the rows of another.

    A row is the cross-section of one bar, its lows and highs with it. Blocks are as long as
    ``block_length`` says. Bars follow each other without a gap.
    """
    bar = bar_interval(history)
    returns, _ = one_bar_returns(history, bar)
    rows = np.flatnonzero(np.isfinite(returns).all(axis=1))
    taken = rows[block_rows(len(rows), block_length(len(rows)), random, 1)[0]]
    start = history.close[rows[0]]
    walked = start * np.exp(returns[taken].cumsum(axis=0))
    close = np.concatenate([start[None], walked])

    def beside(prices: Floats | None) -> Floats | None:
        """Return a bar's other price at the ratio to its close that it has in the history."""
        if prices is None:
            return None
        return np.concatenate([start[None], walked * (prices[taken] / history.close[taken])])

    return replace(
        history,
        timestamps=history.timestamps[rows[0]] + bar * np.arange(len(close)),
        close=close,
        open=beside(history.open),
        high=beside(history.high),
        low=beside(history.low),
        volume=None,
    )

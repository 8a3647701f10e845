"""From a price history to the models that draw from it: bootstrap, filtered, historical."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.calibrate.filter import filtered
from stress.calibrate.gbm import YEAR, say
from stress.calibrate.rows import Rows, Windows, cross_sections, windows
from stress.data.prices import PriceHistory, read_prices
from stress.errors import InputError
from stress.market import ModelSource, PriceModel
from stress.market.bootstrap import BlockBootstrap
from stress.market.filtered_historical import FilteredHistorical
from stress.market.gbm import log_drift
from stress.market.historical import HistoricalWindows, WindowsWithExtremes
from stress.market.resampled import RowDraw
from stress.runner.clock import Clock
from stress.scenario.build import asset_array
from stress.scenario.durations import YEAR_SECONDS, duration_seconds
from stress.scenario.schema import Market
from stress.types import Floats

__all__ = ["ResamplingSource", "resampling_of", "resampling_source"]

_FLAT = 1e-12
_APART = 0.1
"""Relative difference of a stated volatility from the history's at which it is said."""


@dataclass(frozen=True)
class ResamplingSource:
    """The source of a model that draws from a history, and what is to be said about it.

    Attributes
    ----------
    model
        The same for all paths.
    rows
        What it draws from.
    windows
        Of historical windows; None where rows are drawn.
    notices
        Sentences for the report.
    """

    model: PriceModel
    rows: Rows
    windows: Windows | None
    notices: tuple[str, ...]

    def block(self, numbers: object) -> PriceModel:
        """Return the model."""
        return self.model

    @property
    def draw(self) -> RowDraw | None:
        """Which row is next; None where nothing is drawn."""
        draw = getattr(self.model, "draw", None)
        return draw if isinstance(draw, RowDraw) else None

    @property
    def design_effect(self) -> float:
        """Paths that are worth one independent path."""
        return self.windows.design_effect if self.windows else 1.0


def resampling_of(market: ModelSource) -> ResamplingSource | None:
    """Return the source that draws from a history, beneath whatever is laid over it."""
    source: object = market
    while source is not None and not isinstance(source, ResamplingSource):
        source = getattr(source, "source", None)
    return source


def resampling_source(
    market: Market, clock: Clock, history: PriceHistory | None = None
) -> ResamplingSource:
    """Return the source of a model that draws from a price history.

    Parameters
    ----------
    market
        Complete, as ``load_scenario`` leaves it.
    clock
        The time grid.
    history
        With the market's assets in their order; that of ``market.history`` if not given.

    Raises
    ------
    InputError
        The history cannot be used for this market and time grid.
    """
    if history is None:
        assert market.history is not None  # the scenario's checks
        history = read_prices(market.history).choose(market.assets)
    # both are milliseconds at the finest
    step = np.timedelta64(round(clock.step_years * YEAR_SECONDS * 1000), "ms")
    table = market.table
    remove_wicks = bool(getattr(table, "remove_wicks", True))
    rows = cross_sections(history, step, remove_wicks=remove_wicks)
    _refuse_flat(rows, history)
    if market.model == "bootstrap":
        return _bootstrap(market, clock, rows)
    if market.model == "filtered-historical":
        return _filtered_historical(market, clock, rows)
    return _historical(market, clock, rows)


def _bootstrap(market: Market, clock: Clock, rows: Rows) -> ResamplingSource:
    table = market.bootstrap
    assert table is not None  # complete
    block = _chosen_block(rows) if table.block is None else table.block
    model = BlockBootstrap.build(
        returns=rows.returns - rows.returns.mean(axis=0) + _mean(market, rows),
        deviation=rows.deviation,
        correlation=_correlation(rows.returns),
        bar_steps=rows.bar_steps,
        block=block,
        precision=clock.precision,
    )
    how = "chosen by the rule of Politis and White for absolute returns, the mean over assets"
    chosen = f", {how}" if table.block is None else ""
    drawn = f"rows of the history are drawn in blocks of {block:.4g} bars on average{chosen}"
    return ResamplingSource(
        model, rows, None, (drawn, *_notices(rows), *_unlike(market, rows), *_inner(rows))
    )


def _filtered_historical(market: Market, clock: Clock, rows: Rows) -> ResamplingSource:
    table = market.filtered_historical
    assert table is not None  # complete
    bar_years = rows.bar / YEAR
    weights = {
        name: asset_array(getattr(table, name), market.assets)
        for name in ("alpha", "gamma", "beta")
    }
    try:
        found = filtered(
            rows.returns,
            variance=asset_array(market.volatility, market.assets) ** 2 * bar_years,
            **weights,
        )
    except ValueError as error:
        raise InputError(
            str(error),
            key="market.filtered-historical",
            remedy="lower alpha or gamma",
        ) from error
    stated = table.initial_volatility
    initial = np.array(
        [
            stated[asset] ** 2 * bar_years if asset in stated else latest
            for asset, latest in zip(market.assets, found.latest, strict=True)
        ]
    )
    model = FilteredHistorical.build(
        residuals=found.residuals,
        mean=_mean(market, rows),
        omega=found.omega,
        initial=initial,
        correlation=_correlation(found.residuals),
        bar_steps=rows.bar_steps,
        block=table.block,
        precision=clock.precision,
        alpha=weights["alpha"],
        gamma=weights["gamma"],
        beta=found.beta,
    )
    now = ", ".join(
        f"{asset} {np.sqrt(variance / bar_years):.0%}"
        for asset, variance in zip(market.assets[:5], initial, strict=False)
    )
    drawn = f"volatility of the first bar, annualised: {now}"
    if len(market.assets) > 5:
        drawn += f" and {len(market.assets) - 5} more"
    inner = _inner(rows, "at the volatility that the filter has reached on the path")
    lowered = _lowered(market, weights["beta"], found.beta)
    return ResamplingSource(model, rows, None, (drawn, *lowered, *_notices(rows), *inner))


def _lowered(market: Market, stated: Floats, used: Floats) -> tuple[str, ...]:
    changed = [
        f"{asset} from {before:.4g} to {after:.4g}"
        for asset, before, after in zip(market.assets, stated, used, strict=True)
        if after < before
    ]
    if not changed:
        return ()
    return (f"beta is lowered so that the variance has a mean: {', '.join(changed)}",)


def _historical(market: Market, clock: Clock, rows: Rows) -> ResamplingSource:
    table = market.historical
    assert table is not None  # complete
    stride = None
    if table.stride is not None:
        stride = np.timedelta64(round(duration_seconds(table.stride) * 1000), "ms")
    found = windows(rows, clock.steps, starts=table.starts, stride=stride)
    model = HistoricalWindows.build(
        returns=rows.returns - rows.returns.mean(axis=0) + _mean(market, rows),
        deviation=rows.deviation,
        correlation=_correlation(rows.returns),
        first=found.first,
        bar_steps=rows.bar_steps,
        precision=clock.precision,
    )
    if rows.low is not None and rows.high is not None and rows.bar_steps == 1:
        model = WindowsWithExtremes.of(model, rows.low, rows.high)
    return ResamplingSource(
        model,
        rows,
        found,
        (*_of_windows(found, clock), *_notices(rows), *_unlike(market, rows), *_inner(rows)),
    )


def _of_windows(found: Windows, clock: Clock) -> tuple[str, ...]:
    count, effect = len(found.first), found.design_effect
    used = min(count, clock.paths)
    which = f"the first {used:,} of {count:,}" if used < count else f"the {count:,}"
    sentence = f"paths are {which} windows of {found.bars:,} bars that the history has"
    if effect > 1:
        sentence += (
            f"; they overlap, so that intervals are those of {used / effect:,.0f} independent paths"
        )
    if not found.broken:
        return (sentence,)
    return (sentence, f"{found.broken:,} windows with a missing bar were left out")


def _mean(market: Market, rows: Rows) -> Floats:
    """Return (assets,) the mean log return of a bar."""
    table = market.table
    if not getattr(table, "demean", True):
        return np.asarray(rows.returns.mean(axis=0))
    return log_drift(
        asset_array(market.volatility, market.assets),
        asset_array(market.drift, market.assets),
        rows.bar / YEAR,
    )


def _refuse_flat(rows: Rows, history: PriceHistory) -> None:
    spread = rows.returns.std(axis=0)
    if spread.min() < _FLAT:
        raise InputError(
            f"the price of {history.assets[int(np.argmin(spread))]} does not vary",
            file=history.source,
            key="market.history",
            remedy="give a history that trades, or leave the asset out",
        )


def _correlation(numbers: Floats) -> Floats:
    return np.atleast_2d(np.corrcoef(numbers, rowvar=False))


def _chosen_block(rows: Rows) -> float:
    """Return the mean block length by the automatic rule, at least 1.

    Politis and White (2004), corrected by Patton, Politis and White (2009), for the absolute
    returns, whose dependence is what blocks are to keep: returns themselves have next to none, and
    squares of returns with fat tails have no variance to estimate it with. The mean over assets,
    because rows are drawn whole.
    """
    try:
        # an optional dependency, and slow to import
        from arch.bootstrap import optimal_block_length
    except ImportError as error:
        raise InputError(
            "arch is needed to choose the length of blocks and is not installed",
            key="market.bootstrap.block",
            remedy="pip install 'margin-stress[calibrate]', or state the length",
        ) from error
    found = optimal_block_length(np.abs(rows.returns - rows.returns.mean(axis=0)))
    return max(float(found["stationary"].mean()), 1.0)


def _notices(rows: Rows) -> tuple[str, ...]:
    first, last = (str(end.astype("datetime64[D]")) for end in (rows.ends[0], rows.ends[-1]))
    found = [f"the history has {len(rows.ends):,} bars of {say(rows.bar)}, {first} to {last}"]
    if rows.gaps:
        found.append(
            f"bars are missing at {rows.gaps:,} places of the history: the bar behind a gap follows"
            " the one before it"
        )
    if rows.wicks:
        found.append(f"{rows.wicks:,} closes of the history were left out as wicks")
    if rows.clipped:
        found.append(f"{rows.clipped:,} highs and lows of the history were clipped as wicks")
    return tuple(found)


def _unlike(market: Market, rows: Rows) -> tuple[str, ...]:
    """Return a sentence where the stated volatility is not that of the rows."""
    stated = asset_array(market.volatility, market.assets)
    own = rows.returns.std(axis=0, ddof=1) * np.sqrt(YEAR / rows.bar)
    worst = int(np.argmax(np.abs(np.log(stated / own))))
    if abs(np.log(stated[worst] / own[worst])) < np.log1p(_APART):
        return ()
    return (
        f"prices vary as in the history, {market.assets[worst]} by {own[worst]:.0%} a year: the "
        f"stated volatility of {stated[worst]:.0%} acts on drift and impact only",
    )


def _inner(rows: Rows, how: str | None = None) -> tuple[str, ...]:
    if rows.bar_steps == 1:
        return ()
    from_range = "of its high and low (Rogers and Satchell)"
    source = from_range if rows.ranged else "of the 21 bars around it"
    return (
        f"inside a bar of {say(rows.bar)}, {rows.bar_steps:,} steps, prices follow a Brownian "
        f"bridge {how or 'at the volatility ' + source}",
    )

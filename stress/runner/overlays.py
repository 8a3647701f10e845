"""From ``[[stress]]`` to arrays a step: what is laid over prices, and what the venue meets.

Moves are what they say, whatever else acts at that time: they are not multiplied by a volatility
overlay. Volatility and correlation act on the model's returns around their mean, so that overlays
of different kinds give the same in any order.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from stress.book.setting import Setting
from stress.errors import InputError
from stress.market import ModelSource
from stress.market.environment import Environment
from stress.market.gbm import log_drift
from stress.market.overlay import OverlaidSource, Steps, correlation_map, lay
from stress.scenario.overlay_checks import beta, blended, span
from stress.scenario.overlays import (
    Correlation,
    Depeg,
    Drift,
    Gap,
    Liquidity,
    Move,
    Overlay,
    Shock,
    Volatility,
)
from stress.scenario.schema import Scenario
from stress.types import Floats, Precision

__all__ = ["build_environment", "build_steps", "overlay_notices", "overlay_words", "with_overlays"]

_LEAST = -1e-10
"""Least eigenvalue of a correlation that is taken as it is: rounding of one that is singular."""


def with_overlays(source: ModelSource, scenario: Scenario, setting: Setting) -> ModelSource:
    """Return a market under the scenario's overlays; the same market where none moves prices.

    Raises
    ------
    InputError
        A correlation must be repaired and the extra that can is not installed.
    """
    steps = build_steps(scenario, setting)
    if steps is None:
        return source
    return OverlaidSource(source, lay(steps, scenario.simulation.precision))


def build_steps(scenario: Scenario, setting: Setting) -> Steps | None:
    """Return what overlays do to the log returns of each step; None where they do nothing."""
    on_prices = [each for each in scenario.stress if not _is_idle(each)]
    if not on_prices:
        return None
    shape = (setting.steps, len(setting.assets))
    shift, jump = np.zeros(shape), np.zeros(shape)
    for overlay in on_prices:
        first, last = span(scenario, overlay)
        if isinstance(overlay, (Shock, Depeg, Gap)):
            moves = log_moves(scenario, overlay)
            if first == last:
                jump[first - 1] += moves
            else:
                shift[first:last] += moves / (last - first)
        elif isinstance(overlay, Drift):
            rates = [overlay.rate.get(asset, 0.0) for asset in setting.assets]
            shift[first:last] += np.array(rates) * setting.step_years
        elif isinstance(overlay, Volatility):
            # the mean makes room for the larger variance: E[S] stays what it is
            wider = _multiplier(overlay, setting.assets) ** 2 - 1
            shift[first:last] -= wider * setting.volatility**2 / 2 * setting.step_years
    maps, which = _maps(scenario, setting)
    mean = log_drift(setting.volatility, setting.drift, setting.step_years)
    return Steps(mean, shift, jump, maps, which)


def build_environment(
    scenario: Scenario, setting: Setting, precision: Precision
) -> Environment | None:
    """Return how deep the market is and when the venue halts; None where nothing changes that.

    Depth is multiplied at every look from ``at`` to the end of the window, both included, where a
    window that begins as another ends takes over. A venue that halts does so from ``at`` on and
    looks again when the halt is over.
    """
    thin = [each for each in scenario.stress if isinstance(each, Liquidity)]
    halts = [each for each in scenario.stress if isinstance(each, Gap)]
    if not thin and not halts:
        return None
    depth = np.ones((setting.steps + 1, len(setting.assets)))
    for overlay in sorted(thin, key=lambda each: span(scenario, each).first):
        first, last = span(scenario, overlay)
        stated = _multiplier(overlay, setting.assets)
        named = np.array([_names(overlay, asset) for asset in setting.assets])
        depth[first : last + 1, named] = stated[named]
    halted = np.zeros(setting.steps + 1, bool)
    for halt in halts:
        first, last = span(scenario, halt)
        halted[first:last] = True
    return Environment(jnp.asarray(depth, jnp.dtype(precision)), jnp.asarray(halted))


def log_moves(scenario: Scenario, overlay: Move) -> Floats:
    """Return (assets,) the log returns that a move states, or that follow by beta."""
    moves = np.zeros(len(scenario.market.assets))
    leader = None if isinstance(overlay, Depeg) else overlay.beta_to
    for row, asset in enumerate(scenario.market.assets):
        if asset in overlay.returns:
            moves[row] = np.log1p(overlay.returns[asset])
        elif leader is not None:
            moves[row] = beta(scenario, asset, leader) * np.log1p(overlay.returns[leader])
    return moves


class _Repaired(NamedTuple):
    """A correlation, and how far it is from what was asked for: the Frobenius norm."""

    matrix: Floats
    distance: float


def _wanted(scenario: Scenario, number: int) -> _Repaired:
    """Return the correlation of an overlay, the nearest that is one where the blend is none."""
    overlay = scenario.stress[number]
    assert isinstance(overlay, Correlation)
    asked = blended(scenario, overlay)
    if np.linalg.eigvalsh(asked)[0] >= _LEAST:
        return _Repaired(asked, 0.0)
    nearest = _nearest(asked, scenario, number)
    return _Repaired(nearest, float(np.linalg.norm(nearest - asked)))


def _nearest(asked: Floats, scenario: Scenario, number: int) -> Floats:
    try:
        from statsmodels.stats.correlation_tools import corr_clipped, corr_nearest
    except ImportError:
        raise InputError(
            "the correlation it asks for is not positive semi-definite, and its repair needs "
            "statsmodels",
            file=scenario.source,
            key=f"stress[{number}].target",
            remedy='pip install "margin-stress[calibrate]", or lower the weight',
        ) from None
    with warnings.catch_warnings():
        # it says so where its iteration has not converged
        warnings.simplefilter("error")
        try:
            nearest = corr_nearest(asked, threshold=1e-12)
        except UserWarning:
            nearest = corr_clipped(asked, threshold=1e-12)
    return np.asarray(nearest, dtype=np.float64)


def _maps(scenario: Scenario, setting: Setting) -> tuple[Floats, np.ndarray]:
    """Return the distinct maps, (maps, assets, assets), and the row of each step, -1 for none."""
    size = len(setting.assets)
    acting: list[list[int]] = [[] for _ in range(setting.steps)]
    for number, overlay in enumerate(scenario.stress):
        if isinstance(overlay, (Volatility, Correlation)):
            first, last = span(scenario, overlay)
            for step in range(first, last):
                acting[step].append(number)
    together = sorted({tuple(numbers) for numbers in acting if numbers})
    which = [together.index(tuple(numbers)) if numbers else -1 for numbers in acting]
    maps = [_map(scenario, setting, numbers) for numbers in together]
    return np.array(maps).reshape(-1, size, size), np.array(which, np.int64)


def _map(scenario: Scenario, setting: Setting, numbers: tuple[int, ...]) -> Floats:
    """Return the map of overlays that act at the same time, (assets, assets)."""
    whole, deviation = np.eye(len(setting.assets)), setting.volatility
    for number in numbers:
        overlay = scenario.stress[number]
        if isinstance(overlay, Correlation):
            wanted = _wanted(scenario, number).matrix
            whole = correlation_map(deviation, setting.correlation, wanted) @ whole
        elif isinstance(overlay, Volatility):
            multiplier = _multiplier(overlay, setting.assets)
            whole, deviation = multiplier[:, None] * whole, multiplier * deviation
    return whole


def _is_idle(overlay: Overlay) -> bool:
    """Return whether an overlay leaves prices alone."""
    return isinstance(overlay, Liquidity) or (isinstance(overlay, Gap) and not overlay.returns)


def _names(overlay: Volatility | Liquidity, asset: str) -> bool:
    return not isinstance(overlay.multiplier, dict) or asset in overlay.multiplier


def _multiplier(overlay: Volatility | Liquidity, assets: tuple[str, ...]) -> Floats:
    stated = overlay.multiplier
    if isinstance(stated, dict):
        return np.array([stated.get(asset, 1.0) for asset in assets])
    return np.full(len(assets), stated)


def overlay_notices(scenario: Scenario) -> tuple[str, ...]:
    """Return a sentence for each correlation that had to be repaired."""
    return tuple(
        f"stress[{number}]: the correlation asked for is not positive semi-definite; the nearest "
        f"that is one is used, {distance:.3g} away (Frobenius norm)"
        for number, overlay in enumerate(scenario.stress)
        if isinstance(overlay, Correlation)
        if (distance := _wanted(scenario, number).distance)
    )


def overlay_words(scenario: Scenario) -> tuple[str, ...]:
    """Return each overlay in a sentence, in the order of the file."""
    return tuple(
        f"{overlay.kind.capitalize()}, {_when(overlay)}: {_what(scenario, number)}."
        for number, overlay in enumerate(scenario.stress)
    )


def _when(overlay: Overlay) -> str:
    if isinstance(overlay, (Shock, Depeg)) and overlay.over == "0s":
        return f"at {overlay.at}, at once"
    lasts = overlay.over if isinstance(overlay, (Shock, Depeg, Gap)) else overlay.window
    return f"from {overlay.at} " + (f"over {lasts}" if lasts else "to the end")


def _what(scenario: Scenario, number: int) -> str:
    overlay = scenario.stress[number]
    if isinstance(overlay, Correlation):
        return _correlation_words(scenario, number, overlay)
    if isinstance(overlay, Drift):
        rates = (f"{asset} {rate:+.4g}" for asset, rate in overlay.rate.items())
        return "drift per year, besides the model's: " + ", ".join(rates)
    if isinstance(overlay, (Volatility, Liquidity)):
        what = "volatility" if isinstance(overlay, Volatility) else "depth"
        stated = overlay.multiplier
        if isinstance(stated, dict):
            times = ", ".join(f"{asset} {value:g}" for asset, value in stated.items())
            return f"{what} is multiplied by {times}"
        return f"{what} of all assets is multiplied by {stated:g}"
    moves = np.expm1(log_moves(scenario, overlay))
    moved = ", ".join(
        f"{asset} {100 * move:+.4g} %"
        for asset, move in zip(scenario.market.assets, moves, strict=True)
        if move
    )
    by_beta = (
        ""
        if isinstance(overlay, Depeg) or overlay.beta_to is None
        else (f" (those that are not stated by beta to {overlay.beta_to})")
    )
    if isinstance(overlay, Gap):
        elsewhere = f", while prices move: {moved}{by_beta}" if moved else ""
        return f"the venue halts, nobody is liquidated{elsewhere}"
    return f"prices move: {moved}{by_beta}"


def _correlation_words(scenario: Scenario, number: int, overlay: Correlation) -> str:
    target = overlay.target
    aim = f"{target:g} for all pairs" if isinstance(target, float) else "a stated matrix"
    distance = _wanted(scenario, number).distance
    repair = (
        f"; the nearest correlation that there is, {distance:.3g} from what was asked for "
        "(Frobenius norm)"
        if distance
        else ""
    )
    return f"correlations go {100 * overlay.weight:g} % of the way to {aim}{repair}"

"""Rules between ``[[stress]]`` tables, the time grid, the market and the book."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from stress.book.book import Book
from stress.data.tables import suggestion
from stress.errors import InputError
from stress.scenario.durations import duration_seconds
from stress.scenario.matrices import check_entries
from stress.scenario.overlays import (
    Correlation,
    Depeg,
    Gap,
    Liquidity,
    Overlay,
    Shock,
    Volatility,
)
from stress.scenario.schema import Scenario
from stress.types import Floats

__all__ = ["Span", "beta", "blended", "check_collateral", "check_overlays", "span"]

_LEAST_EIGENVALUE = 1e-6
"""Below it a correlation counts as singular: its inverse root would blow rounding up."""


class Span(NamedTuple):
    """Steps of an overlay: ``first`` is the node at which it begins, ``last`` where it ends.

    Steps first + 1 to last lie in it; they are none where it falls at once.
    """

    first: int
    last: int


def check_overlays(scenario: Scenario) -> None:
    """Check the overlays of a scenario whose market is complete.

    Raises
    ------
    InputError
        With a key such as ``stress[1].return.BTC``: an unknown asset, a time that is no whole
        number of steps or beyond the horizon, an overlay without effect, two of a kind at once on
        an asset, or a correlation that is none.
    """
    for number, overlay in enumerate(scenario.stress):
        place = _Place(scenario, f"stress[{number}]")
        _check_times(place, overlay)
        _check_assets(place, overlay)
        _check_effect(place, overlay)
        if isinstance(overlay, Correlation):
            _check_target(place, overlay)
    _check_overlaps(scenario)


def check_collateral(scenario: Scenario, book: Book) -> None:
    """Refuse a depeg of an asset that nobody holds as collateral.

    Raises
    ------
    InputError
        With the key of the return.
    """
    held = {scenario.market.assets[asset] for asset in book.coin_asset}
    for number, overlay in enumerate(scenario.stress):
        if not isinstance(overlay, Depeg):
            continue
        for asset in overlay.returns:
            if asset not in held:
                raise InputError(
                    "is no collateral of any account of the book",
                    file=scenario.source,
                    key=f"stress[{number}].return.{asset}",
                    remedy='name a coin of book.collateral, or use kind = "shock"',
                )


def span(scenario: Scenario, overlay: Overlay) -> Span:
    """Return the steps of a checked overlay."""
    step = duration_seconds(scenario.simulation.step)
    first = int(_seconds(overlay.at) / step)
    lasts = _lasts(overlay)
    if lasts is None:
        return Span(first, int(duration_seconds(scenario.simulation.horizon) / step))
    return Span(first, first + int(_seconds(lasts) / step))


def beta(scenario: Scenario, asset: str, leader: str) -> float:
    """Return the log return of an asset for one of the leader, from the market's covariance."""
    market = scenario.market
    row, column = market.assets.index(asset), market.assets.index(leader)
    return market.correlation[row][column] * market.volatility[asset] / market.volatility[leader]


def blended(scenario: Scenario, overlay: Correlation) -> Floats:
    """Return (assets, assets) the correlation that an overlay asks for, not yet repaired."""
    usual = np.array(scenario.market.correlation, dtype=np.float64)
    if isinstance(overlay.target, float):
        target = np.full_like(usual, overlay.target)
    else:
        target = np.array(overlay.target, dtype=np.float64)
    asked = (1 - overlay.weight) * usual + overlay.weight * target
    asked = (asked + asked.T) / 2
    np.fill_diagonal(asked, 1.0)
    return asked


class _Place(NamedTuple):
    """Where an overlay stands, for what is said about it."""

    scenario: Scenario
    key: str

    def refuse(self, under: str, rule: str, remedy: str) -> InputError:
        key = f"{self.key}.{under}" if under else self.key
        return InputError(rule, file=self.scenario.source, key=key, remedy=remedy)


def _seconds(text: str) -> Fraction:
    return Fraction(0) if text == "0s" else duration_seconds(text)


def _length(overlay: Overlay) -> str:
    return "over" if isinstance(overlay, (Shock, Depeg, Gap)) else "window"


def _lasts(overlay: Overlay) -> str | None:
    return str(value) if (value := getattr(overlay, _length(overlay))) is not None else None


def _check_times(place: _Place, overlay: Overlay) -> None:
    simulation = place.scenario.simulation
    step, horizon = duration_seconds(simulation.step), duration_seconds(simulation.horizon)
    lasts = _lasts(overlay)
    for key, text in (("at", overlay.at), (_length(overlay), lasts)):
        if text is not None and (_seconds(text) / step).denominator != 1:
            count = float(_seconds(text) / step)
            raise place.refuse(
                key,
                f'"{text}" must be a whole number of steps of "{simulation.step}", which is '
                f"{count:.6g} steps",
                "round it, or change simulation.step",
            )
    end = _seconds(overlay.at) + (_seconds(lasts) if lasts is not None else step)
    if end > horizon:
        raise place.refuse(
            "at" if lasts in (None, "0s") else _length(overlay),
            f'must end within the horizon of "{simulation.horizon}", got at = "{overlay.at}"'
            + (f', {_length(overlay)} = "{lasts}"' if lasts not in (None, "0s") else ""),
            "let it begin earlier or last shorter, or lengthen simulation.horizon",
        )
    if end == 0:
        raise place.refuse(
            "at",
            "must not be 0 for a move at once: the starting state is what the book says",
            f'use at = "{simulation.step}", or spread the move with over',
        )


def _named(overlay: Overlay) -> Mapping[str, Mapping[str, Any]]:
    """Return the tables by asset, by key."""
    keys = {"return": "returns", "rate": "rate", "multiplier": "multiplier"}
    found = {key: getattr(overlay, name, None) for key, name in keys.items()}
    return {key: value for key, value in found.items() if isinstance(value, Mapping)}


def _check_assets(place: _Place, overlay: Overlay) -> None:
    assets = place.scenario.market.assets
    for key, table in _named(overlay).items():
        for asset in table:
            if asset not in assets:
                remedy = f"{suggestion(asset, assets)} (or add it to the assets)"
                raise place.refuse(f"{key}.{asset}", "unknown asset", remedy)
    leader = getattr(overlay, "beta_to", None)
    if leader is not None and leader not in overlay.returns:  # type: ignore[union-attr]
        raise place.refuse(
            "beta_to",
            f'must be an asset that return names, got "{leader}"',
            f"add {leader} to return, or remove beta_to",
        )


def _check_effect(place: _Place, overlay: Overlay) -> None:
    """Refuse an overlay that does nothing."""
    tables = _named(overlay)
    for key, table in tables.items():
        if not table and not isinstance(overlay, Gap):
            raise place.refuse(key, "must not be empty", "name an asset, or remove the table")
        idle = 1.0 if key == "multiplier" else 0.0
        if table and all(value == idle for value in table.values()):
            raise place.refuse(
                key, f"has no effect: every value is {idle:g}", "change one, or remove the table"
            )
    if isinstance(overlay, (Volatility, Liquidity)) and overlay.multiplier == 1.0:
        raise place.refuse("multiplier", "has no effect: it is 1", "change it, or remove the table")
    if isinstance(overlay, Correlation) and overlay.weight == 0:
        raise place.refuse("weight", "has no effect: it is 0", "change it, or remove the table")
    if isinstance(overlay, Liquidity) and place.scenario.venue.impact.kind == "none":
        raise place.refuse(
            "kind",
            'depth has no effect with impact "none"',
            "set venue.impact.kind, or remove the table",
        )


def _check_target(place: _Place, overlay: Correlation) -> None:
    market = place.scenario.market
    if len(market.assets) == 1:
        raise place.refuse("target", "has no effect on one asset", "remove the table")
    least = float(np.linalg.eigvalsh(np.array(market.correlation, dtype=np.float64))[0])
    if least < _LEAST_EIGENVALUE:
        raise place.refuse(
            "",
            "needs a market.correlation that is positive definite, its least eigenvalue is "
            f"{least:.3g}",
            "bring assets that move as one a little apart, such as 0.999",
        )
    if isinstance(overlay.target, float):
        return
    # what is not positive semi-definite is repaired, with its distance told
    check_entries(overlay.target, market.assets, place.scenario.source, f"{place.key}.target")


def _touched(scenario: Scenario, overlay: Overlay) -> frozenset[str]:
    """Return the assets on which no second overlay of its kind may act meanwhile."""
    everybody = frozenset(scenario.market.assets)
    if isinstance(overlay, (Correlation, Gap)):
        return everybody
    if getattr(overlay, "beta_to", None) is not None:
        return everybody
    named = [frozenset(table) for table in _named(overlay).values()]
    return named[0] if named else everybody


def _pairs(scenario: Scenario) -> Iterator[tuple[int, int]]:
    stress = scenario.stress
    for later in range(len(stress)):
        for earlier in range(later):
            if stress[earlier].kind == stress[later].kind:
                yield earlier, later


def _check_overlaps(scenario: Scenario) -> None:
    stress = scenario.stress
    for earlier, later in _pairs(scenario):
        one, other = span(scenario, stress[earlier]), span(scenario, stress[later])
        shared = _touched(scenario, stress[earlier]) & _touched(scenario, stress[later])
        if not shared or not _overlap(one, other):
            continue
        kind = stress[later].kind
        asset = next(name for name in scenario.market.assets if name in shared)
        raise InputError(
            f"two overlays of kind {kind} act on {asset} at the same time, stress[{earlier}] is "
            "the other",
            file=scenario.source,
            key=f"stress[{later}]",
            remedy="let one end before the other begins, or make them one",
        )


def _overlap(one: Span, other: Span) -> bool:
    if one.first == one.last or other.first == other.last:
        # a move at once is over when it has fallen
        return one == other
    return one.first < other.last and other.first < one.last

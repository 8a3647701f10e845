"""Problems with known answers: one position a pool, geometric Brownian motion, a horizon.

The answers are closed forms or computed by ``tests.reference``, which shares no code with what is
tested. Prices are in USD, volatility and drift are annual, a year has 365 days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from tests.reference import barrier

__all__ = ["HORIZONS", "PROBLEMS", "WARNING", "Lognormal", "Problem", "Tiers"]

Tiers = tuple[tuple[float, float], ...]
"""(floor in USD, rate), the first floor 0."""

YEAR = 365.0
WARNING = 0.8
"""Margin ratio of a margin call."""

FLAT: Tiers = ((0.0, 0.005),)
LADDER: Tiers = ((0.0, 0.004), (50_000.0, 0.01), (250_000.0, 0.025), (1_000_000.0, 0.05))


@dataclass(frozen=True)
class Problem:
    """One position, opened at the starting price, alone in its pool.

    Attributes
    ----------
    name
        Of the case, its account and its asset.
    side, leverage
        Notional over the equity that backs the position.
    volatility, drift, days
        Of the price, and the horizon.
    notional
        USD at the start.
    price
        USD at the start.
    tiers
        Maintenance margin of the asset.
    isolated
        Whether the equity is the position's own margin, beside cash that backs nothing.
    """

    name: str
    side: Literal["long", "short"]
    leverage: float
    volatility: float
    days: int
    drift: float = 0.0
    notional: float = 10_000.0
    price: float = 100.0
    tiers: Tiers = FLAT
    isolated: bool = False

    @property
    def years(self) -> float:
        """The horizon in years."""
        return self.days / YEAR

    @property
    def size(self) -> float:
        """Absolute quantity, in units of the asset."""
        return self.notional / self.price

    @property
    def quantity(self) -> float:
        """Signed quantity, in units of the asset."""
        return self.size if self.side == "long" else -self.size

    @property
    def equity(self) -> float:
        """What backs the position at the start, USD."""
        return self.notional / self.leverage

    def barrier(self, ratio: float = 1.0) -> float:
        """Price at which the margin ratio reaches ``ratio``, USD: requirement = ratio * equity."""
        demanded = [(floor, rate / ratio) for floor, rate in self.tiers]
        return barrier.liquidation_price(self.side, self.price, self.size, self.equity, demanded)

    def probability(self, ratio: float = 1.0) -> float:
        """P(the margin ratio reaches ``ratio`` by the horizon), watched continuously."""
        return float(self.distribution(self.years, ratio))

    def distribution(self, years: float, ratio: float = 1.0) -> float:
        """P(the margin ratio reaches ``ratio`` by ``years``), watched continuously."""
        level = self.barrier(ratio)
        return barrier.continuous(self.price, level, self.volatility, self.drift, years)

    def discrete(self, checks: int) -> float:
        """P(in breach at one of ``checks`` equally spaced looks, the last at the horizon)."""
        return barrier.discrete(
            self.price, self.barrier(), self.volatility, self.drift, self.years, checks
        )

    def residual(self, fee: float) -> float:
        """Equity after a close at the barrier, USD: the requirement there less the fee."""
        notional = self.size * self.barrier()
        amounts = barrier.tier_amounts(self.tiers)
        rates = [rate for _, rate in self.tiers]
        required = max(r * notional - a for r, a in zip(rates, amounts, strict=True))
        return required - fee * notional

    def expected_loss(self, fee: float) -> float:
        """E[equity at the start - equity at the end], USD; closed at the barrier, no debt kept.

        ``E[S_T; alive] = S_0 exp(drift T) P_S(alive)``, where under P_S, with the price itself as
        numeraire, the log price drifts by volatility^2 more (Girsanov's theorem).
        """
        hit = self.probability()
        tilted = barrier.continuous(
            self.price,
            self.barrier(),
            self.volatility,
            self.drift + self.volatility**2,
            self.years,
        )
        forward = self.price * np.exp(self.drift * self.years)
        alive = (self.equity - self.quantity * self.price) * (1 - hit)
        alive += self.quantity * forward * (1 - tilted)
        return float(self.equity - alive - max(self.residual(fee), 0.0) * hit)


def _problem(
    side: Literal["long", "short"], leverage: float, volatility: float, days: int, **more: object
) -> Problem:
    drift = more.get("drift", 0.0)
    marks = [
        f"{drift:+g}" if drift else "",
        "-tiers" if "tiers" in more else "",
        "-isolated" if "isolated" in more else "",
    ]
    name = f"{side}-{leverage:g}x-{volatility:g}-{days}d{''.join(marks)}"
    return Problem(name, side, leverage, volatility, days, **more)  # type: ignore[arg-type]


PROBLEMS: tuple[Problem, ...] = (
    _problem("long", 50, 0.6, 1, price=60_000.0),
    _problem("short", 50, 0.4, 1),
    _problem("long", 20, 0.8, 1, notional=400_000.0, tiers=LADDER),
    _problem("short", 20, 0.6, 1, notional=245_000.0, tiers=LADDER, price=0.02),
    _problem("long", 10, 0.6, 1),
    _problem("short", 10, 1.0, 1, isolated=True),
    _problem("long", 25, 0.7, 1, drift=-5.0),
    _problem("short", 30, 0.5, 1, drift=6.0, price=3_000.0),
    _problem("long", 10, 0.6, 7),
    _problem("short", 10, 0.8, 7, drift=-2.0),
    _problem("long", 5, 0.8, 7, notional=2_000_000.0, tiers=LADDER),
    _problem("short", 5, 1.0, 7),
    _problem("long", 3, 0.9, 7),
    _problem("short", 50, 0.6, 7, notional=49_500.0, tiers=LADDER),
    _problem("long", 20, 0.5, 7, drift=1.5, notional=52_000.0, tiers=LADDER),
    _problem("short", 8, 0.7, 7, drift=1.0, notional=900_000.0, tiers=LADDER, isolated=True),
    _problem("long", 3, 0.6, 30, price=60_000.0),
    _problem("short", 3, 1.2, 30),
    _problem("long", 10, 0.6, 30, isolated=True),
    _problem("short", 4, 0.5, 30, notional=980_000.0, tiers=LADDER),
    _problem("long", 50, 0.7, 30),
    _problem("short", 15, 0.6, 30, drift=-1.0, price=0.5),
    _problem("long", 6, 0.5, 30, drift=-0.5, notional=300_000.0, tiers=LADDER),
    _problem("short", 7, 0.3, 30, drift=0.8, price=3_000.0),
)
"""By horizon. Some start just below a tier's floor, some just above it, and move across."""

HORIZONS: tuple[int, ...] = tuple(sorted({problem.days for problem in PROBLEMS}))


@dataclass(frozen=True)
class Lognormal:
    """A long of one unit from ``price`` that nothing liquidates: its loss is ``price - S_T``.

    ``E[S_T] = price exp(drift years)``.
    """

    price: float
    volatility: float
    drift: float
    years: float

    @property
    def _deviation(self) -> float:
        return self.volatility * float(np.sqrt(self.years))

    def value_at_risk(self, level: float) -> float:
        """Quantile of the loss at ``level``: the price's at ``1 - level``."""
        centre = (self.drift - self.volatility**2 / 2) * self.years
        return float(self.price * (1 - np.exp(centre + self._deviation * ndtri(1 - level))))

    def expected_shortfall(self, level: float) -> float:
        """Mean loss beyond the quantile.

        ``E[S_T; S_T <= its quantile at a] = E[S_T] Phi(Phi^-1(a) - volatility sqrt(T))``.
        """
        tail = 1 - level
        forward = self.price * np.exp(self.drift * self.years)
        return float(self.price - forward * ndtr(ndtri(tail) - self._deviation) / tail)

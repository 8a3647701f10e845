"""Plain books through the cascade kernel, several venues side by side, compared with the twin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from stress.book.book import Book
from stress.book.display import pool_margins
from stress.book.pools import Pools, account_pools
from stress.book.setting import Setting
from stress.book.venue import VenueSetting
from stress.engine.block import Schedule
from stress.engine.cascade import CascadeOutcome, cascade
from stress.margin import tier_amounts
from stress.market.environment import Environment
from stress.market.given import GivenPaths
from stress.types import TOLERANCE, Integers
from stress.venue.build import build_holdings, build_rules, build_variant
from tests.reference.cascade import PlainBook, PlainResult, PlainVenue

__all__ = [
    "KERNELS",
    "Followed",
    "book_of",
    "compare",
    "environment_of",
    "follow",
    "setting_of",
]

Array = NDArray[Any]
Floats = NDArray[np.float64]

BLOCK = 5
"""Steps a time block: does not divide the steps of a random book."""
TIER_WIDTH = 3
"""Tiers that every table is padded to, a margin level too."""

KERNELS: dict[Any, Any] = {}
"""Kernels compiled so far, by everything that they are specialised to."""

_QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Compiled to be compiled soon, not to run fast: a kernel runs a few milliseconds here."""


class Followed(NamedTuple):
    """What became of a book: outcomes as NumPy arrays, column v paths + p is path p of venue v.

    ``row`` (positions,) is the book's row of each position as the kernel holds them; ``gross`` are
    starting notionals (accounts,) and (assets,), USD; ``first`` (accounts,) first pools.
    """

    outcome: CascadeOutcome
    paths: int
    row: Integers
    first: Integers
    gross: Floats
    gross_by_asset: Floats


# --- plain objects to the arrays that the kernel is built from ------------------------------------


def book_of(plain: PlainBook) -> Book:
    """Return the book as if it had been read from files."""
    items = [(a, item) for a, account in enumerate(plain.accounts) for item in account.positions]
    coins = [(a, coin) for a, account in enumerate(plain.accounts) for coin in account.coins]

    def floats(values: Sequence[float | None]) -> Floats:
        return np.array([np.nan if v is None else v for v in values], np.float64)

    def whole(values: Sequence[int]) -> Integers:
        return np.array(values, np.int64)

    accounts = plain.accounts
    return Book(
        accounts=tuple(f"account-{number}" for number in range(len(accounts))),
        cash=floats([account.cash for account in accounts]),
        groups=("one", "other"),
        account_group=np.arange(len(accounts)) % 2,
        reserve=floats([account.reserve for account in accounts]),
        top_up_trigger=floats([account.top_up_trigger for account in accounts]),
        top_up_target=floats([account.top_up_target for account in accounts]),
        positions=tuple(f"position-{number}" for number in range(len(items))),
        position_account=whole([a for a, _ in items]),
        position_asset=whole([item.asset for _, item in items]),
        quantity=floats([item.quantity for _, item in items]),
        entry_price=floats([item.entry for _, item in items]),
        margin=floats([item.margin for _, item in items]),
        leverage=floats([item.leverage for _, item in items]),
        stop_price=floats([item.stop for _, item in items]),
        coin_account=whole([a for a, _ in coins]),
        coin_asset=whole([asset for _, (asset, _) in coins]),
        coin_quantity=floats([units for _, (_, units) in coins]),
    )


def setting_of(venue: PlainVenue, price: Floats, steps: int) -> Setting:
    """Return market and venue as if a scenario had stated them."""
    assets = len(price)
    floor = np.full((assets, TIER_WIDTH), np.inf)
    rate = np.zeros((assets, TIER_WIDTH))
    for asset, table in enumerate(venue.tiers):
        floor[asset, : len(table)] = [low for low, _ in table]
        rates = [share for _, share in table]
        rate[asset] = rates + rates[-1:] * (TIER_WIDTH - len(rates))
    amount = np.asarray(tier_amounts(floor, rate))
    level = venue.trigger is not None
    unstated = [np.nan] * assets
    return Setting(
        assets=tuple(f"asset-{number}" for number in range(assets)),
        price=price,
        volatility=np.array(venue.volatility),
        drift=np.zeros(assets),
        correlation=np.eye(assets),
        haircut=np.array(venue.haircut or [0.0] * assets),
        tier_floor=floor,
        tier_rate=rate,
        tier_amount=amount,
        requirement_rate=np.full_like(rate, venue.trigger) if level else rate,
        requirement_amount=np.zeros_like(amount) if level else amount,
        fee=venue.fee,
        warning=venue.warning,
        step_years=venue.step,
        horizon_years=venue.step * steps,
        steps=steps,
        venue=VenueSetting(
            order=venue.order,  # type: ignore[arg-type]
            amount=venue.amount,  # type: ignore[arg-type]
            step_fraction=venue.step_fraction,
            buffer=venue.buffer,
            rounds=venue.rounds,
            impact=venue.impact,  # type: ignore[arg-type]
            impact_coefficient=venue.coefficient,
            adv=np.array(venue.adv or unstated),
            depth_1pct=np.array(venue.depth_1pct or unstated),
            permanent=venue.permanent,
            relaxation_years=venue.relaxation,
            depth_elasticity=venue.depth_elasticity,
            fund=venue.fund,
            funding_rate=np.array(venue.funding_rate or [0.0] * assets),
            funding_steps=venue.funding_steps,
            deleveraging=venue.deleveraging,  # type: ignore[arg-type]
            decision=venue.decision,  # type: ignore[arg-type]
            latency=venue.latency,
            lag=venue.lag,
            shard=np.array(venue.shards or [0] * assets),
        ),
    )


def environment_of(venue: PlainVenue, nodes: int) -> Environment:
    """Return depth and halts of a venue at so many nodes, the start included."""
    depth = np.ones((nodes, len(venue.tiers)))
    for step, multiplier in venue.liquidity.items():
        depth[step] = multiplier
    halted = np.isin(np.arange(nodes), list(venue.halted))
    return Environment(jnp.asarray(depth), jnp.asarray(halted))


# --- through the kernel ---------------------------------------------------------------------------


def follow(
    plain: PlainBook,
    venues: Sequence[PlainVenue],
    prices: Floats,
    *,
    everyone: bool,
    window: bool | None = None,
    stressed: bool | None = None,
    block: int = BLOCK,
) -> Followed:
    """Follow a book through venues that differ in impact law and decision only.

    Parameters
    ----------
    prices
        (paths, steps + 1, assets) fundamental prices, USD.
    everyone
        Judge every pool at every look.
    window
        Whether volatility is realised; None: where the venue's depth is elastic.
    stressed
        Whether the kernel is told depth and halts; None: where the venue has some.
    block
        Steps a time block.
    """
    paths, nodes, _ = prices.shape
    price = prices[0, 0]
    settings = [setting_of(venue, price, nodes - 1) for venue in venues]
    main, book = settings[0], book_of(plain)
    pools = account_pools(book, "as-booked", price, main.haircut)
    holdings, row = _held(book, pools, main)
    variants = tuple(build_variant(of, "float64", of.venue.impact) for of in settings)
    rules = build_rules(main, variants, "float64")
    if stressed is None:
        stressed = bool(venues[0].halted or venues[0].liquidity)
    if window:
        rules = replace(rules, depth_window=12)
    schedule = Schedule(
        steps=nodes - 1,
        block=block,
        monitoring="step",
        precision="float64",
        least_excess=everyone,
    )
    arguments = (
        GivenPaths.build(prices, price=price, precision="float64"),
        jnp.asarray(price),
        holdings,
        rules,
        jnp.asarray(0, jnp.uint32),
        jnp.arange(paths, dtype=jnp.uint32),
        jnp.asarray(0, jnp.int32),
        environment_of(venues[0], nodes) if stressed else None,
    )
    outcome = _kernel(arguments, schedule)(*arguments)
    notional = np.abs(book.quantity) * price[book.position_asset]
    return Followed(
        outcome=jax.tree.map(np.asarray, outcome),
        paths=paths,
        row=row,
        first=np.searchsorted(pools.account, np.arange(len(book.accounts))),
        gross=np.bincount(book.position_account, notional, minlength=len(book.accounts)),
        gross_by_asset=np.bincount(book.position_asset, notional, minlength=len(price)),
    )


def _held(book: Book, pools: Pools, setting: Setting) -> tuple[Any, Integers]:
    start = pool_margins(book, pools, setting, setting.price)
    counted = TOLERANCE["float64"] * start.notional
    return build_holdings(book, pools, setting, "float64", deficit_counted=counted, most_groups=16)


def _kernel(arguments: tuple[Any, ...], schedule: Schedule) -> Callable[..., Any]:
    """Return the kernel for arguments of such shapes, compiled once."""
    leaves, structure = jax.tree.flatten(arguments)
    shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
    key = (structure, shapes, schedule)
    if key not in KERNELS:
        lowered = cascade.lower(*arguments, schedule=schedule)
        KERNELS[key] = lowered.compile(compiler_options=_quick())
    return KERNELS[key]


@cache
def _quick() -> dict[str, Any] | None:
    """Return the options of a quick compilation, None where this XLA does not know them."""
    try:
        jax.jit(jnp.negative).lower(jnp.ones(())).compile(compiler_options=_QUICK)
    except jax.errors.JaxRuntimeError:
        return None
    return _QUICK


# --- beside the twin ------------------------------------------------------------------------------

RELATIVE = 1e-8
"""Of a number, or of what was held at the start where the number is near 0."""


def compare(
    found: Followed, venue: int, twins: Sequence[PlainResult], relative: float = RELATIVE
) -> None:
    """Compare everything that the twin says with the columns of a venue, all paths at once.

    Not on paths on which rounding decides whether a debt leaves a coin to sell in another round.
    """
    some = venue * found.paths + np.flatnonzero([not twin.tied for twin in twins])
    twins = [twin for twin in twins if not twin.tied]
    if not twins:
        return
    outcome, first, gross = found.outcome, found.first, found.gross[:, None]
    total = found.gross.sum()

    def said(name: str) -> Array:
        """Return what the twin says of all paths, path last."""
        return np.array([getattr(twin, name) for twin in twins]).T

    def same(name: str, numbers: Array) -> None:
        np.testing.assert_array_equal(numbers, said(name), err_msg=name)

    def near(name: str, numbers: Array, scale: Any) -> None:
        expected = said(name)
        # where nothing was held the number itself must do
        scale = np.maximum(np.where(np.isnan(expected), 0, np.abs(expected)), scale)
        scale = np.where(scale > 0, scale, 1)
        np.testing.assert_allclose(
            numbers / scale, expected / scale, rtol=0, atol=relative, err_msg=name
        )

    fates, tally = outcome.fates, outcome.tally
    never = np.iinfo(np.int32).max
    step = np.where(fates.step[:, some] < 0, never, fates.step[:, some])
    step = np.minimum.reduceat(step, first)
    same("liquidation_step", np.where(step == never, -1, step))
    same("bankrupt", np.logical_or.reduceat(fates.bankrupt[:, some], first))
    same("called", np.logical_or.reduceat(fates.called[:, some], first))
    loser = fates.loser[:, some]
    same("largest_loser", np.where(loser < 0, -1, found.row[loser]))
    near("equity_end", np.add.reduceat(outcome.equity[:, some], first), gross)
    near("reserve_end", outcome.reserve[:, some], gross)
    if fates.least_excess.shape[0]:
        least = np.minimum.reduceat(fates.least_excess[:, some], first)
        near("least_excess", np.where(np.isinf(least), np.nan, least), gross)
    near("mark_end", outcome.marks[:, some], 0)
    near("closed_notional", tally.closed[:, some], found.gross_by_asset[:, None])
    near("overshoot", tally.overshoot[:, some], 1e-3)
    near("fund_end", outcome.fund[some], total)
    near("fund_draw", tally.drawn[some], total)
    near("uncovered_loss", tally.uncovered[some], total)
    near("socialised_loss", tally.socialised[some], total)
    near("deleveraged_notional", tally.deleveraged[some], total)
    near("over_closed_notional", tally.over_closed[some], total)
    same("false_liquidations", tally.false_liquidations[some])
    same("late_steps", tally.late_steps[some])
    same("rounds_exhausted", tally.rounds_exhausted[some])
    same("fund_exhausted", tally.exhausted[some])
    near("fund_need", tally.need[some], total)
    near("owed", np.add.reduceat(fates.owed[:, some], first), gross)

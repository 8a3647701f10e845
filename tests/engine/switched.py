"""The cascade under rules that are told by arrays what to do: one compilation for all of them.

Orders, amounts and backstops of a venue are types, and each set of them is another kernel that
takes ten seconds to compile. Here each rule is a switch between the real parts, all books have the
shapes of ``cascade_books``, and the impact laws stand side by side as variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import stress
from stress.book.book import Book
from stress.book.display import pool_margins
from stress.book.pools import Pools, account_pools
from stress.book.setting import Setting
from stress.engine.block import Schedule
from stress.engine.cascade import CascadeOutcome, cascade
from stress.market.given import Along, GivenPaths
from stress.scenario.build import build_setting
from stress.venue.amounts import All, FirstPosition, FirstTier, Fraction, Restore
from stress.venue.backstop import AutoDeleverage, Socialised
from stress.venue.build import build_holdings, build_rules, build_variant
from stress.venue.decision import Leader, Sharded
from stress.venue.holdings import Holdings, Ledger
from stress.venue.judged import Judged, Tables
from stress.venue.orders import LargestLoss, LargestMargin, LargestNotional, Order, ProRata
from stress.venue.rules import Variant, VenueRules
from tests.cascade_books import PRICE, STEPS, Case, plain_book, scenario_of
from tests.reference.cascade import PlainBook

__all__ = [
    "LINEAR",
    "NONE",
    "ORDERS",
    "AMOUNTS",
    "PATHS",
    "SHARDED",
    "SQUARE_ROOT",
    "VARIANTS",
    "Laid",
    "blank",
    "book_of",
    "case_of",
    "column",
    "lay_out",
    "model_of",
    "run",
    "schedule",
]

Floats = NDArray[np.float64]

PATHS = 8
SHARDED, SQUARE_ROOT, LINEAR, NONE = range(4)
VARIANTS = ("sharded", "square-root", "linear", "none")
"""Square-root impact under lagging shards; then a prompt leader under each law."""
ORDERS = ("largest-loss", "largest-margin", "largest-notional", "pro-rata")
AMOUNTS = ("restore", "step", "tier", "position", "all")


# --- rules that are told what to do ---------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AnyOrder:
    """The order with this number in ``ORDERS``."""

    which: jax.Array

    together = False

    def rank(self, pool: Judged) -> jax.Array:
        orders: tuple[Order, ...] = (LargestLoss(), LargestMargin(), LargestNotional(), ProRata())
        return jax.lax.select_n(self.which, *(order.rank(pool) for order in orders))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AnyAmount:
    """The amount with this number in ``AMOUNTS``, in turn or pro rata."""

    which: jax.Array
    together: jax.Array
    buffer: jax.Array
    fraction: jax.Array

    uses_base = True

    def plan(
        self,
        pool: Judged,
        order: Order,
        own: jax.Array,
        fee: jax.Array,
        tables: Tables,
        tolerance: float,
    ) -> jax.Array:
        rest = own, fee, tables, tolerance
        restore, step = Restore(self.buffer), Fraction(self.fraction)
        apart = [
            amount.plan(pool, order, *rest)
            for amount in (restore, step, FirstTier(), FirstPosition(), All())
        ]
        together = [amount.plan(pool, ProRata(), *rest) for amount in (restore, step)]
        return jax.lax.select_n(
            self.together,
            jax.lax.select_n(self.which, *apart),
            jax.lax.select_n(self.which, *together, *apart[2:]),
        )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AnyBackstop:
    """Deleverages, socialises, or does neither."""

    deleveraging: jax.Array
    socialising: jax.Array

    deleverages = True
    socialises = True

    def deleverage(
        self, holdings: Holdings, ledger: Ledger, short: jax.Array, *rest: Any
    ) -> tuple[Ledger, jax.Array]:
        offered = jnp.where(self.deleveraging, short, 0)
        return AutoDeleverage().deleverage(holdings, ledger, offered, *rest)

    def share_out(
        self, holdings: Holdings, ledger: Ledger, unpaid: jax.Array, marks: jax.Array
    ) -> tuple[Ledger, jax.Array]:
        asked = jnp.where(self.socialising, unpaid, 0)
        return Socialised().share_out(holdings, ledger, asked, marks)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Wobbling:
    """Given prices, and a normal of its own for each path number, of a size that may be 0."""

    given: GivenPaths
    size: jax.Array

    @property
    def assets(self) -> int:
        return self.given.assets

    @property
    def covariance_root(self) -> jax.Array:
        return self.given.covariance_root

    def init(self, paths: jax.Array) -> Along:
        return self.given.init(paths)

    def step(self, state: Along, normals: jax.Array, keys: jax.Array) -> tuple[Along, jax.Array]:
        state, log_return = self.given.step(state, normals, keys)
        return state, log_return + self.size * normals


# --- from a case and a plain book to arguments of the kernel --------------------------------------


class Laid(NamedTuple):
    """A book laid out for the kernel under rules. ``row``: positions of the book, as they stand."""

    holdings: Holdings
    rules: VenueRules
    setting: Setting
    pools: Pools
    row: NDArray[np.int64]


@cache
def setting_of(case: Case) -> Setting:
    """Return the venue of a case; shapes of the kernel are those of the fullest case."""
    with TemporaryDirectory() as folder:
        # the files that the scenario names must exist, but nobody reads them
        for name in ("accounts.csv", "positions.csv", "collateral.csv", "paths.nc"):
            (Path(folder) / name).touch()
        return build_setting(stress.load_scenario(scenario_of(case), base=folder))


def case_of(**chosen: Any) -> Case:
    """Return a case, with another order where the chosen one does not go with the amount.

    Pro rata is refused with tiers and positions; positions that were closed down to the floor of
    one tier are equal but for rounding, and so is their rank by size.
    """
    refused = chosen["order"] == "pro-rata" and chosen["amount"] in ("tier", "position")
    if refused or chosen["amount"] == "tier":
        chosen["order"] = "largest-loss"
    return Case(**chosen)


def book_of(plain: PlainBook) -> Book:
    """Return a plain book as the program holds it, every account a group by itself."""
    accounts = plain.accounts
    rows = [(number, item) for number, one in enumerate(accounts) for item in one.positions]
    coins = [(number, *coin) for number, one in enumerate(accounts) for coin in one.coins]

    def numbers(values: Sequence[float | None]) -> Floats:
        return np.array([np.nan if value is None else value for value in values], float)

    names = tuple(f"account-{number}" for number in range(len(accounts)))
    return Book(
        accounts=names,
        cash=numbers([one.cash for one in accounts]),
        groups=names,
        account_group=np.arange(len(accounts)),
        reserve=numbers([one.reserve for one in accounts]),
        top_up_trigger=numbers([one.top_up_trigger for one in accounts]),
        top_up_target=numbers([one.top_up_target for one in accounts]),
        positions=tuple(f"position-{number}" for number in range(len(rows))),
        position_account=np.array([number for number, _ in rows], np.int64),
        position_asset=np.array([item.asset for _, item in rows], np.int64),
        quantity=numbers([item.quantity for _, item in rows]),
        entry_price=numbers([item.entry for _, item in rows]),
        margin=numbers([item.margin for _, item in rows]),
        leverage=numbers([item.leverage for _, item in rows]),
        stop_price=numbers([item.stop for _, item in rows]),
        coin_account=np.array([number for number, *_ in coins], np.int64),
        coin_asset=np.array([asset for _, asset, _ in coins], np.int64),
        coin_quantity=numbers([units for *_, units in coins]),
    )


def blank() -> PlainBook:
    """Return the accounts of ``cascade_books`` with nothing in them, to be filled by hand.

    A position of no quantity is a closed one.
    """
    book = plain_book(0, Case())
    for account in book.accounts:
        account.cash = 0.0
        account.coins = [(asset, 0.0) for asset, _ in account.coins]
        for item in account.positions:
            item.quantity = 0.0
            item.margin = None if item.margin is None else 0.0
    return book


def lay_out(case: Case, plain: PlainBook, setting: Setting | None = None, **venue: Any) -> Laid:
    """Return a book under the rules of a case, with changes of the setting's venue."""
    setting = setting or setting_of(case)
    setting = replace(setting, venue=replace(setting.venue, **venue))
    book = book_of(plain)
    pools = account_pools(book, "as-booked", setting.price, setting.haircut)
    start = pool_margins(book, pools, setting, setting.price)
    holdings, row = build_holdings(
        book, pools, setting, "float64", deficit_counted=1e-9 * start.notional, most_groups=16
    )
    holdings = replace(holdings, has_stops=True, has_top_ups=True)
    return Laid(holdings, _rules(setting), setting, pools, row)


def _rules(setting: Setting) -> VenueRules:
    venue = setting.venue
    laws = [build_variant(setting, "float64", law).impact for law in VARIANTS[1:]]
    shards = Sharded(jnp.asarray([0, 1, 1, 0], jnp.int32), 2, 2)
    variants = (Variant(laws[0], shards), *(Variant(law, Leader()) for law in laws))
    # funding and shrinking depth are always looked after: their rates and powers may be 0
    fullest = replace(venue, funding_steps=venue.funding_steps or 4)
    rules = build_rules(replace(setting, venue=fullest), variants, "float64")
    return replace(
        rules,
        order=AnyOrder(jnp.asarray(ORDERS.index(venue.order), jnp.int32)),
        amount=AnyAmount(
            jnp.asarray(AMOUNTS.index(venue.amount), jnp.int32),
            jnp.asarray(venue.order == "pro-rata"),
            jnp.asarray(venue.buffer),
            jnp.asarray(venue.step_fraction),
        ),
        backstop=AnyBackstop(
            jnp.asarray(venue.deleveraging == "auto-deleverage"),
            jnp.asarray(venue.deleveraging == "socialised"),
        ),
        depth_window=12,
    )


def model_of(prices: Floats, wobble: float = 0.0) -> Wobbling:
    """Return the model of (paths, steps + 1, assets) prices."""
    given = GivenPaths.build(prices, price=np.array(PRICE), precision="float64")
    return Wobbling(given, jnp.asarray(wobble))


def schedule(*, block: int = 14, least_excess: bool = True) -> Schedule:
    """Return the schedule of all books: 27 steps and the start in two blocks."""
    return Schedule(STEPS, block, "step", "float64", least_excess)


def run(
    laid: Laid,
    prices: Floats,
    *,
    numbers: Sequence[int] | None = None,
    wobble: float = 0.0,
    **how: Any,
) -> CascadeOutcome:
    """Run the kernel; leaves are NumPy arrays. Shorter prices stand still after their end."""
    paths = np.arange(len(prices)) if numbers is None else np.asarray(numbers)
    outcome = cascade(
        model_of(filled(prices), wobble),
        jnp.asarray(PRICE),
        laid.holdings,
        laid.rules,
        jnp.asarray(17, jnp.uint32),
        jnp.asarray(paths, jnp.uint32),
        jnp.asarray(0, jnp.int32),
        schedule=schedule(**how),
    )
    found: CascadeOutcome = jax.tree.map(np.asarray, outcome)
    return found


def filled(prices: Floats) -> Floats:
    """Return prices that stand still after their end, on as many paths as one shape has."""
    missing = STEPS + 1 - prices.shape[1]
    return np.concatenate([prices, np.repeat(prices[:, -1:], missing, axis=1)], axis=1)


def column(outcome: CascadeOutcome, variant: int, path: int = 0) -> CascadeOutcome:
    """Return what became of one path under one variant: the columns' axis is gone."""
    columns = len(outcome.fund)
    at = variant * (columns // len(VARIANTS)) + path

    def of(leaf: Any) -> Any:
        array = np.asarray(leaf)
        return array[..., at] if array.ndim and array.shape[-1] == columns else array

    return jax.tree.map(of, outcome)

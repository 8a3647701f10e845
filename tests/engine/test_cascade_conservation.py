"""No batch of the kernel makes or loses money: an account of each, kept from outside.

The kernel is driven batch by batch: the controls of a step, then rounds one at a time. What traded
is read off the quantities before and after; marks, prices and flows are computed here anew from the
laws as they are written, so that nothing of ``engine.batch`` is believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stress.engine.batch import State, Trading

# a path is taken apart into its batches: there is no public face for that
from stress.engine.cascade import _at_start
from stress.engine.rounds import Lists, obey_controls, one_round, reach
from stress.engine.span import Span
from stress.venue.holdings import Holdings
from stress.venue.rules import VenueRules
from tests.cascade_books import (
    ADV,
    CHOICES,
    DEPTH_1PCT,
    FUNDS,
    PRICE,
    VOLATILITY,
    plain_book,
    price_paths,
)
from tests.engine.switched import NONE, SHARDED, SQUARE_ROOT, VARIANTS, Laid, case_of, lay_out
from tests.strategies import seeds

Floats = NDArray[np.float64]
PATHS = 8
STEPS = 7
TAU = 1e-9


@jax.jit
def at_start(holdings: Holdings, rules: VenueRules) -> tuple[State, Lists]:
    carried = _at_start(_trading(holdings, rules), PATHS, block=1)
    return carried.state, carried.lists


@jax.jit
def controls(
    holdings: Holdings, rules: VenueRules, state: State, span: Span, lists: Lists
) -> State:
    with_ = _trading(holdings, rules)
    return obey_controls(with_, reach(with_, state, span), span, lists)[0]


@jax.jit
def a_round(holdings: Holdings, rules: VenueRules, state: State, span: Span, lists: Lists) -> State:
    with_ = _trading(holdings, rules)
    return one_round(with_, reach(with_, state, span), span, lists)[0]


def _trading(holdings: Holdings, rules: VenueRules) -> Trading:
    return Trading.of(
        jnp.asarray(PRICE), holdings, rules, steps=STEPS, tolerance=TAU, everyone=False
    )


@dataclass
class Batch:
    """The state before and after the controls of a step, or one round; arrays of NumPy.

    ``log_price`` (assets, columns) and ``depth`` (assets, paths) of the step ``number``.
    """

    kind: str
    laid: Laid
    number: int
    log_price: Floats
    depth: Floats
    before: State
    after: State

    def flow(self, state: State) -> tuple[Floats, Floats]:
        """Return the lasting and the passing flow now, (assets, columns)."""
        market = state.market
        faded = float(self.laid.rules.decay) ** (self.number - np.asarray(market.since))
        return np.asarray(market.lasting), np.asarray(market.passing) * faded

    def marks_of(self, state: State) -> Floats:
        """Return (assets, columns) marks by the laws as they are written."""
        moves = []
        for variant, part in enumerate(np.split(sum(self.flow(state)), len(VARIANTS), axis=1)):
            if variant in (SHARDED, SQUARE_ROOT):
                daily = np.array(VOLATILITY)[:, None] / np.sqrt(365.0)
                moves.append(np.sign(part) * daily * np.sqrt(np.abs(part) / np.array(ADV)[:, None]))
            else:
                share = 0.0 if variant == NONE else 0.01
                moves.append(share * part / np.array(DEPTH_1PCT)[:, None])
        logs = self.log_price + np.concatenate(moves, axis=1)
        marks: Floats = np.array(PRICE)[:, None] * np.exp(logs)
        return marks


def batches(laid: Laid, prices: Floats, depths: Floats) -> Iterator[Batch]:
    """Yield the batches of a book on (paths, steps + 1, assets) prices.

    ``depths`` (steps + 1, assets, paths): what depth is left in each step. Every step is a span of
    its own, in which all columns begin anew.
    """
    arguments = laid.holdings, laid.rules
    state, lists = at_start(*arguments)
    logs = np.log(prices / PRICE).transpose(1, 2, 0)
    logs = np.concatenate([np.repeat(logs[:1], laid.rules.delay, axis=0), logs])
    for step in range(prices.shape[1]):
        nodes = logs[step : step + laid.rules.delay + 1]
        span = _one_step(step, nodes, depths[step])
        clock = state.clock._replace(
            place=jnp.full_like(state.clock.place, -1), acted=jnp.zeros_like(state.clock.acted)
        )
        stale = jnp.ones_like(state.watch.stale)
        state = state._replace(clock=clock, watch=state.watch._replace(stale=stale))
        what = (laid, step, np.tile(nodes[-1], len(VARIANTS)), depths[step])
        if step > 0:
            after = controls(*arguments, state, span, lists)
            yield Batch("controls", *what, *jax.tree.map(np.asarray, (state, after)))
            state = after
        for _ in range(8):
            after = a_round(*arguments, state, span, lists)
            batch = Batch("round", *what, *jax.tree.map(np.asarray, (state, after)))
            state = after
            if (batch.before.ledger.cash == batch.after.ledger.cash).all():
                break
            yield batch


def _one_step(step: int, nodes: Floats, depth: Floats) -> Span:
    """Return the span of one step, from the (delay + 1, assets, paths) log prices seen there."""
    low, high = nodes.min(axis=0), nodes.max(axis=0)
    marks = np.array(PRICE)[:, None] * np.exp(np.stack([low, high]))
    return jax.tree.map(
        jnp.asarray,
        Span(
            first=np.int32(step),
            looks=np.ones(1, bool),
            nodes=nodes,
            marks=marks[..., None],
            low=low,
            high=high,
            depth=depth[None],
        ),
    )


@dataclass
class Account:
    """What a batch did. Signed units closed, long positive; USD by owner; (…, columns) each."""

    closed: Floats
    sold: Floats
    price: Floats
    scale: Floats
    drawn: Floats
    residual: Floats


def audit(batch: Batch) -> Account:
    """Check one batch against section 7, and return what was found for further checks."""
    holdings, before, after = batch.laid.holdings, batch.before, batch.after
    asset, entry = (np.asarray(of)[:-1] for of in (holdings.asset, holdings.entry))
    coin_asset = np.asarray(holdings.coin_asset)[:-1]
    had, has = (state.ledger.quantity[:-1] for state in (before, after))
    coins_had, coins_have = (state.ledger.coins[:-1] for state in (before, after))
    closed, sold = had - has, coins_had - coins_have
    loaded = np.abs(np.asarray(holdings.quantity)[:-1])[:, None]

    # nothing grows, nothing changes sign, no rest is left that is as good as nothing
    assert (has * had >= 0).all() and (np.abs(has) <= np.abs(had)).all()
    assert (coins_have >= 0).all() and (sold >= 0).all()
    assert ((has == had) | (has == 0) | (np.abs(has) >= TAU * loaded)).all()

    old, new = batch.marks_of(before), batch.marks_of(after)
    price = (old + new) / 2
    columns = had.shape[1]
    scale = 1 + np.abs(had).T @ entry + np.abs(before.ledger.cash).sum(axis=0)
    scale = scale + before.ledger.fund + before.ledger.reserve.sum(axis=0)

    def by_asset(units: Floats, of: NDArray[np.int32]) -> Floats:
        total = np.zeros((len(PRICE), columns))
        np.add.at(total, of, units)
        return total

    # the flow: what was sold on balance, at fundamental prices, by the depth that is left
    net = by_asset(closed, asset) + by_asset(sold, coin_asset)
    depth = np.tile(batch.depth, len(VARIANTS))
    flow = -net * np.array(PRICE)[:, None] * np.exp(batch.log_price) / depth
    permanent = float(batch.laid.rules.permanent)
    for share, left, stands in zip(
        (permanent, 1 - permanent), batch.flow(before), batch.flow(after), strict=True
    ):
        assert (np.abs(stands - left - share * flow) <= 1e-8 * scale / depth.min(axis=0)).all()

    # conservation, at marks of no meaning
    rng = np.random.default_rng(3)
    for marks in (np.array(PRICE), np.array(PRICE) * rng.uniform(0.1, 3.0, len(PRICE))):
        change = after.ledger.cash.sum(axis=0) - before.ledger.cash.sum(axis=0)
        change = change - marks[coin_asset] @ sold - (marks[asset] - entry) @ closed
        change = change + after.ledger.fund - before.ledger.fund
        gain = (net * (marks[:, None] - price)).sum(axis=0)
        uncovered = after.tally.uncovered - before.tally.uncovered
        drawn = (before.ledger.reserve - after.ledger.reserve).sum(axis=0)
        assert (np.abs(change + gain - uncovered - drawn) <= 3e-9 * scale).all()

    return Account(closed, sold, price, scale, drawn, _residual(batch, closed, sold, price))


def _residual(batch: Batch, closed: Floats, sold: Floats, price: Floats) -> Floats:
    """Return (accounts, columns) what changed in an account besides trades, fees and its reserve.

    Deficits that others bear are positive, what was taken for them is negative.
    """
    holdings, before, after = batch.laid.holdings, batch.before, batch.after
    owner = np.asarray(holdings.account)
    fee = float(batch.laid.rules.fee) if batch.kind == "round" else 0.0
    traded = price[np.asarray(holdings.asset)[:-1]]
    gains = (
        closed * (traded - np.asarray(holdings.entry)[:-1, None]) - fee * np.abs(closed) * traded
    )
    proceeds = sold * price[np.asarray(holdings.coin_asset)[:-1]]
    total = np.zeros((len(np.asarray(holdings.reserve)), closed.shape[1]))
    np.add.at(total, owner, after.ledger.cash - before.ledger.cash)
    np.add.at(total, owner[np.asarray(holdings.pool)[:-1]], -gains)
    np.add.at(total, owner[np.asarray(holdings.coin_pool)[:-1]], -proceeds)
    return total + after.ledger.reserve - before.ledger.reserve


def check_fund(batch: Batch, found: Account) -> None:
    """Fees go in, deficits go out; what is not paid is shared or uncovered."""
    old, new = batch.before, batch.after
    tallies = {
        name: getattr(new.tally, name) - getattr(old.tally, name)
        for name in ("drawn", "uncovered", "socialised", "deleveraged")
    }
    # what changes hands may have a negative price: the shortfall of a short may exceed its notional
    changed_hands = tallies.pop("deleveraged")
    assert all((change >= 0).all() for change in tallies.values())
    assert (new.ledger.fund >= 0).all()
    notional = (new.tally.closed - old.tally.closed).sum(axis=0)
    fees = notional * float(batch.laid.rules.fee) if batch.kind == "round" else 0.0
    change = new.ledger.fund - old.ledger.fund
    assert (np.abs(change - fees + tallies["drawn"]) <= 1e-12 * found.scale).all()
    # nobody else pays while the fund has something
    unpaid = tallies["uncovered"] + tallies["socialised"]
    assert ((unpaid == 0) | (new.ledger.fund == 0)).all()

    quiet = changed_hands == 0
    traded = found.price[np.asarray(batch.laid.holdings.asset)[:-1]]
    market = (np.abs(found.closed) * traded).sum(axis=0)
    off = np.abs(notional - market) / found.scale
    assert (off[quiet] <= 1e-8).all()
    # two sides of what changed hands do not trade in the market
    assert (notional[~quiet] < market[~quiet]).all()

    # account by account: deficits are written off, winners pay, nothing else happens to anybody
    residual, limit = found.residual[:, quiet], 3e-9 * found.scale[quiet]
    shared, borne = tallies["socialised"][quiet], (tallies["drawn"] + unpaid)[quiet]
    assert (np.maximum(-residual, 0).sum(axis=0) <= shared + len(residual) * limit).all()
    assert (np.maximum(residual, 0).sum(axis=0) <= borne + len(residual) * limit).all()
    assert (np.abs(residual.sum(axis=0) - borne + shared) <= len(residual) * limit).all()


def check_pools(batch: Batch) -> None:
    """Reserves are only drawn by controls; nobody is left owing with nothing to sell."""
    holdings, ledger = batch.laid.holdings, batch.after.ledger
    reserve = batch.before.ledger.reserve
    assert (ledger.reserve >= 0).all() and (ledger.reserve <= reserve).all()
    if batch.kind == "round":
        np.testing.assert_array_equal(ledger.reserve, reserve)
    pools = holdings.pools
    held = np.zeros((pools + 1, ledger.cash.shape[1]))
    np.add.at(held, np.asarray(holdings.pool), np.abs(ledger.quantity))
    coins = np.zeros_like(held)
    np.add.at(coins, np.asarray(holdings.coin_pool), ledger.coins)
    empty = held[:-1] == 0
    owes = (ledger.cash < 0) & empty & (coins[:-1] == 0)
    isolated_rest = (ledger.cash > 0) & empty & np.asarray(holdings.is_isolated)[:, None]
    if batch.kind == "round":
        assert not owes.any()
        # who traded has handed its cash over
        assert not (isolated_rest & (batch.before.ledger.cash != ledger.cash)).any()


def check_sales(batch: Batch, found: Account) -> None:
    """Who owes without a position sells the least that covers it, in file order, no haircut."""
    holdings, before = batch.laid.holdings, batch.before
    pool, coin_pool = (np.asarray(getattr(holdings, name))[:-1] for name in ("pool", "coin_pool"))
    value = batch.marks_of(before)[np.asarray(holdings.coin_asset)[:-1]]
    held = np.zeros_like(before.ledger.cash)
    np.add.at(held, pool, np.abs(before.ledger.quantity[:-1]))
    owed = np.where(held == 0, np.maximum(-before.ledger.cash, 0), 0)
    if batch.kind != "round":
        owed = np.zeros_like(owed)
    for coin, owner in enumerate(coin_pool):
        worth = before.ledger.coins[coin] * value[coin]
        expected = np.minimum(worth, owed[owner])
        sold = found.sold[coin] * value[coin]
        assert (np.abs(sold - expected) <= 1e-12 * found.scale).all()
        owed[owner] -= expected


def events(batch: Batch, found: Account) -> dict[str, bool]:
    """Return what happened, by name."""
    old, new = batch.before.tally, batch.after.tally
    return {
        "stopped": batch.kind == "controls" and (found.closed != 0).any(),
        "topped up": (found.drawn > 1).any(),
        "coins sold": (found.sold > 0).any(),
        "paid": (new.drawn > old.drawn + 1).any(),
        "uncovered": (new.uncovered > old.uncovered + 1).any(),
        "socialised": (new.socialised > old.socialised + 1).any(),
        "deleveraged": (np.abs(new.deleveraged - old.deleveraged) > 1).any(),
        "sharded": (new.over_closed > old.over_closed + 1).any(),
    }


ALWAYS = {"stopped", "topped up", "coins sold", "paid", "sharded"}


@pytest.mark.parametrize(
    ("backstop", "more"),
    [
        pytest.param("none", {"uncovered"}, marks=pytest.mark.slow),
        pytest.param("socialised", {"socialised", "uncovered"}, marks=pytest.mark.slow),
        ("auto-deleverage", {"deleveraged", "uncovered"}),
    ],
)
@pytest.mark.slow
def test_every_batch_conserves(backstop: str, more: set[str]) -> None:
    seen: Counter[str] = Counter()
    choices = {name: st.sampled_from(CHOICES[name]) for name in ("order", "permanent", "fee")}

    # the same examples every time: what has been seen is counted
    @settings(max_examples=9, deadline=None, derandomize=True, phases=[Phase.generate])
    @given(
        seed=seeds,
        amount=st.sampled_from(CHOICES["amount"]),
        fund=st.sampled_from([FUNDS["empty"], FUNDS["small"]]),
        chosen=st.fixed_dictionaries(choices),
    )
    def check(seed: int, amount: str, fund: float, chosen: dict[str, object]) -> None:
        case = case_of(**chosen, amount=amount, backstop=backstop, controls="both")
        laid = lay_out(case, plain_book(seed, case), fund=fund)
        depths = np.random.default_rng(seed).uniform(0.05, 1.0, (STEPS + 1, len(PRICE), PATHS))
        for batch in batches(laid, price_paths(seed, PATHS, STEPS), depths):
            found = audit(batch)
            check_fund(batch, found)
            check_pools(batch)
            check_sales(batch, found)
            happened = events(batch, found)
            seen.update(name for name, yes in happened.items() if yes)
            seen[batch.kind] += 1

    check()
    assert {name for name in seen if name not in ("controls", "round")} == ALWAYS | more, seen
    assert seen["round"] > 100

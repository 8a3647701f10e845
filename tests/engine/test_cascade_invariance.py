"""What must not change the cascade: order of accounts, size of the world, company."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stress.book.setting import Setting
from stress.engine.cascade import CascadeOutcome
from stress.venue.rules import VenueRules
from tests.cascade_books import CHOICES, PRICE, Case, plain_book, price_paths
from tests.engine.switched import (
    PATHS,
    VARIANTS,
    Laid,
    blank,
    case_of,
    column,
    lay_out,
    run,
    setting_of,
)
from tests.reference.cascade import PlainAccount, PlainBook
from tests.strategies import seeds

Floats = NDArray[np.float64]

_NAMES = ("order", "permanent", "elasticity", "controls", "fee")
RULES = st.fixed_dictionaries(
    {name: st.sampled_from(CHOICES[name]) for name in (*_NAMES, "amount", "fund", "funding")}
)
COUNTS = ("false_liquidations", "late_steps", "rounds_exhausted", "exhausted")
MONEY = ("closed", "overshoot", "drawn", "uncovered", "socialised", "deleveraged", "over_closed")


def irregular(seed: int, case: Case) -> PlainBook:
    """Return a book without ties: between equals that have traded rounding chooses."""
    book = plain_book(seed, case)
    for number in (9, 10):
        item = book.accounts[number].positions[1]
        item.quantity, item.entry = 1.037 * item.quantity, 1.003 * item.entry
    return book


def pools_in(book: PlainBook) -> list[int]:
    """Return how many pools each account has."""
    return [
        1 + sum(item.margin is not None for item in account.positions) for account in book.accounts
    ]


def gross_of(book: PlainBook) -> float:
    items = [item for account in book.accounts for item in account.positions]
    return 1.0 + sum(abs(item.quantity) * item.entry for item in items)


def compare(
    found: CascadeOutcome,
    expected: CascadeOutcome,
    *,
    gross: float,
    rounding: float = 0.0,
    scale: float = 1.0,
    pools: Sequence[int] | None = None,
    accounts: Sequence[int] | None = None,
) -> None:
    """Compare all that comes out: counts exactly, money to ``rounding`` of what is held.

    ``scale``: by what the money of the one is larger. ``pools``, ``accounts``: where those of
    ``expected`` are in ``found``.
    """
    pools = list(range(len(expected.equity))) if pools is None else list(pools)
    accounts = list(range(len(expected.reserve))) if accounts is None else list(accounts)
    for name in ("step", "called", "bankrupt", "hidden"):
        ours, theirs = getattr(found.fates, name), getattr(expected.fates, name)
        np.testing.assert_array_equal(ours[pools], theirs, name)
    for name in COUNTS:
        np.testing.assert_array_equal(
            getattr(found.tally, name), getattr(expected.tally, name), name
        )

    def close(ours: Floats, theirs: Floats, name: str, unit: float) -> None:
        ours, theirs = ours / unit / scale, theirs / unit
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=rounding, err_msg=name)

    for name in MONEY:
        ours, theirs = getattr(found.tally, name), getattr(expected.tally, name)
        if name == "overshoot":
            ours = ours * scale
        close(ours, theirs, name, 1.0 if name == "overshoot" else gross)
    close(found.equity[pools], expected.equity, "equity", gross)
    close(found.reserve[accounts], expected.reserve, "reserve", gross)
    for name in ("fund", "course"):
        close(getattr(found, name), getattr(expected, name), name, gross)
    np.testing.assert_allclose(found.marks, expected.marks, rtol=rounding, err_msg="marks")


# --- order of the file ----------------------------------------------------------------------------


@pytest.mark.parametrize("backstop", [pytest.param("none", marks=pytest.mark.slow), "socialised"])
def test_order_of_accounts(backstop: str) -> None:
    """Who stands first in the file matters to nobody, unless the venue deleverages."""

    @settings(max_examples=8, deadline=None, derandomize=True)
    @given(seed=seeds, chosen=RULES)
    def check(seed: int, chosen: dict[str, Any]) -> None:
        case, prices = case_of(**chosen, backstop=backstop), price_paths(seed, PATHS)
        book = irregular(seed, case)
        order = np.random.default_rng(seed).permutation(len(book.accounts))
        other = PlainBook([book.accounts[number] for number in order])
        counts, first = pools_in(book), np.cumsum([0, *pools_in(other)])
        place = np.argsort(order)
        pools = [int(first[place[a]]) + k for a in range(len(counts)) for k in range(counts[a])]
        found, expected = (run(lay_out(case, one), prices) for one in (other, book))
        assert (expected.fates.step >= 0).any()
        compare(
            found,
            expected,
            gross=gross_of(book),
            rounding=1e-9,
            pools=pools,
            accounts=place.tolist(),
        )

    check()


def test_order_of_accounts_under_deleveraging() -> None:
    """The fund is promised in file order: of two equal bankrupts the first is paid for.

    Both are long 1,000 at 128 with 10,000 of cash, and the mark falls to 115.2: each is 2,800
    short, the fund has 2,800. What the first offers is cheap for nobody: it does not offer at all;
    the second is taken over by the winner at 118. The winner is the same, the two are not.
    """
    flat = Case(amount="all", backstop="auto-deleverage", fee=0.0)
    prices = np.tile(np.array(PRICE), (PATHS, 2, 1))
    prices[:, 1, 0] = 115.2

    def outcome(order: Sequence[int]) -> CascadeOutcome:
        book = blank()
        for number in order:
            _hold(book.accounts[number], 1_000.0, 10_000.0)
        _hold(book.accounts[11], -1_000.0, 500_000.0)
        laid = lay_out(flat, book, fund=2_800.0)
        return column(run(laid, prices), VARIANTS.index("none"))

    found = outcome([0, 9])
    assert found.tally.deleveraged == pytest.approx(1_000 * 118.0)
    # at the offer's price nothing is owed: the fund has paid for the other
    assert found.tally.drawn == pytest.approx(2_800.0) and found.tally.uncovered == 0
    assert found.equity.sum() + found.fund == pytest.approx(520_000.0 - 12_800.0 + 2_800.0)
    bankrupt = np.flatnonzero(found.fates.bankrupt)
    assert bankrupt.tolist() == [0]


def _hold(account: PlainAccount, quantity: float, cash: float, asset: int = 0) -> None:
    """Give an account of a blank book one position, entered at the price."""
    item = account.positions[0]
    item.asset, item.quantity, item.entry = asset, quantity, PRICE[asset]
    account.cash = cash


# --- one account or two ---------------------------------------------------------------------------


def _one_tier(setting: Setting) -> Setting:
    """Return the venue with one tier for each asset, in tables of the same shape."""
    rate = np.repeat(setting.tier_rate[:, :1], setting.tier_rate.shape[1], axis=1)
    floor = np.full_like(setting.tier_floor, np.inf)
    floor[:, 0] = 0.0
    none = np.zeros_like(rate)
    return replace(
        setting,
        tier_floor=floor,
        tier_rate=rate,
        tier_amount=none,
        requirement_rate=rate,
        requirement_amount=none,
    )


def _split(account: PlainAccount, share: float) -> PlainAccount:
    """Return a share of everything that an account has."""
    part = deepcopy(account)
    part.cash, part.reserve = share * part.cash, share * part.reserve
    part.coins = [(asset, share * units) for asset, units in part.coins]
    for item in part.positions:
        item.quantity *= share
        item.margin = None if item.margin is None else share * item.margin
    return part


_SPLIT = {2: 9, 4: 8, 11: 10}
"""Accounts that are split, and where their second halves stand: accounts of the same shape."""


def _twice(book: PlainBook, share: float) -> PlainBook:
    """Return the book with some accounts split: into ``share`` and the rest, in places of others.

    A part of nothing stands there where the book is whole, so that the shapes are the same.
    """
    accounts = deepcopy(book.accounts)
    for number, place in _SPLIT.items():
        accounts[number] = _split(book.accounts[number], share)
        accounts[place] = _split(book.accounts[number], 1 - share)
    return PlainBook(accounts)


@pytest.mark.parametrize("backstop", [pytest.param("none", marks=pytest.mark.slow), "socialised"])
def test_two_halves_are_a_whole(backstop: str) -> None:
    """Under one tier every rule of order and amount is free of scale: halves fare as the whole.

    Not so with several tiers (halves need less margin), in counts of pools, and where the fund is
    promised pool by pool (deleveraging).
    """

    @settings(max_examples=8, deadline=None, derandomize=True)
    @given(seed=seeds, chosen=RULES)
    def check(seed: int, chosen: dict[str, Any]) -> None:
        case, prices = case_of(**chosen, backstop=backstop), price_paths(seed, PATHS)
        setting = _one_tier(setting_of(case))
        book = irregular(seed, case)
        whole, halves = (
            run(lay_out(case, _twice(book, share), setting), prices) for share in (1.0, 0.5)
        )
        gross, counts = gross_of(book), pools_in(_twice(book, 0.5))
        first = np.cumsum([0, *counts])
        twins = {int(first[number]): int(first[place]) for number, place in _SPLIT.items()}
        for one, other in twins.items():
            for name in ("step", "called", "bankrupt", "hidden"):
                fate, same = getattr(whole.fates, name)[one], getattr(halves.fates, name)
                np.testing.assert_array_equal(same[one], fate, name)
                np.testing.assert_array_equal(same[other], fate, name)
            parts = halves.equity[[one, other]] / gross
            np.testing.assert_allclose(parts[0], parts[1], rtol=0, atol=1e-12)
            np.testing.assert_allclose(parts.sum(axis=0), whole.equity[one] / gross, atol=1e-9)
        rest = [p for p in range(int(first[-1])) if p not in twins and p not in twins.values()]
        np.testing.assert_allclose(
            halves.equity[rest] / gross, whole.equity[rest] / gross, rtol=0, atol=1e-9
        )
        for name in MONEY:
            ours, theirs = (getattr(of.tally, name) / gross for of in (halves, whole))
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(halves.fund / gross, whole.fund / gross, rtol=0, atol=1e-9)
        np.testing.assert_allclose(halves.marks, whole.marks, rtol=1e-9)

    check()


# --- a larger world -------------------------------------------------------------------------------


def _larger(setting: Setting, factor: float) -> Setting:
    """Return the venue of a world in which all money is ``factor`` times as much."""
    venue = setting.venue
    return replace(
        setting,
        tier_floor=setting.tier_floor * factor,
        tier_amount=setting.tier_amount * factor,
        requirement_amount=setting.requirement_amount * factor,
        venue=replace(
            venue,
            adv=venue.adv * factor,
            depth_1pct=venue.depth_1pct * factor,
            fund=venue.fund * factor,
        ),
    )


@pytest.mark.parametrize(
    "backstop",
    [
        pytest.param("none", marks=pytest.mark.slow),
        pytest.param("socialised", marks=pytest.mark.slow),
        "auto-deleverage",
    ],
)
def test_a_larger_world(backstop: str) -> None:
    """Accounts, depth, tiers, fund and reserves alike: by a power of two it is the same digits."""

    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(seed=seeds, chosen=RULES, odd=st.floats(0.01, 100.0))
    def check(seed: int, chosen: dict[str, Any], odd: float) -> None:
        case, prices = case_of(**chosen, backstop=backstop), price_paths(seed, PATHS)
        book, setting = irregular(seed, case), setting_of(case)
        expected = run(lay_out(case, book, setting), prices)
        for factor, rounding in ((1024.0, 0.0), (odd, 1e-9)):
            larger = PlainBook([_split(account, factor) for account in book.accounts])
            found = run(lay_out(case, larger, _larger(setting, factor)), prices)
            compare(found, expected, gross=gross_of(book), rounding=rounding, scale=factor)

    check()


# --- company --------------------------------------------------------------------------------------


def _company(seed: int, backstop: str) -> tuple[Case, Laid, Floats]:
    case = Case(
        permanent=0.4, elasticity=0.6, backstop=backstop, controls="both", funding=4, fund="small"
    )
    return case, lay_out(case, plain_book(seed, case)), price_paths(seed, PATHS)


def _paths(outcome: CascadeOutcome, order: Sequence[int]) -> CascadeOutcome:
    """Return the outcome with its paths in another order, or some of them."""
    columns = len(outcome.fund)
    paths = columns // len(VARIANTS)
    at = np.concatenate([np.asarray(order) + paths * v for v in range(len(VARIANTS))])

    def of(leaf: Any) -> Any:
        if leaf.ndim and leaf.shape[-1] == columns:
            return leaf[..., at]
        if leaf.ndim == 3 and leaf.shape[-1] == paths:
            return leaf[..., np.asarray(order)]
        return leaf

    return jax.tree.map(of, outcome._replace(replay=None))


def _equal(found: CascadeOutcome, expected: CascadeOutcome) -> None:
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("backstop", ["socialised", "auto-deleverage"])
def test_a_path_does_not_know_its_place(backstop: str) -> None:
    """Paths in another order: the same digits, and none of them of a neighbour's draws."""
    _case, laid, prices = _company(11, backstop)
    numbers = np.array([3, 500, 7, 8, 2**31, 77, 0, 12])
    order = np.array([5, 2, 7, 0, 6, 1, 3, 4])
    expected = run(laid, prices, numbers=numbers, wobble=0.01)
    found = run(laid, prices[order], numbers=numbers[order], wobble=0.01)
    assert len(np.unique(expected.marks[0])) == len(expected.marks[0])
    _equal(_paths(found, range(PATHS)), _paths(expected, order))
    # another number is another path
    other = run(laid, prices, numbers=numbers + 1, wobble=0.01)
    assert (other.marks != expected.marks).all()


@pytest.mark.slow
def test_another_device_gives_the_same_digits() -> None:
    _, laid, prices = _company(12, "auto-deleverage")
    expected = run(laid, prices)
    with jax.default_device(jax.devices()[5]):
        _, laid, prices = _company(12, "auto-deleverage")
        found = run(laid, prices)
    _equal(found, expected)


@pytest.mark.slow
def test_in_other_company() -> None:
    """Other time blocks, more paths, fewer variants, no screening: the same path."""
    case, laid, prices = _company(13, "auto-deleverage")
    expected = run(laid, prices)
    gross = gross_of(plain_book(13, case))
    fewer: VenueRules = replace(laid.rules, variants=laid.rules.variants[1:3])
    more = np.concatenate([price_paths(14, 3), prices])
    found = run(laid._replace(rules=fewer), more, block=9, least_excess=False)
    paths = len(more)
    at = np.concatenate([np.arange(3, paths), np.arange(3, paths) + paths])
    mine = np.arange(PATHS, 3 * PATHS)
    pick: Callable[[Any, Any], Any] = lambda leaf, where: np.asarray(leaf)[..., where]  # noqa: E731
    for name in ("step", "called", "bankrupt", "hidden", "loser"):
        ours, theirs = getattr(found.fates, name), getattr(expected.fates, name)
        np.testing.assert_array_equal(pick(ours, at), pick(theirs, mine), name)
    for name in (*COUNTS, *MONEY):
        ours, theirs = getattr(found.tally, name), getattr(expected.tally, name)
        unit = gross if name in MONEY and name != "overshoot" else 1.0
        np.testing.assert_allclose(
            pick(ours, at) / unit, pick(theirs, mine) / unit, rtol=0, atol=1e-12, err_msg=name
        )
    for name in ("equity", "reserve", "fund"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(
            pick(ours, at) / gross, pick(theirs, mine) / gross, rtol=0, atol=1e-12, err_msg=name
        )
    np.testing.assert_allclose(pick(found.marks, at), pick(expected.marks, mine), rtol=1e-12)
    # what a path has closed by the end of the run does not know into how many blocks it was cut
    np.testing.assert_allclose(
        pick(found.course, at)[-1] / gross, pick(expected.course, mine)[-1] / gross, atol=1e-12
    )

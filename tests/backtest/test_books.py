"""The templates' books against margin arithmetic done by hand and one by one."""

from __future__ import annotations

import numpy as np
import pytest

from stress.backtest.books import exposures, groups, liquidated, needs
from stress.backtest.load import Requirement
from stress.margin import in_breach, liquidation_price, maintenance, tier_amounts

_RATE = 0.01
_FLAT = Requirement(np.full((3, 1), _RATE), np.zeros((3, 1)))
_TEMPLATES = ("directional", "pair", "basket")


def _walks(paths: int, assets: int, seed: int = 0) -> np.ndarray:
    steps = 0.05 * np.random.default_rng(seed).standard_normal((paths, 6, assets))
    steps[:, 0] = 0.0
    return np.exp(np.cumsum(steps, axis=1))


def test_names_and_weights() -> None:
    """Directional books of each asset, pairs against the first, baskets of all; gross 1."""
    found = exposures(("A", "B", "C"), _TEMPLATES)
    assert len(found) == 6 + 2 * (2 + 2)
    assert all(sum(map(abs, book.weights.values())) == pytest.approx(1.0) for book in found)
    assert groups(found)[:3] == ("long", "short", "pair, cross")
    assert [book.name for book in exposures(("A",), _TEMPLATES)] == ["A long", "A short"]
    assert [book.group for book in exposures(("A", "B"), ("pair",))] == [
        "pair, cross",
        "pair, isolated",
    ]


@pytest.mark.parametrize("leverage", [3.0, 10.0])
def test_directional_books_by_their_liquidation_prices(leverage: float) -> None:
    """A book is liquidated where a close is beyond the price of the display."""
    walks = _walks(500, 1)
    books = exposures(("A",), ("directional",))
    need = needs(books, walks, 10_000.0, _FLAT)
    for column, sign in enumerate((1.0, -1.0)):
        quantity = np.array(sign * 10_000.0)
        price = liquidation_price(
            np.array(10_000.0 / leverage), quantity, np.array(1.0), _FLAT.rate[0], _FLAT.amount[0]
        )
        beyond = walks[:, :, 0] < price if sign > 0 else walks[:, :, 0] > price
        assert liquidated(need, [leverage])[:, column, 0].tolist() == beyond.any(axis=1).tolist()


def test_every_book_one_by_one() -> None:
    """A plain loop over paths, times and legs, with tiers."""
    floors, rates = np.array([0.0, 4_000.0]), np.array([0.01, 0.05])
    amounts = tier_amounts(floors, rates)
    requirement = Requirement(np.tile(rates, (3, 1)), np.tile(amounts, (3, 1)))
    walks = _walks(40, 3, seed=1)
    books = exposures(("A", "B", "C"), _TEMPLATES)
    hits = liquidated(needs(books, walks, 9_000.0, requirement), [4.0])[:, :, 0]
    for path, walked in enumerate(walks):
        for column, book in enumerate(books):
            pools = [[leg] for leg in book.weights] if book.isolated else [list(book.weights)]
            hit = False
            for pool in pools:
                wallet = sum(abs(book.weights[leg]) for leg in pool) * 9_000.0 / 4.0
                for marks in walked:
                    quantity = np.array([book.weights[leg] * 9_000.0 for leg in pool])
                    notional = np.abs(quantity) * marks[pool]
                    required = maintenance(notional, rates, amounts[None]).sum()
                    equity = wallet + (quantity * (marks[pool] - 1)).sum()
                    hit |= bool(in_breach(equity, required, notional.sum(), 0.0))
            assert hits[path, column] == hit


def test_extremes_bound_the_need() -> None:
    """Lows for longs, highs for shorts: never less than at closes, and exactly that for one leg."""
    walks = _walks(100, 2, seed=2)
    low, high = 0.95 * walks, 1.03 * walks
    low[:, 0] = high[:, 0] = 1.0
    requirement = Requirement(np.full((2, 1), _RATE), np.zeros((2, 1)))
    books = exposures(("A", "B"), _TEMPLATES)
    closes = needs(books, walks, 1.0, requirement)
    bound = needs(books, low, 1.0, requirement, highest=high)
    assert (bound >= closes - 1e-12).all()
    names = [book.name for book in books]
    own_low = needs(books, low, 1.0, requirement)[:, names.index("A long")]
    own_high = needs(books, high, 1.0, requirement)[:, names.index("A short")]
    assert bound[:, names.index("A long")].tolist() == own_low.tolist()
    assert bound[:, names.index("A short")].tolist() == own_high.tolist()


def test_isolated_books_are_liquidated_no_later() -> None:
    """Any leg is enough, and the legs cannot help each other."""
    books = exposures(("A", "B", "C"), ("pair", "basket"))
    need = needs(books, _walks(200, 3, seed=3), 1.0, _FLAT)
    for column, book in enumerate(books):
        if book.isolated:
            twin = next(
                other
                for other, one in enumerate(books)
                if one.weights == book.weights and not one.isolated
            )
            assert (need[:, column] >= need[:, twin] - 1e-12).all()

"""The margin arithmetic: conventions, tier edges, liquidation prices, NumPy against JAX."""

from __future__ import annotations

from math import inf
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.margin import (
    in_breach,
    liquidation_price,
    maintenance,
    margin_call,
    margin_level,
    margin_ratio,
    tier_amounts,
    unrealised_profit,
)
from tests.strategies import tier_tables

FLOORS = np.array([0.0, 50_000.0, 600_000.0, 3_000_000.0])
RATES = np.array([0.004, 0.005, 0.01, 0.025])

Table = tuple[np.ndarray, np.ndarray]


def walked(notional: float, floors: np.ndarray, rates: np.ndarray) -> float:
    """Return the maintenance margin by walking up the tiers: each rate on its own slice."""
    ends = [*floors[1:], inf]
    return sum(
        rate * (min(notional, end) - floor)
        for floor, end, rate in zip(floors, ends, rates, strict=True)
        if notional > floor
    )


class TestTiers:
    def test_amounts(self) -> None:
        """By hand: 50,000 * 0.001 = 50; + 600,000 * 0.005 = 3,050; + 3,000,000 * 0.015 = 48,050."""
        np.testing.assert_allclose(
            tier_amounts(FLOORS, RATES), [0.0, 50.0, 3_050.0, 48_050.0], rtol=1e-14
        )

    @settings(deadline=None)
    @given(tier_tables())
    def test_amounts_follow_the_recursion(self, table: Table) -> None:
        floors, rates = table
        amount, expected = 0.0, [0.0]
        for k in range(1, len(floors)):
            amount += floors[k] * (rates[k] - rates[k - 1])
            expected.append(amount)
        np.testing.assert_allclose(tier_amounts(floors, rates), expected, rtol=1e-13, atol=1e-13)

    def test_amounts_of_several_tables(self) -> None:
        """One table a row; a short one is padded with its last rate and an infinite floor."""
        floors = np.array([FLOORS, [0.0, 10.0, inf, inf]])
        rates = np.array([RATES, [0.01, 0.02, 0.02, 0.02]])
        amounts = tier_amounts(floors, rates)
        np.testing.assert_array_equal(amounts[0], tier_amounts(FLOORS, RATES))
        np.testing.assert_allclose(amounts[1], [0.0, 0.1, 0.1, 0.1], rtol=1e-14)

    @settings(deadline=None)
    @given(tier_tables(), st.floats(0.0, 1e8))
    def test_maximum_is_the_walk(self, table: Table, notional: float) -> None:
        floors, rates = table
        required = maintenance(np.array(notional), rates, tier_amounts(floors, rates))
        assert required == pytest.approx(walked(notional, floors, rates), rel=1e-9, abs=1e-9)

    def test_edges_are_exact(self) -> None:
        """At a floor the lower tier holds, and the upper one gives the same: no jump, no gap."""
        # binary fractions leave nothing to rounding
        floors = np.array([0.0, 1024.0, 65_536.0])
        rates = np.array([1 / 256, 1 / 128, 1 / 32])
        amounts = tier_amounts(floors, rates)
        for k in (1, 2):
            at_floor = maintenance(np.array(floors[k]), rates, amounts)
            assert at_floor == rates[k - 1] * floors[k] - amounts[k - 1]
            assert at_floor == rates[k] * floors[k] - amounts[k]
            above = maintenance(np.array(floors[k] + 1.0), rates, amounts)
            assert above - at_floor == rates[k]
            below = maintenance(np.array(floors[k] - 1.0), rates, amounts)
            assert at_floor - below == rates[k - 1]

    def test_shapes(self) -> None:
        """Tables broadcast against notionals, the tiers last."""
        notional = np.array([[10_000.0], [100_000.0], [5_000_000.0]])
        rates = np.stack([RATES, 2 * RATES])
        amounts = tier_amounts(FLOORS[None], rates)
        required = maintenance(notional, rates, amounts)
        assert required.shape == (3, 2)
        np.testing.assert_allclose(required[:, 1], 2 * required[:, 0], rtol=1e-14)
        np.testing.assert_allclose(required[:, 0], [40.0, 450.0, 76_950.0], rtol=1e-14)


class TestConventions:
    def test_profit(self) -> None:
        profit = unrealised_profit(np.array([2.0, -2.0]), np.array([90.0, 90.0]), np.array(100.0))
        np.testing.assert_array_equal(profit, [20.0, -20.0])

    def test_ratio(self) -> None:
        """MM / E; inf where nothing is left, 0 where nothing is open."""
        equity = np.array([200.0, 0.0, -5.0, 100.0, 0.0, -5.0])
        required = np.array([50.0, 50.0, 50.0, 0.0, 0.0, 0.0])
        notional = np.array([1e3, 1e3, 1e3, 0.0, 0.0, 0.0])
        np.testing.assert_array_equal(
            margin_ratio(equity, required, notional), [0.25, inf, inf, 0.0, 0.0, 0.0]
        )

    def test_level(self) -> None:
        """E / N, whatever its sign; NaN where nothing is open."""
        level = margin_level(np.array([200.0, -50.0, 100.0]), np.array([1e3, 1e3, 0.0]))
        np.testing.assert_array_equal(level, [0.2, -0.05, np.nan])

    def test_breach_is_strict(self) -> None:
        """At the requirement and within the tolerance of it a pool is safe."""
        required, notional = np.array(50.0), np.array(1_000.0)
        equity = np.array([50.0, 50.0 - 0.9e-6, 50.0 - 1.1e-6, 49.0])
        found = in_breach(equity, required, notional, 1e-9)
        np.testing.assert_array_equal(found, [False, False, True, True])

    def test_no_positions_no_breach_no_call(self) -> None:
        nothing = np.array(0.0)
        assert not in_breach(np.array(-5.0), nothing, nothing, 1e-9)
        assert not margin_call(np.array(-5.0), nothing, nothing, 0.8)

    def test_call_at_the_warning(self) -> None:
        """A ratio at or above the warning: 40 / 50 is one, and so is any without equity."""
        equity = np.array([50.0, 50.01, 49.0, 0.0, -1.0])
        found = margin_call(equity, np.array(40.0), np.array(1e3), 0.8)
        np.testing.assert_array_equal(found, [True, False, True, True, True])

    @settings(deadline=None)
    @given(
        equity=st.floats(-100.0, 0.0) | st.floats(1e-6, 1e3),
        required=st.floats(0.0, 100.0),
        warning=st.sampled_from([0.5, 0.8, 1.0]),
    )
    def test_call_is_a_ratio_at_the_warning(
        self, equity: float, required: float, warning: float
    ) -> None:
        """The product avoids the division, and says the same wherever rounding leaves no doubt."""
        terms = np.array(equity), np.array(required), np.array(1e3)
        ratio = margin_ratio(*terms)
        if abs(required - warning * equity) > 1e-9:
            assert margin_call(*terms, warning) == (ratio >= warning)


def excess(
    price: float, cash: float, quantity: float, entry: float, rates: np.ndarray, amounts: np.ndarray
) -> float:
    required = max(rate * abs(quantity) * price - a for rate, a in zip(rates, amounts, strict=True))
    return cash + quantity * (price - entry) - required


def bisected(low: float, high: float, *position: Any) -> float:
    """Return the root of the excess between two prices of which exactly one is safe."""
    rises = excess(high, *position) > 0
    for _ in range(200):
        middle = (low + high) / 2
        if (excess(middle, *position) > 0) == rises:
            high = middle
        else:
            low = middle
    return (low + high) / 2


class TestLiquidationPrice:
    @settings(deadline=None)
    @given(
        table=tier_tables(),
        side=st.sampled_from([1.0, -1.0]),
        size=st.floats(1e-3, 1e5),
        entry=st.floats(1e-2, 1e5),
        share=st.floats(-0.3, 2.0),
    )
    def test_against_bisection(
        self, table: Table, side: float, size: float, entry: float, share: float
    ) -> None:
        floors, rates = table
        cash, quantity = share * size * entry, side * size
        amounts = tier_amounts(floors, rates)
        terms = (cash, quantity, entry, rates, amounts)
        found = float(liquidation_price(*(np.array(term) for term in terms)))
        at_nothing = excess(0.0, *terms)
        if side > 0:
            assert (found > 0) == (at_nothing < 0) or abs(at_nothing) < 1e-9 * size * entry
            if found > 0:
                # rates stay below 0.9, so a long is safe at ten times what it cost and owes
                expected = bisected(0.0, 20 * entry + 1e-6, *terms)
                assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * entry)
        elif at_nothing > 0:
            expected = bisected(0.0, 4 * entry, *terms)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * entry)
        else:
            assert found <= 1e-9 * entry

    def test_by_hand(self) -> None:
        """A 10x long of one coin at 60,000 with tiers of 0.4 and 0.5 percent.

        Above 50,000 the second tier holds, with an amount of 50 dollars: (60,000 - 6,000 - 50) /
        (1 - 0.005). With 15,000 behind it the price falls below 50,000 and the first tier holds:
        (60,000 - 15,000) / (1 - 0.004). The short: (60,000 + 6,000 + 50) / (1 + 0.005).
        """
        floors, rates = np.array([0.0, 50_000.0]), np.array([0.004, 0.005])
        amounts = tier_amounts(floors, rates)
        found = liquidation_price(
            np.array([6_000.0, 15_000.0, 6_000.0]),
            np.array([1.0, 1.0, -1.0]),
            np.array(60_000.0),
            rates[None],
            amounts[None],
        )
        expected = [53_950 / 0.995, 45_000 / 0.996, 66_050 / 1.005]
        np.testing.assert_allclose(found, expected, rtol=1e-14)
        assert found[1] < 50_000 < found[0]

    @settings(deadline=None)
    @given(
        side=st.sampled_from([1.0, -1.0]),
        size=st.floats(1e-3, 1e3),
        entry=st.floats(1.0, 1e5),
        rate=st.floats(0.0, 0.2),
        share=st.floats(0.0, 1.0),
        amount=st.floats(0.0, 1e3),
    )
    def test_as_exchanges_write_it(
        self, side: float, size: float, entry: float, rate: float, share: float, amount: float
    ) -> None:
        """In one tier: (WB + cum - side size entry) / (size rate - side size).

        Binance, "How to calculate the liquidation price of USD-M futures contracts", one position.
        """
        wallet = share * size * entry
        formula = (wallet + amount - side * size * entry) / (size * rate - side * size)
        found = liquidation_price(*map(np.array, (wallet, side * size, entry, [rate], [amount])))
        assert float(found) == pytest.approx(formula, rel=1e-9, abs=1e-9 * entry)

    def test_fully_paid_long_has_none(self) -> None:
        found = liquidation_price(*map(np.array, (1_000.0, 10.0, 100.0, [0.01, 0.02], [0.0, 5.0])))
        assert found <= 0


def random_terms(xp: Any) -> dict[str, Any]:
    """Return arguments of every function, the same numbers for NumPy and JAX."""
    rng = np.random.default_rng(61)
    notional = np.where(rng.random(64) < 0.1, 0.0, 10 ** rng.uniform(1, 7, 64))
    terms = {
        "equity": rng.normal(0.0, 1e4, 64),
        "required": rng.uniform(0.0, 1e3, 64),
        "notional": notional,
        "quantity": rng.choice([-1.0, 1.0], 64) * 10 ** rng.uniform(-3, 3, 64),
        "entry": 10 ** rng.uniform(-1, 5, 64),
        "floors": np.broadcast_to(FLOORS, (64, 4)),
        "rates": rng.uniform(0.5, 2.0, (64, 1)) * RATES,
    }
    return {name: xp.asarray(values) for name, values in terms.items()}


def all_functions(terms: dict[str, Any]) -> list[Any]:
    equity, required, notional = terms["equity"], terms["required"], terms["notional"]
    quantity, entry, rates = terms["quantity"], terms["entry"], terms["rates"]
    amounts = tier_amounts(terms["floors"], rates)
    return [
        amounts,
        unrealised_profit(quantity, entry, notional),
        maintenance(notional, rates, amounts),
        margin_ratio(equity, required, notional),
        margin_level(equity, notional),
        in_breach(equity, required, notional, 1e-9),
        margin_call(equity, required, notional, 0.8),
        liquidation_price(equity, quantity, entry, rates, amounts),
    ]


def test_numpy_and_jax_agree() -> None:
    """To the digit operation by operation; to rounding where XLA fuses them."""
    with np.errstate(all="raise"):
        expected = all_functions(random_terms(np))
    for found, number in zip(all_functions(random_terms(jnp)), expected, strict=True):
        assert isinstance(found, jax.Array)
        np.testing.assert_array_equal(np.asarray(found), number)
    fused = jax.jit(all_functions)(random_terms(jnp))
    for found, number in zip(fused, expected, strict=True):
        np.testing.assert_allclose(np.asarray(found), number, rtol=1e-12)


def test_float32_stays_float32() -> None:
    terms = {name: values.astype(np.float32) for name, values in random_terms(np).items()}
    for found in (*all_functions(terms), *all_functions(random_terms_single())):
        assert found.dtype in (np.float32, np.bool_)


def random_terms_single() -> dict[str, jax.Array]:
    return {name: values.astype(jnp.float32) for name, values in random_terms(jnp).items()}

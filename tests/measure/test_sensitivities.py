"""From derivatives in batches of paths to estimates: by hand, and as often right as they say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from stress.measure.sensitivities import (
    BATCHES,
    Owners,
    SensitivityMeasure,
    Tails,
    batch_interval,
    tails_of,
)

Floats = NDArray[np.float64]

LEVELS = (0.9, 0.99)

# the second account has a cross pool and two isolated ones, in file order; the third has nothing
OWNERS = Owners(
    pool=np.array([0, 1, 1, 1, 2]),
    equity=np.array([100.0, 30.0, 60.0, -5.0, 0.0]),
    position=np.array([0, 1, 1, 1]),
    position_pool=np.array([0, 2, 1, 3]),
    position_slot=np.array([0, 0, 0, 0]),
    position_asset=np.array([1, 0, 1, 0]),
    isolated=np.array([False, True, False, True]),
    accounts=3,
    assets=2,
)


def measured(paths: int = 1_000, **given: Floats) -> SensitivityMeasure:
    """Return a measure of as many units as batches, alike but for what is given batch by batch."""
    tails = Tails(np.zeros((4, 3)), np.zeros((4, 3)))
    measure = SensitivityMeasure(OWNERS, tails, LEVELS, paths, np.ones(4, bool))
    shapes = {
        "value": (6, 5),
        "mass": (4, 5),
        "cash": (6, 5),
        "size": (6, 1, 5),
        "rate": (6, 1, 5),
        "shared": (3, 6, 5),
        "summed": (6, 1),
    }
    for batch in range(BATCHES):
        parts = [
            given[name][batch] if name in given else np.ones(shape)
            for name, shape in shapes.items()
        ]
        measure.update([paths * part for part in parts])
    return measure


def test_pools_add_up_to_accounts() -> None:
    """A dollar goes to an account's pools in proportion to their equity, not to what is lost."""
    cash = np.tile(np.arange(1.0, 6.0), (BATCHES, 6, 1))
    found = measured(cash=cash).finish(0.95)
    dollar = found["expected_loss_by_collateral_usd"].value
    np.testing.assert_allclose(dollar, [1.0, 2.0 / 3 + 3.0 * 2 / 3, 5.0])
    equity = np.array([100.0, 85.0, 0.0])
    np.testing.assert_allclose(found["expected_loss_by_collateral"].value, dollar * equity / 100)
    # of isolated positions only, and none of one without equity to take a percent of
    margin = found["expected_loss_by_margin"].value
    np.testing.assert_allclose(margin, [np.nan, 0.6 * 3, np.nan, 0.0])


def test_positions_and_assets() -> None:
    numbers = np.tile(np.arange(1.0, 6.0), (BATCHES, 6, 1, 1))
    found = measured(size=numbers, rate=numbers).finish(0.95)
    np.testing.assert_allclose(found["expected_loss_by_size"].value, [0.01, 0.03, 0.02, 0.04])
    rates = found["expected_loss_by_maintenance"].value
    np.testing.assert_allclose(rates, 1e-3 * np.array([[0, 1], [7, 2], [0, 0]]))
    mean = found["mean_expected_loss_by_maintenance"].value
    np.testing.assert_allclose(mean, rates.mean(axis=0))


def test_market_directions() -> None:
    shared = np.tile(np.array([1.0, 2.0, 4.0])[:, None, None], (BATCHES, 1, 6, 5))
    found = measured(shared=shared, summed=np.full((BATCHES, 6, 1), 9.0)).finish(0.95)
    pools = np.array([1, 3, 1])
    by_volatility = found["expected_loss_by_volatility"].value
    np.testing.assert_allclose(by_volatility, 0.01 * pools[:, None] * [1, 2])
    np.testing.assert_allclose(found["expected_loss_by_correlation"].value, 0.04 * pools)
    pair = found["mean_expected_loss_by_pair"].value
    np.testing.assert_allclose(pair, [[np.nan, 0.03], [0.03, np.nan]])


def test_what_has_no_derivative_is_left_open() -> None:
    measure = measured()
    measure.known = np.array([True, True, False, True])
    found = measure.finish(0.95)
    assert np.isnan(found["expected_loss_by_correlation"].value).all()
    assert not np.isnan(found["expected_loss_by_volatility"].value).any()
    measure.known = None
    assert not [name for name in measure.finish(0.95) if "volatility" in name]


def test_too_rare_to_say() -> None:
    """A probability that few batches make up, and a tail with few paths."""
    value = np.ones((BATCHES, 6, 5))
    value[:-2, 0, 0] = 0.0
    found = measured(paths=100, value=value).finish(0.95)
    assert np.isnan(found["liquidation_probability_by_collateral"].value).tolist() == [1, 0, 0]
    assert not np.isnan(found["expected_loss_by_collateral"].value).any()
    # 160 paths beyond the first level, 16 beyond the second
    shortfall = found["expected_shortfall_by_collateral"].value
    assert np.isnan(shortfall).any(axis=0).tolist() == [False, True]


def test_units_make_equal_batches() -> None:
    measure = measured()
    whole = measure.finish(0.95)
    other = measured()
    measure.merge(other)
    again = measure.finish(0.95)
    # sixteen pairs of alike units are sixteen alike batches
    for name, estimate in whole.items():
        np.testing.assert_array_equal(again[name].value, estimate.value)
    measure.units.pop()
    with pytest.raises(ValueError, match="31 units"):
        measure.finish(0.95)


def test_interval_of_batches() -> None:
    """Student's t: of normal batches it covers as often as it says."""
    rng = np.random.default_rng(3)
    batches = rng.normal(2.0, 5.0, (BATCHES, 20_000))
    estimate = batch_interval(batches, 0.9)
    covers = (estimate.interval[:, 0] < 2.0) & (estimate.interval[:, 1] > 2.0)
    # three standard errors of a share of 0.9 in 20,000
    assert abs(covers.mean() - 0.9) < 0.0065
    np.testing.assert_allclose(estimate.interval.mean(axis=1), estimate.value)


def test_tails_hold_their_mass() -> None:
    """Also where many losses are one."""
    rng = np.random.default_rng(5)
    loss = rng.normal(size=(3, 1_000))
    loss[1] = np.where(loss[1] > 1.5, 7.0, loss[1])
    loss[2] = 4.0
    window = np.full(3, 1e-9)
    tails = tails_of(loss, LEVELS, window)
    mass = [0.1, 0.01]
    for place, (value, share) in enumerate(zip(tails.value, tails.share, strict=True)):
        above = (loss > (value + window)[:, None]).mean(axis=1)
        equal = (np.abs(loss - value[:, None]) <= window[:, None]).mean(axis=1)
        held = above + share * equal
        if place < 2:
            np.testing.assert_allclose(held, mass[place], rtol=1e-12)
        assert (held < mass[place % 2] + 1e-12).all()
        assert (held > 0.3 * mass[place % 2]).all()
    assert tails.value[1, 1] == 7.0
    assert tails.value[0, 2] == 4.0


def shortfall_slopes(rng: np.random.Generator, paths: int) -> SensitivityMeasure:
    """Return a measure of the loss ``s Z``, s = 1, whose derivative by s is Z on every path."""
    owners = Owners(
        *(np.zeros(1, int), np.ones(1), np.zeros(1, int), np.zeros(1, int), np.zeros(1, int)),
        *(np.zeros(1, int), np.zeros(1, bool), 1, 1),
    )
    loss = rng.normal(size=(BATCHES, paths))
    tails = tails_of(loss.reshape(1, -1), LEVELS, np.full(1, 1e-12))
    measure = SensitivityMeasure(owners, tails, LEVELS, paths, None)
    for batch in loss:
        beyond = batch > tails.value
        beyond = beyond + (batch == tails.value) * tails.share
        slope = (beyond * batch).sum(axis=1)
        value = np.maximum(batch - tails.value, 0).sum(axis=1)
        each = [np.array([0, 0, *numbers])[:, None] for numbers in (value, slope)]
        rest = np.zeros((6, 1, 1))
        measure.update(
            [each[0], beyond.sum(axis=1)[:, None], each[1], rest, rest, np.zeros((0, 6, 1)), rest]
        )
    return measure


def test_shortfall_intervals_cover() -> None:
    """Of a scaled normal loss: its shortfall is the scale's derivative too."""
    rng, runs = np.random.default_rng(8), 400
    wanted = norm.pdf(norm.ppf(LEVELS)) / (1 - np.array(LEVELS))
    covered, widths, values = [], [], []
    for _ in range(runs):
        found = shortfall_slopes(rng, 250).finish(0.95)
        estimate = found["expected_shortfall_by_collateral_usd"]
        low, high = estimate.interval[0].T
        covered.append((low < wanted) & (wanted < high))
        widths.append(high - low)
        values.append(estimate.value[0])
        np.testing.assert_allclose(
            found["expected_shortfall"].value[0], estimate.value[0], rtol=0.05
        )
    share = np.mean(covered, axis=0)
    assert (share > 0.91).all() and (share < 0.985).all()
    # neither too wide: 2 times 2.13 standard errors, as the runs themselves spread
    ratio = np.mean(widths, axis=0) / (2 * 2.13 * np.std(values, axis=0))
    assert (np.abs(ratio - 1) < 0.15).all()

"""A world's measure against its slow twin, which keeps everything: any book, blocks and merges."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stress.measure import sparse as accounts_at_a_time
from stress.measure.block import AccountBlock, Ownership, account_block
from stress.measure.moments import Estimate
from stress.measure.paired import PairedMeasure
from stress.measure.world import Findings, Grouping, WorldMeasure
from stress.types import Array
from tests.measure.blocks import estimate, request
from tests.measure.plain import plain_world, random_outcome, random_ownership, seen

CASES = {
    "seed": st.integers(0, 2**32 - 1),
    "accounts": st.integers(1, 9),
    "paths": st.integers(2, 60),
    "cuts": st.lists(st.integers(1, 59), max_size=6),
    "often": st.sampled_from([0.0, 0.05, 0.4, 1.0]),
    "bridged": st.booleans(),
}
GROUPS = 3


class Case:
    """A random book and what first passage says of it."""

    def __init__(
        self, seed: int, accounts: int, paths: int, cuts: list[int], often: float, bridged: bool
    ) -> None:
        generator = np.random.default_rng(seed)
        self.ownership, self.pools = random_ownership(generator, accounts)
        self.outcome = random_outcome(generator, self.pools, paths, often=often, bridged=bridged)
        self.tolerance = generator.exponential(size=self.pools)
        member = generator.integers(0, GROUPS, accounts)
        self.grouping = Grouping(member, GROUPS, self.ownership.exists)
        self.request = request(paths)
        edges = sorted({0, paths, *(cut for cut in cuts if cut < paths)})
        self.parts = [slice(*pair) for pair in pairwise(edges)]

    def block(self, places: slice) -> AccountBlock:
        """Return some paths, in a block that is padded."""
        width = places.stop - places.start
        padded = {
            name: np.concatenate([numbers[..., places], numbers[..., :2]], axis=-1)
            for name, numbers in vars(self.outcome).items()
        }
        outcome = SimpleNamespace(**padded)
        return account_block(outcome, self.ownership, self.tolerance, width)

    def measure(self) -> WorldMeasure:
        """Return an empty measure."""
        return WorldMeasure(self.grouping, 2, self.request)

    def measured(self, parts: list[slice]) -> WorldMeasure:
        """Return a measure of some blocks."""
        measure = self.measure()
        for part in parts:
            measure.update(self.block(part))
        return measure


def close(found: Array, known: Array, name: str) -> None:
    np.testing.assert_allclose(found, known, rtol=1e-9, atol=1e-12, err_msg=name)


@settings(deadline=None)
@given(**CASES)
def test_world(
    seed: int, accounts: int, paths: int, cuts: list[int], often: float, bridged: bool
) -> None:
    """Every probability, mean and quantile, and the per-path table."""
    case = Case(seed, accounts, paths, cuts, often, bridged)
    found = case.measured(case.parts).finish()
    everything = seen(case.outcome, case.ownership, case.tolerance)
    known = plain_world(everything, case.grouping, case.request)
    for group in ("accounts", "groups", "book"):
        for name, expected in getattr(known, group).items():
            value = estimate(found, group, name)
            close(value.value, expected.value, name)
            close(value.interval, expected.interval, name)
    for name, numbers in known.paths.items():
        close(np.asarray(found["paths"][name]), numbers, name)


EXACT = (
    "value_at_risk",
    "liquidation_probability_by_step",
    "liquidation_time_quantile",
    "expected_shortfall",
)
"""What comes from counts, or from kept losses, of accounts: digits do not depend on blocks."""


def compare(found: Findings, known: Findings, rounding: float) -> None:
    """Compare findings: exactly what must be exact, the rest to so much."""
    for group, variables in known.items():
        for name, expected in variables.items():
            value = found[group][name]
            exact = group == "paths" or (group == "accounts" and name in EXACT)
            tolerance = 0.0 if exact else rounding
            pairs = [(value, expected)]
            if isinstance(expected, Estimate):
                assert isinstance(value, Estimate)
                pairs = [(value.value, expected.value), (value.interval, expected.interval)]
            for one, two in pairs:
                np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance, err_msg=name)


@settings(deadline=None)
@given(place=st.integers(0, 6), **CASES)
@example(place=0, seed=131, accounts=8, paths=42, cuts=[41], often=0.0, bridged=False)
def test_blocks_and_merges(
    place: int,
    seed: int,
    accounts: int,
    paths: int,
    cuts: list[int],
    often: float,
    bridged: bool,
) -> None:
    """One block, several, and two measures of some of them merged: the same."""
    case = Case(seed, accounts, paths, cuts, often, bridged)
    whole = case.measured([slice(0, paths)])
    merged = case.measured(case.parts[:place])
    merged.merge(case.measured(case.parts[place:]))
    compare(merged.finish(), whole.finish(), 1e-11)


@settings(deadline=None)
@given(rows=st.integers(1, 8), **CASES)
def test_accounts_at_a_time(
    rows: int,
    seed: int,
    accounts: int,
    paths: int,
    cuts: list[int],
    often: float,
    bridged: bool,
) -> None:
    """However many accounts are worked on together: sums over accounts round, nothing else."""
    case = Case(seed, accounts, paths, cuts, often, bridged)
    known = case.measured(case.parts).finish()
    usual = accounts_at_a_time._ROWS
    accounts_at_a_time._ROWS = rows
    try:
        fewer = Case(seed, accounts, paths, cuts, often, bridged)
        found = fewer.measured(fewer.parts).finish()
    finally:
        accounts_at_a_time._ROWS = usual
    for name, expected in known["accounts"].items():
        assert isinstance(expected, Estimate)
        value = estimate(found, "accounts", name)
        assert np.array_equal(value.value, expected.value, equal_nan=True), name
        assert np.array_equal(value.interval, expected.interval, equal_nan=True), name
    close(np.asarray(found["paths"]["net_loss"]), np.asarray(known["paths"]["net_loss"]), "net")


@settings(deadline=None)
@given(**CASES)
def test_block(
    seed: int, accounts: int, paths: int, cuts: list[int], often: float, bridged: bool
) -> None:
    """Pools added up to accounts, each array as if there were nothing sparse."""
    case = Case(seed, accounts, paths, cuts, often, bridged)
    block = case.block(slice(0, paths))
    known = seen(case.outcome, case.ownership, case.tolerance)
    assert np.array_equal(block.step, known.step)
    assert np.array_equal(block.hit, known.step >= 0)
    assert np.array_equal(block.bankrupt, known.bankrupt > 0)
    close(block.liquidated, known.liquidated, "liquidated")
    close(block.called, known.called, "called")
    close(block.loss, known.loss, "loss")
    close(block.closed, known.closed, "closed")
    missing = ~case.ownership.exists
    assert np.array_equal(np.isnan(block.equity), np.repeat(missing[:, None], paths, axis=1))


@settings(deadline=None)
@given(other=st.integers(0, 2**16), **CASES)
def test_paired(
    other: int,
    seed: int,
    accounts: int,
    paths: int,
    cuts: list[int],
    often: float,
    bridged: bool,
) -> None:
    """Differences path by path, of accounts, groups and the book."""
    case = Case(seed, accounts, paths, cuts, often, bridged)
    measure = PairedMeasure(case.grouping)
    generator = np.random.default_rng(other)
    case.outcome, cross = (
        random_outcome(generator, case.pools, paths, often=often, bridged=bridged),
        case.outcome,
    )
    isolated = case.outcome
    for part in case.parts:
        case.outcome = cross
        one = case.block(part)
        case.outcome = isolated
        measure.update(one, case.block(part))
    found = measure.finish(0.95)
    apart = difference(cross, isolated, case.ownership, case.tolerance)
    exists = case.grouping.exists
    value = estimate(found, "accounts", "cross_minus_isolated")
    close(value.value[exists], apart.mean(axis=1)[exists], "accounts")
    half = (value.interval[exists, 1] - value.interval[exists, 0]) / 2
    deviation = apart[exists].std(axis=1, ddof=1) / np.sqrt(paths)
    close(half, 1.959963984540054 * deviation, "intervals")
    if exists.any():
        book = estimate(found, "book", "cross_minus_isolated")
        close(book.value, apart[exists].mean(), "book")


def difference(
    one: SimpleNamespace, other: SimpleNamespace, ownership: Ownership, tolerance: Array
) -> Array:
    """Return (accounts, paths) differences of liquidation probabilities."""
    return seen(one, ownership, tolerance).liquidated - seen(other, ownership, tolerance).liquidated

"""The cascade kernel against the plain twin: all sets of rules, many seeds."""

from __future__ import annotations

import pytest

from tests.cascade_books import Case, backstops, covering, plain_book, plain_venue, price_paths
from tests.engine.cascading import compare, follow
from tests.reference.cascade import simulate

SEEDS = range(20)
PATHS = 8
CASES = [*covering(), *covering(1), *backstops()]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
@pytest.mark.parametrize("everyone", [False, True], ids=["some", "every"])
def test_kernel_equals_twin(case: Case, everyone: bool) -> None:
    """One venue to a kernel, as where nothing is compared."""
    venue = plain_venue(case)
    for seed in SEEDS:
        book, prices = plain_book(seed, case), price_paths(seed, PATHS)
        found = follow(book, [venue], prices, everyone=everyone)
        twins = [simulate(book, venue, path) for path in prices.tolist()]
        compare(found, 0, twins)

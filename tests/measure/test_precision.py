"""How wide intervals are beside their estimates."""

from __future__ import annotations

from math import inf, isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.measure.moments import Estimate
from stress.measure.precision import JUDGED, judge_precision, paths_needed, relative_error
from stress.runner.precision import precision_notices, precision_of, precision_words


@pytest.mark.parametrize(
    ("three", "error"),
    [
        ((10.0, 9.0, 11.0), 0.1),
        ((-10.0, -11.0, -9.0), 0.1),
        ((0.2, 0.1, 0.4), 0.75),
        # exact: a fund that cannot be drawn on
        ((0.0, 0.0, 0.0), 0.0),
        ((1.0, 1.0, 1.0), 0.0),
        # nothing was seen: no scale
        ((0.0, 0.0, 0.03), inf),
        ((0.1, 0.0, nan), inf),
        ((0.1, 0.0, inf), inf),
        ((nan, nan, nan), inf),
    ],
)
def test_hand_made(three: tuple[float, float, float], error: float) -> None:
    assert relative_error(*three) == pytest.approx(error)


@given(
    value=st.floats(1e-6, 1e6),
    share=st.floats(1e-6, 1e3),
    scale=st.floats(1e-3, 1e3),
)
def test_no_unit_matters(value: float, share: float, scale: float) -> None:
    three = [value, value * (1 - share), value * (1 + share)]
    assert relative_error(*three) == pytest.approx(share)
    assert relative_error(*(scale * it for it in three)) == pytest.approx(share)


def test_twice_as_narrow_needs_four_times_the_paths() -> None:
    assert paths_needed(1_000, 0.1, 0.05) == pytest.approx(4_000)
    assert isnan(paths_needed(1_000, inf, 0.05))


def test_what_a_run_does_not_have_is_not_judged() -> None:
    precision = judge_precision(0.1, {"expected_total_loss": (10.0, 9.5, 10.5), "other": (1, 0, 2)})
    assert precision.found == {"expected_total_loss": pytest.approx(0.05)}
    assert precision.exceeding == ()


def estimate(value: float, lower: float, upper: float) -> Estimate:
    return Estimate(np.array(value), np.array([lower, upper]))


BOOK = {
    "liquidation_probability": estimate(0.1, 0.08, 0.12),
    "any_liquidation_probability": estimate(0.0, 0.0, 0.01),
    "expected_total_loss": estimate(100.0, 99.0, 101.0),
    "expected_uncovered_loss": estimate(0.0, 0.0, 1e9),
}


class TestWords:
    def test_what_is_asked_for_and_what_came_of_it(self) -> None:
        (said,) = precision_words(precision_of(0.05, BOOK))
        assert "at most 0.05 of its estimate (5 %), which is not kept" in said
        assert "the mean liquidation probability 20 %" in said
        assert "the probability of any liquidation unknown" in said
        assert "expected total loss 1 %" in said
        assert "uncovered" not in said

    def test_what_is_not_known_well_enough(self) -> None:
        first, second = precision_notices(precision_of(0.05, BOOK), 1_000)
        assert "is known to 20 %" in first and "about 16,000 paths would do" in first
        assert "nothing was seen of it on 1,000 paths" in second

    def test_kept(self) -> None:
        known = {name: estimate(1.0, 0.99, 1.01) for name in JUDGED}
        precision = precision_of(0.05, known)
        assert precision_notices(precision, 100) == ()
        assert "which is kept" in precision_words(precision)[0]

    def test_nothing_is_said_where_nothing_is_asked(self) -> None:
        assert precision_of(None, BOOK) is None
        assert precision_words(None) == precision_notices(None, 5) == ()

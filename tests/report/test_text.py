"""Numbers as they are written."""

from __future__ import annotations

import math

import pytest

from stress.report.read import Estimate
from stress.report.text import Kind, count, days, joined, level_name, plural, shown

NAN, INF = math.nan, math.inf

CASES: list[tuple[Kind, Estimate, str]] = [
    ("probability", Estimate(0.031, 0.029, 0.033), "3.1 % (2.9 to 3.3)"),
    ("probability", Estimate(0.452, 0.436, 0.467), "45 % (44 to 47)"),
    ("probability", Estimate(0.0002, 0.00005, 0.0008), "0.02 % (0.01 to 0.08)"),
    ("probability", Estimate(0.00025, 0.000044, 0.00141), "0.03 % (0.004 to 0.14)"),
    ("probability", Estimate(0.0, 0.0, 0.00096), "< 0.1 % (0 to 0.096)"),
    ("probability", Estimate(1e-9, 0.0, 2.2e-8), "< 0.000003 % (0 to 0.0000022)"),
    ("probability", Estimate(1.0, 0.99904, 1.0), "> 99.9 % (99.904 to 100)"),
    ("probability", Estimate(0.0, 0.0, 0.0), "0 % (0 to 0)"),
    ("probability", Estimate(0.0005), "0.05 %"),
    ("probability", Estimate(0.05), "5 %"),
    ("difference", Estimate(-0.13, -0.134, -0.126), "−13.0 points (−13.4 to −12.6)"),
    ("difference", Estimate(0.005, 0.001, 0.009), "+0.5 points (0.1 to 0.9)"),
    ("difference", Estimate(0.0, 0.0, 0.0), "0.0 points (0.0 to 0.0)"),
    ("money", Estimate(1_234_567, 1_170_000, 1_290_000), "$1.23m (1.17 to 1.29)"),
    ("money", Estimate(82_200, 73_900, 90_400), "$82.2k (73.9 to 90.4)"),
    ("money", Estimate(3_360, 3_020, 3_690), "$3,360 (3,020 to 3,690)"),
    ("money", Estimate(0.0, 0.0, 1_800.0), "$0 (0 to 1,800)"),
    ("money", Estimate(-3_500, -4_200, -2_800), "−$3,500 (−4,200 to −2,800)"),
    ("money", Estimate(4.5), "$4.50"),
    ("money", Estimate(250_000_000), "$250m"),
    ("money", Estimate(2.5e9), "$2.50bn"),
    ("money", Estimate(9_999.6), "$10,000"),
    ("price", Estimate(63_250.4), "$63,250"),
    ("price", Estimate(2_500.5), "$2,500.50"),
    ("price", Estimate(0.00001234), "$0.00001234"),
    ("price", Estimate(0.0), "$0.00"),
    ("percent", Estimate(-0.123), "−12.3 %"),
    ("ratio", Estimate(0.825), "0.82"),
    ("ratio", Estimate(INF), "∞"),
    ("money", Estimate(-INF), "−$∞"),
    ("number", Estimate(3_333.0), "3,333"),
    ("number", Estimate(0.01236), "0.01236"),
    ("number", Estimate(INF), "∞"),
    ("money", Estimate(NAN, NAN, NAN), "–"),
    ("probability", Estimate(NAN, 0.0, 0.1), "–"),
]


@pytest.mark.parametrize(("kind", "estimate", "text"), CASES)
def test_numbers_read_well(kind: Kind, estimate: Estimate, text: str) -> None:
    assert str(shown(kind, estimate)).replace("\u00a0", " ") == text


def test_the_bound_of_an_unseen_event_is_never_rounded_down() -> None:
    for hundreds in range(1, 1000):
        upper = hundreds / 7e5
        text = shown("probability", Estimate(0.0, 0.0, upper))
        assert float(text.value.strip("< \u00a0%")) >= 100 * upper * (1 - 1e-9)
        assert float(text.interval.removeprefix("0 to ")) >= 100 * upper * (1 - 1e-9)


def test_words() -> None:
    assert plural(1, "account") == "1 account"
    assert plural("3000", "account") == "3,000 accounts"
    assert count("many") == "many"
    assert days("7.0") == "7 days"
    assert days(1) == "1 day"
    assert days(1 / 24) == "1 hour"
    assert days(0.5) == "12 hours"
    assert days(30 / 1440) == "30 minutes"
    assert level_name(0.999) == "99.9\u00a0%"
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"

"""How many steps an interval has."""

from __future__ import annotations

import pytest

from stress.errors import InputError
from stress.runner.market import Clock, bar_steps
from stress.scenario.durations import YEAR_SECONDS
from stress.scenario.schema import Market


def counted(interval: str, seconds: float) -> int:
    market = Market.model_validate(
        {"model": "student-t", "assets": ["BTC"], "student-t": {"interval": interval}}
    )
    return bar_steps(market, Clock(seconds / YEAR_SECONDS, 10, 10, "float32"))


@pytest.mark.parametrize(
    ("interval", "seconds", "expected"),
    [("1d", 300, 288), ("1d", 86_400, 1), ("7d", 0.1, 6_048_000), ("1h", 7, None), ("1d", 90, 960)],
)
def test_whole(interval: str, seconds: float, expected: int | None) -> None:
    if expected is not None:
        assert counted(interval, seconds) == expected
        return
    with pytest.raises(InputError, match=r"student-t.interval: must be a whole number.*514.286"):
        counted(interval, seconds)


def test_shorter_than_a_step() -> None:
    with pytest.raises(InputError, match="state an interval that is a multiple of 172800 s"):
        counted("1d", 172_800)

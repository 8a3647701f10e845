"""Which scenarios need the cascade: all those that first passage answers differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stress.scenario.build import load_book
from stress.scenario.cascade import needs_cascade
from stress.scenario.load import load_scenario

ACCOUNTS = "account,cash,group,reserve,top_up_trigger,top_up_target\n"
POSITIONS = "account,asset,quantity,entry_price,margin,stop_price\n"
MIXED = POSITIONS + "alice,BTC,0.01,60000,,\nalice,ETH,1,2500,400,\n"


def put(key: str, value: object) -> Callable[[Any], Any]:
    return lambda case: case.set(key, value)


def table(name: str, content: str) -> Callable[[Any], Any]:
    return lambda case: case.files.update({f"{name}.csv": content})


def all_of(*changes: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda case: [change(case) for change in changes]


def reserves(alice: str, bob: str) -> Callable[[Any], Any]:
    return table("accounts", f"{ACCOUNTS}alice,1000,hedged,{alice}\nbob,500,directional,{bob}\n")


CASES = {
    "nothing": (all_of(), False),
    "order": (put("venue.order", "pro-rata"), False),
    "fund": (put("venue.fund.balance", 1e6), False),
    "depth without a law": (put("venue.impact", {"adv": {"BTC": 1e9}}), False),
    "no funding at rate 0": (put("venue.funding.rate", {"BTC": 0.0}), False),
    "funding beyond the run": (
        put("venue.funding", {"rate": {"BTC": 1e-4}, "interval": "2d"}),
        False,
    ),
    "reserve without a trigger": (reserves("500,,", ",,"), False),
    "trigger without a reserve": (reserves("500,,", ",0.8,0.5"), False),
    "isolated and cross of two accounts": (all_of(), False),
    "mixed, but not as booked": (
        all_of(
            table("positions", MIXED), put("book.mode", "cross"), put("book.compare", ["isolated"])
        ),
        False,
    ),
    "coins and two rounds": (put("venue.rounds_per_step", 2), False),
    "one round without coins": (
        all_of(put("venue.rounds_per_step", 1), lambda case: case.drop("book.collateral")),
        False,
    ),
    "bridge": (put("simulation.monitoring", "bridge"), False),
    "bridge, mixed, one round": (
        all_of(
            put("simulation.monitoring", "bridge"),
            put("venue.rounds_per_step", 1),
            table("positions", MIXED),
        ),
        False,
    ),
    "amount": (put("venue.amount", "position"), True),
    "amount by default": (lambda case: case.drop("venue.amount"), True),
    "impact": (
        put("venue.impact", {"kind": "linear", "depth_1pct": {"BTC": 1e7, "ETH": 1e7}}),
        True,
    ),
    "funding": (put("venue.funding.rate", {"BTC": -1e-4}), True),
    "socialised": (put("venue.deleveraging.kind", "socialised"), True),
    "auto-deleverage": (put("venue.deleveraging.kind", "auto-deleverage"), True),
    "latency": (put("venue.decision.latency", 1), True),
    "shards": (
        put("venue.decision", {"kind": "sharded", "shards": {"BTC": 0, "ETH": 0}}),
        True,
    ),
    "stop": (table("positions", POSITIONS + "bob,ETH,1,2500,,2000\n"), True),
    "top-up": (reserves(",,", "500,0.8,0.5"), True),
    "mixed": (table("positions", MIXED), True),
    "mixed in a compared world": (
        all_of(
            table("positions", MIXED),
            put("book.mode", "cross"),
            put("book.compare", ["as-booked"]),
        ),
        True,
    ),
    "coins and one round": (put("venue.rounds_per_step", 1), True),
}


@pytest.mark.parametrize("name", CASES)
def test_the_cascade_is_run_where_it_is_needed(name: str, case: Any) -> None:
    change, expected = CASES[name]
    # the valid scenario with whole closes: a leader, no impact, no control, no funding
    case.set("venue.amount", "all")
    change(case)
    scenario = load_scenario(case.write())
    book, _ = load_book(scenario)
    assert needs_cascade(scenario, book) is expected

"""The table ``[appetite]``: what it refuses, and the limits that are taken from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stress.errors import InputError
from stress.scenario.load import load_scenario
from stress.scenario.resolve import resolved_toml
from stress.scenario.schema import Scenario

TABLES = {
    "accounts.csv": "account,cash\nalice,10000\n",
    "positions.csv": "account,asset,quantity,entry_price\nalice,BTC,0.1,60000\n",
}


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Return what loads a scenario of one account with other tables."""
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text)

    def loaded(**tables: Any) -> Scenario:
        raw = {
            "name": "one-book",
            "market": {
                "assets": ["BTC"],
                "price": {"BTC": 60_000.0},
                "volatility": {"BTC": 0.5},
            },
            "book": {"accounts": "accounts.csv", "positions": "positions.csv"},
            "venue": {"tiers": {"default": [{"floor": 0, "rate": 0.02}]}},
            **tables,
        }
        return load_scenario(raw, base=tmp_path)

    return loaded


def test_limits_are_taken_from_the_appetite(load: Any, tmp_path: Path) -> None:
    """Nobody keeps two truths; the resolved scenario states the number."""
    scenario = load(
        appetite={"account_liquidation_probability": 0.04, "fund_exhaustion_probability": 0.001},
        limits={
            "max_account_liquidation_probability": "appetite",
            "max_fund_exhaustion_probability": "appetite",
        },
    )
    assert scenario.limits.max_account_liquidation_probability == 0.04
    assert scenario.limits.max_fund_exhaustion_probability == 0.001
    again = tmp_path / "resolved.toml"
    again.write_text(resolved_toml(scenario))
    assert load_scenario(again) == scenario


@pytest.mark.parametrize("appetite", [{}, {"appetite": {"fund_exhaustion_probability": 0.1}}])
def test_a_limit_needs_the_appetite_that_it_is_taken_from(load: Any, appetite: Any) -> None:
    with pytest.raises(InputError, match="states no account_liquidation_probability") as raised:
        load(limits={"max_account_liquidation_probability": "appetite"}, **appetite)
    assert raised.value.key == "limits.max_account_liquidation_probability"


@pytest.mark.parametrize(
    ("appetite", "rule"),
    [
        ({"account_liquidation_probability": 1.0}, "account_liquidation_probability"),
        ({"expected_uncovered_loss": 0.0}, "expected_uncovered_loss"),
        ({"solve": ["leverage", "leverage"]}, "stands there twice"),
        ({"solve": ["leverages"]}, "leverages"),
        ({"template": [{"name": "pair", "weights": {"BTC": 0.0}}]}, "must not all be 0"),
        ({"template": [{"name": "pair", "weights": {"ETH": 1.0}}]}, "not in market.assets"),
        ({"template": 2 * [{"name": "pair", "weights": {"BTC": 1.0}}]}, "stands there twice"),
    ],
)
def test_refused(load: Any, appetite: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError) as raised:
        load(appetite=appetite)
    assert rule in str(raised.value)

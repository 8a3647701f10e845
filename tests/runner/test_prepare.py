"""What cannot be simulated is refused before the first path."""

from __future__ import annotations

from pathlib import Path

import pytest

from stress.errors import InputError
from stress.runner.prepare import prepare
from stress.scenario.load import load_scenario


@pytest.mark.parametrize("world", [{"mode": "isolated"}, {"compare": ["isolated"]}])
def test_a_world_without_accounts_is_refused(world: dict[str, object], tmp_path: Path) -> None:
    """A limit on its accounts would have nobody to be judged by, and pass unseen."""
    (tmp_path / "a.csv").write_text("account,cash\na,-100\n", encoding="utf-8")
    (tmp_path / "p.csv").write_text(
        "account,asset,quantity,entry_price\na,BTC,1,100\n", encoding="utf-8"
    )
    scenario = {
        "name": "nobody",
        "simulation": {"paths": 64, "horizon": "1d", "step": "6h"},
        "market": {"assets": ["BTC"], "price": {"BTC": 100.0}, "volatility": {"BTC": 0.5}},
        "book": {"accounts": "a.csv", "positions": "p.csv", **world},
        "venue": {"tiers": {"default": [{"floor": 0, "rate": 0.01}]}},
        "limits": {"max_account_liquidation_probability": 0.05},
    }
    with pytest.raises(InputError, match="no account has an isolated counterpart"):
        prepare(load_scenario(scenario, base=tmp_path))

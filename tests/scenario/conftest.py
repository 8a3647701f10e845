"""A small valid scenario with its files, which a test changes before it is written and read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tomli_w

ACCOUNTS = "account,cash,group\nalice,1000,hedged\nbob,500,directional\n"
POSITIONS = (
    "account,asset,quantity,entry_price,margin\n"
    "alice,BTC,0.01,60000,\nalice,ETH,-0.2,2500,\nbob,ETH,1,2500,400\n"
)
COLLATERAL = "account,asset,quantity\nalice,BTC,0.005\n"
CALIBRATION = """
as_of = "2026-01-01T00:00:00Z"
assets = ["ETH", "SOL", "BTC"]
correlation = [[1.0, 0.4, 0.8], [0.4, 1.0, 0.5], [0.8, 0.5, 1.0]]
price = { ETH = 2_500.0, SOL = 100.0, BTC = 60_000.0 }
volatility = { ETH = 0.7, SOL = 0.9, BTC = 0.55 }
calibration = { source = "prices.csv", observations = 100 }
"""


def valid_scenario() -> dict[str, Any]:
    return {
        "name": "two-books",
        "simulation": {"paths": 100, "horizon": "1d", "step": "5min", "seed": 7},
        "market": {
            "model": "gbm",
            "assets": ["BTC", "ETH"],
            "price": {"BTC": 60_000.0, "ETH": 2_500},
            "volatility": {"BTC": 0.55, "ETH": 0.7},
            "correlation": [[1.0, 0.8], [0.8, 1]],
            "as_of": "2026-11-20T00:00:00Z",
        },
        "book": {
            "accounts": "accounts.csv",
            "positions": "positions.csv",
            "collateral": "collateral.csv",
            "mode": "as-booked",
            "compare": ["cross", "isolated"],
        },
        "venue": {
            "trigger": "maintenance",
            "haircut": {"BTC": 0.05},
            "tiers": {
                "BTC": [{"floor": 0, "rate": 0.004}, {"floor": 300_000, "rate": 0.005}],
                "default": [{"floor": 0, "rate": 0.02}],
            },
        },
        "limits": {
            "max_account_liquidation_probability": 0.05,
            "max_group_any_liquidation_probability": {"hedged": 0.2},
        },
    }


@dataclass
class Case:
    """The scenario as a dict and the files beside it, by name; None leaves a file out."""

    folder: Path
    scenario: dict[str, Any] = field(default_factory=valid_scenario)
    files: dict[str, str | bytes | None] = field(
        default_factory=lambda: {
            "accounts.csv": ACCOUNTS,
            "positions.csv": POSITIONS,
            "collateral.csv": COLLATERAL,
        }
    )
    text: str | bytes | None = None

    def set(self, key: str, value: object) -> None:
        """Set a dotted key."""
        *tables, last = key.split(".")
        table = self.scenario
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value

    def drop(self, key: str) -> None:
        """Remove a dotted key."""
        *tables, last = key.split(".")
        table = self.scenario
        for name in tables:
            table = table[name]
        del table[last]

    def use_calibration(self, text: str = CALIBRATION) -> None:
        """Take price, volatility and correlation from a calibration file."""
        for key in ("price", "volatility", "correlation"):
            self.drop(f"market.{key}")
        self.set("market.calibration", "calibration.toml")
        self.files["calibration.toml"] = text

    def write(self) -> Path:
        """Write everything and return the path of the scenario."""
        for name, content in self.files.items():
            if content is not None:
                raw = content if isinstance(content, bytes) else content.encode()
                (self.folder / name).write_bytes(raw)
        text = tomli_w.dumps(self.scenario) if self.text is None else self.text
        path = self.folder / "scenario.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path


@pytest.fixture(scope="session")
def make_case() -> type[Case]:
    return Case


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)

"""Small good scenarios with their files, of which bad ones are made.

Between them they name every kind of input: accounts, positions, coins, a price history, a
calibration, overlays, limits, an appetite.
"""

from __future__ import annotations

import math

__all__ = ["BASES", "SCENARIO"]

SCENARIO = "scenario.toml"

_SIMULATION = """\
[simulation]
paths = 8
horizon = "6h"
step = "1h"
seed = 7
precision = "float64"
monitoring = "step"
confidence = 0.95
levels = [0.5, 0.9]
quantiles = [0.05, 0.5, 0.95]
detail = false
"""

_MARKET = """\
[market]
model = "gbm"
assets = ["BTC", "ETH"]
price = { BTC = 60_000.0, ETH = 2_500.0 }
volatility = { BTC = 2.55, ETH = 2.70 }
drift = { BTC = 0.0, ETH = 0.1 }
correlation = [[1.0, 0.8], [0.8, 1.0]]
as_of = "2026-11-20T00:00:00Z"
"""

_BOOK = """\
[book]
accounts = "accounts.csv"
positions = "positions.csv"
collateral = "collateral.csv"
mode = "as-booked"
"""

_VENUE = """\
[venue]
trigger = "maintenance"
order = "largest-loss"
amount = "restore"
buffer = 0.05
warning = 0.8
fee = 0.005
rounds_per_step = 4
haircut = { BTC = 0.05 }
[venue.tiers]
BTC = [ { floor = 0, rate = 0.004 }, { floor = 300_000, rate = 0.005 } ]
default = [ { floor = 0, rate = 0.02 } ]
"""

_FEEDBACK = """\
[venue.impact]
kind = "square-root"
coefficient = 1.0
adv = { BTC = 22e6, ETH = 13e6 }
depth_1pct = { BTC = 60e3, ETH = 42e3 }
permanent = 0.3
relaxation = "1h"
[venue.fund]
balance = 1_000.0
[venue.deleveraging]
kind = "auto-deleverage"
[venue.decision]
kind = "leader"
latency = 1
[venue.funding]
rate = { BTC = 0.0001 }
interval = "2h"
"""

_STRESS = """\
[[stress]]
kind = "shock"
at = "2h"
over = "1h"
return = { BTC = -0.15 }
beta_to = "BTC"
[[stress]]
kind = "volatility"
at = "3h"
window = "2h"
multiplier = 2.0
"""

_LIMITS = """\
[limits]
max_account_liquidation_probability = 0.05
max_expected_shortfall = 1e6
max_group_any_liquidation_probability = { hedged = 0.2 }
[analysis]
curves = false
"""

_APPETITE = """\
[appetite]
confidence = 0.95
account_liquidation_probability = 0.05
solve = ["leverage"]
[[appetite.template]]
name = "pair"
weights = { BTC = 1.0, ETH = -1.0 }
"""

_ACCOUNTS = """\
account,cash,group,reserve,top_up_trigger,top_up_target
alice,10000,hedged,500,0.8,0.5
bob,2500.50,hedged,,,
carol,1e3,directional,0,,
"dan, the man",750,directional,,,
"""

_POSITIONS = """\
account,asset,quantity,entry_price,margin,leverage,stop_price,position
alice,BTC,0.5,60000,,,55000,a1
alice,ETH,-10,2500,,,,
bob,BTC,0.25,61000,2000,5,,b1
carol,ETH,-8,2400,,,,c1
"dan, the man",BTC,0.1,59000,,,,
"""

_COLLATERAL = """\
account,asset,quantity
alice,BTC,0.05
carol,ETH,1.5
"""

_CALIBRATION = """\
assets = ["BTC", "ETH"]
correlation = [[1.0, 0.8], [0.8, 1.0]]
[price]
BTC = 60_000.0
ETH = 2_500.0
[volatility]
BTC = 2.55
ETH = 2.7
[drift]
BTC = 0.0
ETH = 0.0
[models.student-t]
degrees_of_freedom = 4.0
interval = "1h"
"""


def _prices(bars: int = 40) -> str:
    lines = ["timestamp,asset,close,open,high,low,volume"]
    for bar in range(bars):
        moment = f"2026-11-{18 + bar // 24:02d}T{bar % 24:02d}:00:00Z"
        for asset, start in (("BTC", 60_000.0), ("ETH", 2_500.0)):
            close = round(start * (1 + 0.02 * math.sin(bar * (1.3 if asset == "BTC" else 0.7))), 2)
            row = (close, close, round(close * 1.01, 2), round(close * 0.99, 2), 10)
            lines.append(",".join([moment, asset, *map(str, row)]))
    return "\n".join(lines) + "\n"


_TABLES = {
    "accounts.csv": _ACCOUNTS,
    "positions.csv": _POSITIONS,
    "collateral.csv": _COLLATERAL,
}

_PLAIN = _SIMULATION + _MARKET + _BOOK + 'compare = ["cross", "isolated"]\n' + _VENUE + _LIMITS

BASES: dict[str, dict[str, str]] = {
    "plain": {SCENARIO: 'name = "plain"\n' + _PLAIN + _APPETITE, **_TABLES},
    "cascade": {
        SCENARIO: 'name = "cascade"\n'
        + (_SIMULATION + _MARKET + _BOOK + _VENUE + _FEEDBACK + _STRESS + _LIMITS),
        **_TABLES,
    },
    "calibrated": {
        SCENARIO: 'name = "calibrated"\n'
        + _SIMULATION
        + '[market]\nmodel = "student-t"\nassets = ["BTC", "ETH"]\n'
        + 'calibration = "calibration.toml"\n'
        + (_BOOK + _VENUE + _LIMITS),
        **_TABLES,
        "calibration.toml": _CALIBRATION,
    },
    "resampled": {
        SCENARIO: 'name = "resampled"\n'
        + _SIMULATION
        + '[market]\nmodel = "bootstrap"\nassets = ["BTC", "ETH"]\nhistory = "prices.csv"\n'
        + (_BOOK + _VENUE + _LIMITS),
        **_TABLES,
        "prices.csv": _prices(),
    },
}

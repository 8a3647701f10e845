"""Tiers of exchanges ask for what the exchanges ask for, as tables that a scenario takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.cli import main
from stress.errors import InputError
from stress.importers.tiers import tier_rows
from stress.importers.venue import Ladder, Rung
from tests.importers.replay import replay

Tiers = list[tuple[float, float]]


def imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, assets: str
) -> dict[str, Tiers]:
    replay(name, monkeypatch)
    command = ["import", "tiers", "--exchange", name, "--assets", assets, "-o", str(folder)]
    assert main(command) == 0
    tables = tomllib.loads((folder / "tiers.toml").read_text())["venue"]["tiers"]
    return {
        asset: [(tier["floor"], tier["rate"]) for tier in table] for asset, table in tables.items()
    }


def required(tiers: Tiers, notional: float) -> float:
    """Maintenance margin as the scenario has it: each rate on what is above its floor."""
    floors, rates = np.array(tiers).T
    caps = np.append(floors[1:], np.inf)
    return float((rates * np.clip(np.minimum(notional, caps) - floors, 0, None)).sum())


def test_binance_brackets_are_taken_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = imported(tmp_path, monkeypatch, "binance", "BTC,1000PEPE")
    assert tiers["BTC"] == [(0, 0.004), (300_000, 0.005), (800_000, 0.0065)]
    assert tiers["1000PEPE"] == [(0, 0.01)]
    # the venue's own way: rate of the bracket on everything, less its "cum"
    assert required(tiers["BTC"], 1_000_000) == pytest.approx(1_000_000 * 0.0065 - 1_500)


def test_bybit_rates_are_shares_and_limits_are_caps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = imported(tmp_path, monkeypatch, "bybit", "BTC")
    assert tiers["BTC"] == [(0, 0.005), (2_000_000, 0.01)]
    assert required(tiers["BTC"], 3_000_000) == pytest.approx(3_000_000 * 0.01 - 10_000)


def test_hyperliquid_rates_are_half_of_the_initial_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = imported(tmp_path, monkeypatch, "hyperliquid", "BTC,kPEPE")
    assert tiers["BTC"] == [(0, 1 / 80), (150_000_000, 1 / 40)]
    # no table of its own: one leverage for all sizes
    assert tiers["kPEPE"] == [(0, 1 / 20)]


def test_okx_rates_of_whole_positions_hold_at_the_upper_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = imported(tmp_path, monkeypatch, "okx", "BTC")["BTC"]
    # 1000, 5000 and 20,000 contracts of 0.01 BTC at 60,000
    for notional, rate in ((600_000, 0.004), (3_000_000, 0.005), (12_000_000, 0.0075)):
        assert required(tiers, notional) == pytest.approx(notional * rate, rel=1e-8)


def test_htx_takes_the_leverage_that_asks_for_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = imported(tmp_path, monkeypatch, "htx", "BTC")["BTC"]
    # 10,000 and 50,000 contracts of 0.001 BTC at 60,000, factors 0.075 and 0.1 at leverage 10
    for notional, rate in ((600_000, 0.0075), (3_000_000, 0.01)):
        assert required(tiers, notional) == pytest.approx(notional * rate, rel=1e-8)


def test_an_unknown_asset_and_absent_tiers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replay("binance", monkeypatch).replies["GET /fapi/v1/leverageBracket"] = []
    command = ["import", "tiers", "--exchange", "binance", "-o", str(tmp_path), "--assets"]
    assert main([*command, "SOL"]) == 2
    assert "binance has no linear perpetual of SOL" in capsys.readouterr().err
    assert main([*command, "BTC"]) == 2
    assert "gives no tiers" in capsys.readouterr().err


def test_rates_that_fall_are_refused_where_they_are_marginal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    brackets = replay("binance", monkeypatch).replies["GET /fapi/v1/leverageBracket"][0]
    brackets["brackets"][2]["maintMarginRatio"] = 0.001
    command = ["import", "tiers", "--exchange", "binance", "-o", str(tmp_path), "--assets", "BTC"]
    assert main(command) == 2
    assert "the rate falls from 0.005 to 0.001 at floor 800000" in capsys.readouterr().err


@given(st.lists(st.tuples(st.floats(1e3, 1e7), st.floats(0.001, 0.2)), min_size=1, max_size=8))
def test_whole_position_tables_become_convex_and_ask_for_no_less_at_each_end(
    widths: list[tuple[float, float]],
) -> None:
    rungs, floor = [], 0.0
    for width, rate in widths:
        rungs.append(Rung(floor, floor + width, rate))
        floor += width
    rows = tier_rows("x", "BTC", Ladder(tuple(rungs), whole=True))
    tiers = [(row.floor, row.rate) for row in rows]
    rates = [rate for _, rate in tiers]
    assert tiers[0][0] == 0 and rates == sorted(rates)
    for rung in rungs:
        least = rung.rate * rung.cap
        assert required(tiers, rung.cap) >= least * (1 - 1e-6)


def test_no_rungs_are_refused() -> None:
    with pytest.raises(InputError, match="gives no tiers"):
        tier_rows("okx BTC/USDT:USDT", "BTC", Ladder(()))

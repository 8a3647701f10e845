"""The command: which questions are asked, what is written, what the exit code says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stress
from stress.cli import main
from stress.decide import limits
from stress.decide.answer import Answer
from stress.decide.remedies import Remedy
from stress.decide.result import headroom, verdict
from stress.decide.task import Task
from stress.report.page import render

SCENARIO = """
name = "one-book"
[simulation]
paths = 100
horizon = "1d"
step = "1h"
[market]
assets = ["BTC"]
price = { BTC = 60_000 }
volatility = { BTC = 0.5 }
[book]
accounts = "accounts.csv"
positions = "positions.csv"
[venue]
amount = "all"
[venue.tiers]
default = [ { floor = 0, rate = 0.02 } ]
"""
APPETITE = """
[appetite]
account_liquidation_probability = 0.05
solve = ["leverage", "fund", "remedies"]
"""

LEVERAGE = Answer(
    question="leverage",
    kind="account",
    subject="alice <b>",
    world="cross",
    measure="P(liquidated by the horizon)",
    threshold=0.05,
    unit="x",
    limit=8.0,
    at_estimate=10.0,
    present=6.0,
    risk=0.03,
    risk_lower=0.02,
    risk_upper=0.05,
    paths=100,
)
REMEDY = Remedy(
    account="alice <b>",
    kind="top up",
    what="cash",
    amount=500.0,
    unit="USD",
    cost=1.0,
    before=0.09,
    probability=0.04,
    lower=0.03,
    upper=0.05,
    outcome="found",
    cheapest=True,
    note="",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "accounts.csv").write_text("account,cash\nalice,10000\n")
    (tmp_path / "positions.csv").write_text(
        "account,asset,quantity,entry_price\nalice,BTC,0.1,60000\n"
    )
    path = tmp_path / "scenario.toml"
    path.write_text(SCENARIO + APPETITE)
    return path


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Put given answers in the place of the solvers; return what is asked."""

    def put(*answers: Answer, remedies: tuple[Remedy, ...] = ()) -> list[str]:
        asked: list[str] = []

        def leverage(task: Task) -> list[Answer]:
            asked.append("leverage")
            return list(answers)

        def nobody(task: Task) -> list[Answer]:
            asked.append("another")
            return []

        def help_(task: Task) -> list[Remedy]:
            asked.append("remedies")
            return list(remedies)

        solvers = dict.fromkeys(limits._ASK, nobody) | {"leverage": leverage}
        monkeypatch.setattr(limits, "_ASK", solvers)
        monkeypatch.setattr(limits, "remedies", help_)
        return asked

    return put


def run(file: Path, *options: str) -> int:
    return main(["limits", str(file), "--out", str(file.parent / "out"), *options])


def test_what_is_written(
    file: Path, answering: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answering(LEVERAGE, remedies=(REMEDY,))
    assert run(file, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    # the fund's appetite is not stated, so it is not asked for
    assert asked == ["leverage", "remedies"]
    (row,) = printed["limits"]
    assert (row["limit"], row["verdict"], row["risk_upper"]) == (8.0, "within", 0.05)
    assert row["headroom"] == pytest.approx(8 / 6 - 1)
    assert printed["remedies"][0]["cheapest"] is True
    folder = file.parent / "out"
    assert json.loads((folder / "summary.json").read_text())["limits"] == printed["limits"]
    tree = stress.open_result(folder)
    assert "appetite.fund_exhaustion_probability is not stated" in tree.attrs["notices"]
    assert float(tree["limit_values"]["risk_interval"][0, 1]) == 0.05
    page = (folder / "report.html").read_text()
    assert "Limits for the declared appetite" in page and "What would help" in page
    assert "Approved by" in page
    assert "alice <b>" not in page and "alice &lt;b&gt;" in page
    # what was written can be drawn again, and run again
    assert render(tree) == page
    assert main(["validate", str(folder / "scenario.toml")]) == 0


@pytest.mark.parametrize(
    ("changes", "said", "code"),
    [
        ({}, "within", 0),
        ({"present": 9.0}, "not resolved", 4),
        ({"present": 11.0}, "over", 3),
        ({"limit": float("nan"), "outcome": "too few paths"}, "not resolved", 4),
        ({"limit": float("nan"), "outcome": "not certified", "present": 11.0}, "over", 3),
        ({"outcome": "breached at the lowest value", "limit": float("nan")}, "over", 3),
        ({"outcome": "unbounded at the highest value", "limit": float("nan")}, "within", 0),
        ({"present": float("nan")}, "no present value", 0),
    ],
)
def test_verdict_and_exit_code(
    file: Path,
    answering: Callable[..., list[str]],
    changes: dict[str, Any],
    said: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = replace(LEVERAGE, **changes)
    answering(answer)
    assert verdict(answer) == said
    assert run(file, "--quiet") == code
    assert said in capsys.readouterr().out


def test_the_least_that_suffices_is_the_other_way_round() -> None:
    """A fund above its limit is room, one below the estimate is too small."""
    fund = replace(LEVERAGE, question="fund", unit="USD", limit=8.0, at_estimate=6.0)
    assert [verdict(replace(fund, present=now)) for now in (10.0, 7.0, 5.0)] == [
        "within",
        "not resolved",
        "over",
    ]
    assert headroom(replace(fund, present=10.0)) == pytest.approx(0.2)


def test_without_an_appetite(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SCENARIO)
    assert run(file) == 2
    assert "declares no appetite" in capsys.readouterr().err
    assert not (file.parent / "out").exists()


def test_an_appetite_without_a_risk(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SCENARIO + '[appetite]\nsolve = ["fund"]\n')
    assert run(file) == 2
    assert "fund_exhaustion_probability" in capsys.readouterr().err


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf"])
def test_a_budget_is_minutes(file: Path, minutes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(file, "--budget", minutes) == 2
    assert "--budget" in capsys.readouterr().err


@pytest.mark.parametrize("answered", [True, False])
def test_what_was_found_before_an_interruption_is_kept(
    file: Path,
    answering: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answered: bool,
) -> None:
    def interrupted(task: Task) -> list[Answer]:
        raise KeyboardInterrupt

    answering(LEVERAGE)
    question = "fund" if answered else "leverage"
    monkeypatch.setitem(limits._ASK, question, interrupted)
    file.write_text(file.read_text() + "fund_exhaustion_probability = 0.01\n")
    assert run(file) == 75
    folder = file.parent / "out"
    said = capsys.readouterr().err
    if answered:
        assert f"what was found is in {folder}" in said
        tree = stress.open_result(folder)
        assert tree["limit_values"]["limit"].values.tolist() == [8.0]
        assert 'interrupted at "fund"' in tree.attrs["notices"]
    else:
        assert "nothing was written" in said
        assert not folder.exists()

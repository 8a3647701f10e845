"""The command from the file to the folder, and what it refuses."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from stress.backtest.load import load_backtest
from stress.backtest.plan import make_plan
from stress.cli import main
from stress.result.store import open_result
from stress.scenario.load import load_scenario
from stress.scenario.resolve import resolved_toml
from tests.backtest.histories import history, scenario, write_history


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_history(tmp_path / "prices.csv", history(360, seed=11), extremes=0.02)
    return tmp_path


def test_from_file_to_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, the tables printed, the tree, the summary and the page written."""
    file = scenario(folder, model="historical", models='["gbm", "historical"]', paths="200")
    out = folder / "out"
    assert main(["backtest", str(file), "--out", str(out), "--all"]) == 0
    printed = capsys.readouterr().out
    for words in ("gbm: co-exceedance", "historical: co-exceedance", "realised co-exceedance"):
        assert words in printed
    assert printed.count("equal weights") == 2 * 2 * 2

    tree = open_result(out / "backtest.nc")
    coverage = tree["coverage"].to_dataset()
    assert dict(coverage.sizes) == {"model": 2, "side": 2, "level": 2, "series": 3}
    assert coverage["expected"].values == pytest.approx(
        tree.attrs["windows"] * np.array([0.05, 0.01])
    )
    losses = -tree["windows"]["simple_return"].sel(series="AAA").values
    value = tree["forecasts"]["value_at_risk"].sel(
        model="gbm", side="long", level=0.95, series="AAA"
    )
    counted = coverage["exceedances"].sel(model="gbm", side="long", level=0.95, series="AAA")
    assert int(counted) == int((losses > value.values).sum())
    books = tree["books"].to_dataset()
    assert (books["liquidated_at_extremes"].values >= books["liquidated"].values).all()
    assert books["liquidated_at_extremes"].values.sum() > books["liquidated"].values.sum()

    summary = json.loads((out / "summary.json").read_text())
    assert summary["model"] == "historical"
    assert [row["model"] for row in summary["verdicts"]] == ["gbm", "historical"]
    assert len(summary["coverage"]) == 2 * 2 * 2 * 3
    assert summary["exit_code"] == 0
    page = (out / "backtest.html").read_text()
    for words in ("Verdicts", "Joint tails", "Liquidations", "historical"):
        assert words in page
    assert "http://" not in page.split("</script>")[-1]

    # a second one does not overwrite it
    assert main(["backtest", str(file), "--out", str(out)]) == 2
    assert "another back-test" in capsys.readouterr().err


def test_json_and_same_digits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON on stdout, nothing on stderr under --quiet; the same digits again; one asset."""
    file = scenario(folder, assets='["BBB"]', paths="200")
    found = []
    for name in ("one", "two"):
        words = ["backtest", str(file), "--out", str(folder / name), "--json", "--quiet"]
        assert main(words) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        found.append(json.loads(printed.out))
    assert found[0]["coverage"] == found[1]["coverage"]
    assert found[0]["liquidations"] == found[1]["liquidations"]
    assert found[0]["verdicts"][0]["lower_tail"] == "not tested"


def test_plan(folder: Path) -> None:
    """Windows do not overlap, begin behind what is known, and refits come every so often."""
    task = load_backtest(scenario(folder, window='"2d"', liquidation_window='"5d"', refit='"10d"'))
    plan = make_plan(task)
    assert task.history.timestamps[plan.origins[0] + 1] == np.datetime64("2020-11-01")
    assert (np.diff(plan.origins) == 2).all()
    assert plan.origins[-1] + 2 <= len(task.history.timestamps) - 1
    assert (plan.refits <= plan.origins).all()
    assert (plan.origins - plan.refits).max() < 10
    assert plan.stride == 3
    starts = plan.origins[: plan.liquidations]
    assert starts[-1] + 5 <= len(task.history.timestamps) - 1
    assert (np.diff(starts[:: plan.stride]) >= 5).all()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"first": "2020-02-01"}, "only 30 returns of all 2 assets lie before 2020-02-01"),
        ({"first": "2020-12-20"}, "leaves 6 windows of 1d"),
        ({"window": '"30h"'}, 'must be a whole number of bars, got "30h"'),
        ({"window": '"12h"'}, 'must be a whole number of bars, got "12h"'),
        ({"liquidation_window": '"40d"'}, "needed are 3"),
        ({"lookback": '"30d"'}, "must hold 100 bars, got 30"),
        ({"models": '["gmb"]'}, "backtest.models"),
        ({"models": '["given"]'}, "not estimated from a history"),
        ({"models": '["gbm", "gbm"]'}, "stands there twice"),
        ({"leverages": "[5.0, 3.0]"}, "leverages must ascend"),
        ({"histroy": '"prices.csv"'}, 'did you mean "history"'),
        ({"history": ""}, "backtest.history: is missing"),
    ],
)
def test_refusals(
    folder: Path, keys: dict[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2."""
    assert main(["backtest", str(scenario(folder, **keys)), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_absent_asset_history_and_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not there is named; an absent file has an exit code of its own."""
    assert main(["backtest", str(scenario(folder, assets='["AAA", "CCC"]'))]) == 2
    assert 'has no price of "CCC"' in capsys.readouterr().err
    assert main(["backtest", str(scenario(folder, history='"absent.csv"'))]) == 5
    assert "does not exist" in capsys.readouterr().err
    file = folder / "plain.toml"
    file.write_text('name = "x"\n[market]\nassets = ["AAA"]\n')
    assert main(["backtest", str(file)]) == 2
    assert "backtest: is missing" in capsys.readouterr().err


def test_missing_bars_inside_the_walk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A window across a gap would be longer than it says: refused, with the place."""
    path = write_history(tmp_path / "prices.csv", history(360, seed=12))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "2020-11-20,BBB" not in line) + "\n")
    assert main(["backtest", str(scenario(tmp_path))]) == 2
    assert "missing between 2020-11-19" in capsys.readouterr().err


def test_a_run_takes_the_table_along(folder: Path) -> None:
    """A scenario with a book is the same after it is resolved, its history an input of it."""
    (folder / "accounts.csv").write_text("account,cash\na,100\n")
    (folder / "positions.csv").write_text("account,asset,quantity,entry_price\na,BTC,1,100\n")
    market = {"assets": ["BTC"], "price": {"BTC": 100.0}, "volatility": {"BTC": 0.5}}
    raw = {
        "name": "both",
        "market": market,
        "book": {"accounts": "accounts.csv", "positions": "positions.csv"},
        "venue": {"tiers": {"default": [{"floor": 0.0, "rate": 0.01}]}},
        "backtest": {"history": "prices.csv", "first": "2020-11-01"},
    }
    scenario = load_scenario(raw, base=folder)
    assert scenario.backtest is not None
    assert scenario.backtest.history == folder / "prices.csv"
    text = resolved_toml(scenario)
    assert str(folder / "prices.csv") in tomllib.loads(text)["inputs"]
    assert load_scenario(tomllib.loads(text)) == scenario

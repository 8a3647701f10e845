"""``margin-stress ladder``: what is printed, JSON, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.cli import main
from stress.scenario.resolve import resolved_toml
from tests.strategies import Account, write_book

ACCOUNTS = {
    "long": Account(
        300.0, [{"asset": "ONE", "quantity": 100.0, "entry_price": 128.0}], [], reserve=5.0
    ),
    "short": Account(400.0, [{"asset": "TEN", "quantity": -2.0, "entry_price": 2_500.0}]),
}
"""100 of ONE at 128 break at -100/12,600; 2 of TEN at 2,500 at 350/5,050."""

DEPTH = {"ONE": 5_000.0, "TEN": 1e6}


def write(folder: Path, accounts: dict[str, Account] = ACCOUNTS, **changes: Any) -> Path:
    chosen = {"venue.impact.depth_1pct": DEPTH, **changes}
    file = folder / "scenario.toml"
    file.write_text(resolved_toml(write_book(folder, accounts, chosen)), "utf-8")
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path)


def test_tables(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The riskiest asset first; numbers as they are worked out by hand."""
    assert main(["ladder", str(file)]) == 0
    out, err = capsys.readouterr()
    numbers, moves = out.split("\n\n")
    rows = [line.split() for line in numbers.splitlines()[1:]]
    assert [row[0] for row in rows] == ["ONE", "TEN", "TWO", "ODD"]
    # 12,672 sold into 5,000 at the first percent; nothing bought
    assert rows[0][1:6] == ["12,800", "5,000", "2.534", "0.000", "2.534"]
    assert rows[0][-2:] == ["FEEDS", "ITSELF"]
    # a rise by a percent from 6 percent on, 5,000 x 1.0706 bought from 1,000,000
    assert rows[1][1:] == ["-5,000", "1,000,000", "0.000", "0.000", "0.005", "+6.5%"]
    # held by nobody: nothing to say of it
    assert rows[2][1:] == ["0", "-", "-", "-", "-", "-"]
    lines = {line.split()[0]: line.split()[1:] for line in moves.splitlines()[1:]}
    assert lines["asset"] == ["-20%", "-10%", "-5%", "-1%", "+1%", "+5%", "+10%", "+20%"]
    assert lines["ONE"] == ["10,240", "11,520", "12,160", "12,672", "0", "0", "0", "0"]
    assert lines["TEN"] == ["0", "0", "0", "0", "0", "0", "5,500", "6,000"]
    assert lines["all"][1:] == ["10,240", "11,520", "12,160", "12,672", "0", "0", "5,500", "6,000"]
    assert lines["accounts"] == ["1", "1", "1", "1", "0", "0", "1", "1"]
    assert "warning: a cascade feeds itself from the start" in err
    assert "ONE 2.53 on a fall" in err
    assert "no depth" not in err


def test_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ladder", str(file), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(out, parse_constant=refuse)
    first, second, *others = found["assets"]
    assert (first["asset"], second["asset"]) == ("ONE", "TEN")
    assert first["reproduction_number"] == pytest.approx(2.5344)
    assert first["reproduction_number_fall"] == first["reproduction_number"]
    assert first["reproduction_number_rise"] == 0
    assert (first["net_position"], first["depth_1pct"]) == (12_800, 5_000)
    at = found["moves"].index(-0.1)
    assert first["liquidated_notional"][at] == pytest.approx(11_520)
    assert first["accounts"][at] == found["market_accounts"][at] == 1
    assert second["largest_reproduction_number_after"] == 0.065
    assert second["reproduction_number_along"][found["moves"].index(0.065)] == pytest.approx(
        second["largest_reproduction_number"]
    )
    for row in found["assets"]:
        for name in ("liquidated_notional", "accounts", "reproduction_number_along"):
            assert len(row[name]) == len(found["moves"])
    assert others[0]["reproduction_number"] is None
    assert any("feeds itself" in notice for notice in found["notices"])


def test_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The world asked for: 750 to spare in one pool, 519 behind the position in ONE alone."""
    both = [position for account in ACCOUNTS.values() for position in account.positions]
    file = write(tmp_path, {"both": Account(1_000.0, both)})
    for mode, many in (("as-booked", 0), ("cross", 0), ("isolated", 1)):
        assert main(["ladder", str(file), "--mode", mode, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        row = next(row for row in found["assets"] if row["asset"] == "ONE")
        assert row["accounts"][found["moves"].index(-0.05)] == many


def test_without_depth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to compare the flow with: the ladder stands, the key to add is named."""
    file = write(tmp_path, **{"venue.impact.depth_1pct": {"TEN": 1e6}})
    assert main(["ladder", str(file)]) == 0
    out, err = capsys.readouterr()
    row = next(line.split() for line in out.splitlines() if line.startswith("ONE"))
    assert row[1:] == ["12,800", "-", "-", "-", "-", "-"]
    assert "warning: no depth is stated for ONE" in err
    assert "add venue.impact.depth_1pct" in err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"venue.impact.dept_1pct": DEPTH}, 'did you mean "depth_1pct"?'),
        ({"venue.impact.depth_1pct": {"ONE": -5.0}}, "depth_1pct"),
        ({"venue.impact.depth_1pct": {"OEN": 5.0}}, "OEN"),
    ],
)
def test_a_scenario_that_cannot_be_used(
    change: dict[str, Any],
    words: str,
    file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = file.read_text("utf-8")
    ((key, value),) = change.items()
    name = key.rpartition(".")[2]
    inline = ", ".join(f"{asset} = {number}" for asset, number in value.items())
    head, _, tail = text.partition("[venue.impact.depth_1pct]\nONE = 5000.0\nTEN = 1000000.0\n")
    assert tail, text
    file.write_text(f"{head}[venue.impact.{name}]\n{inline.replace(', ', chr(10))}\n{tail}")
    assert main(["ladder", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(file) in err
    assert words in err


def test_a_wrong_command_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--mod", "cross"], 'did you mean "--mode"?'),
        (["--mode", "crss"], "invalid choice: 'crss'"),
        (["--shock", "ONE=-0.1"], 'unknown option "--shock"'),
    ):
        assert main(["ladder", str(file), *words]) == 2
        assert message in capsys.readouterr().err
    assert main(["laddr", str(file)]) == 2
    assert 'did you mean "ladder"?' in capsys.readouterr().err


def test_nothing_heavy_is_imported(file: Path) -> None:
    """It starts at once, as the margin display does."""
    code = (
        "import sys; from stress.cli import main; code = main(sys.argv[1:]);"
        "heavy = ('jax', 'scipy', 'xarray', 'pandas', 'plotly');"
        "print([name for name in heavy if name in sys.modules]); sys.exit(code)"
    )
    words = [sys.executable, "-c", code, "ladder", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

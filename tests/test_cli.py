"""Verbs, options, exit codes and signals; what the verbs do is tested where it lives."""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stress import cli
from stress.cli import main
from stress.errors import InputError, Interrupted, MissingInputError
from stress.runner.options import RunOptions
from stress.runner.unattended import Events

SCENARIO = """
name = "one-book"
[simulation]
paths = 1_000
horizon = "1d"
step = "5min"
[market]
assets = ["BTC"]
price = { BTC = 60_000 }
volatility = { BTC = 0.5 }
[book]
accounts = "accounts.csv"
positions = "positions.csv"
compare = ["isolated"]
[venue.tiers]
default = [ { floor = 0, rate = 0.02 } ]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "accounts.csv").write_text("account,cash\nalice,10000\nbob,5\n")
    (tmp_path / "positions.csv").write_text(
        "account,asset,quantity,entry_price\nalice,BTC,0.1,60000\n"
    )
    path = tmp_path / "scenario.toml"
    path.write_text(SCENARIO)
    return path


Fake = Callable[[str, Any], dict[str, Any]]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a command in the place of a module, keep what it is called with."""

    def put(name: str, result: Any = 0) -> dict[str, Any]:
        called: dict[str, Any] = {}

        def command(*arguments: Any, **keywords: Any) -> int:
            called.update(arguments=arguments, **keywords)
            if isinstance(result, BaseException):
                raise result
            return int(result)

        module_name, _, function = name.rpartition(".")
        module = ModuleType(module_name)
        setattr(module, function, command)
        monkeypatch.setitem(sys.modules, module_name, module)
        return called

    return put


VERBS = ["run", "validate", "margin", "ladder", "schema", "calibrate", "example", "report", "info"]
RUN = "stress.runner.command.run_command"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    for verb in VERBS:
        assert f"  {verb}" in overview
        assert main([verb, "--help"]) == 0
        assert "--json" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("margin-stress ")


def test_validate_says_what_was_read(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(scenario)]) == 0
    out, err = capsys.readouterr()
    for words in ("2 accounts", "1 position,", "1 asset", "288 steps", "1,000", "isolated"):
        assert words in out
    assert "warning: 1 account has no position and cannot be liquidated: bob\n" in err


def test_validate_as_json(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(scenario), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == "one-book"
    assert (facts["accounts"], facts["positions"], facts["assets"]) == (2, 1, 1)
    assert (facts["steps"], facts["paths"]) == (288, 1000)
    assert facts["worlds"] == ["as-booked", "isolated"]
    assert "bob" in facts["notices"][0]


def test_an_account_in_breach_at_the_start_is_reported_not_refused(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 6,000 of notional need 120 of maintenance margin
    (scenario.parent / "accounts.csv").write_text("account,cash\nalice,119\nbob,5\n")
    assert main(["validate", str(scenario)]) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert all(line.startswith("warning: ") for line in warnings)
    assert any("in breach at the start" in line and "alice" in line for line in warnings)


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "margin-stress scenario"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], 'no command is given; see "margin-stress --help"'),
        (["validat", "x"], 'unknown command "validat"; did you mean "validate"?'),
        (["--quiet", "run"], "write the command first"),
        (["import"], "the following arguments are required: kind, -o/--output"),
        (["run"], "required: FILE; see"),
        (["run", "a.toml", "--pahts", "5"], 'unknown option "--pahts" of margin-stress run; did'),
        (["run", "a.toml", "--path=5"], 'did you mean "--paths"?'),
        (["run", "a.toml", "--paths", "many"], "--paths: invalid int value: 'many'"),
        (["run", "a.toml", "--mode", "crss"], "invalid choice: 'crss'"),
        (["run", "a.toml", "--device", "tpu"], "invalid choice: 'tpu'"),
        (["validate", "a.toml", "b.toml"], "unrecognized arguments: b.toml"),
        (["margin", "a.toml", "--shock", "BTC"], '--shock: "BTC" is not a shock; write'),
        (["margin", "a.toml", "--shock", "BTC=-1"], "with a move above -1"),
        (["margin", "a.toml", "--shock", "BTC=nan"], "is not a shock"),
        (["margin", "a", "--shock", "B=1", "--shock", "B=2"], '"B" is shocked twice'),
        (["calibrate", "p.csv"], "required: -o/--output"),
        (["calibrate", "p.csv", "-o", "c", "--assets", ","], "no asset is named"),
        (["validate", "nowhere.toml"], "nowhere.toml: the file does not exist"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("margin-stress: error: ")
    assert err.count("\n") == 1
    assert message in err


def test_errors_are_also_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "nowhere.toml", "--json"]) == 2
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["exit_code"] == 2
    assert err == f"margin-stress: error: {told['error']}\n"


def test_run_passes_its_options_on(fake: Fake) -> None:
    called = fake(RUN, 3)
    words = "run a.toml --out o --paths 5 --seed 7 --mode cross --device cpu --quiet --json"
    words += " --book b --resume --keep 5 --format md,html,md"
    assert main(words.split()) == 3
    files, options = called.pop("arguments")
    assert files == ["a.toml"]
    assert options == RunOptions(
        out="o",
        book="b",
        paths=5,
        seed=7,
        mode="cross",
        device="cpu",
        formats=("html", "md"),
        resume=True,
        keep=5,
        quiet=True,
    )
    assert isinstance(called.pop("events"), Events)
    assert called == {"as_json": True}


def test_the_other_verbs_pass_their_options_on(fake: Fake) -> None:
    called = fake("stress.runner.margin_command.margin_command", 0)
    assert main(["margin", "a.toml", "--shock", "BTC=-0.2", "--shock", "A=B=0.1"]) == 0
    assert called == {
        "arguments": ("a.toml",),
        "shocks": {"BTC": -0.2, "A=B": 0.1},
        "mode": None,
        "as_json": False,
    }
    called = fake("stress.runner.ladder_command.ladder_command", 0)
    assert main(["ladder", "a.toml", "--mode", "isolated", "--json"]) == 0
    assert called == {"arguments": ("a.toml",), "mode": "isolated", "as_json": True}
    called = fake("stress.calibrate.command.calibrate_command", 0)
    words = ["p.csv", "-o", "c.toml", "--assets", "BTC,ETH", "--since", "2024-01-01", "--no-page"]
    assert main(["calibrate", *words]) == 0
    assert called == {
        "arguments": ("p.csv", "c.toml"),
        "assets": ["BTC", "ETH"],
        "since": "2024-01-01",
        "until": None,
        "models": None,
        "remove_wicks": True,
        "page": None,
        "as_json": False,
    }
    called = fake("stress.report.command.report_command", 0)
    assert main(["report", "results/x", "--format", "csv,json", "-o", "to"]) == 0
    assert called == {
        "arguments": ("results/x",),
        "formats": ("json", "csv"),
        "out": "to",
        "as_json": False,
    }
    called = fake("stress.runner.device.info_command", 0)
    assert main(["info", "--json"]) == 0
    assert called == {"arguments": (), "as_json": True}


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("no", remedy="yes"), 2, "margin-stress: error: no; yes\n"),
        (MissingInputError("gone"), 5, "margin-stress: error: gone\n"),
        (Interrupted("stopped after 5 paths"), 75, "margin-stress: error: stopped after 5 paths\n"),
        (KeyboardInterrupt(), 75, "margin-stress: error: interrupted\n"),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, words: str, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(RUN, error)
    assert main(["run", "a.toml"]) == code
    assert capsys.readouterr().err == words


def test_a_bug_shows_where(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake(RUN, ZeroDivisionError("x"))
    assert main(["run", "a.toml", "--json"]) == 1
    out, err = capsys.readouterr()
    assert "Traceback" in err
    assert "a bug: ZeroDivisionError('x')" in err
    assert json.loads(out)["exit_code"] == 1


def test_sigterm_is_an_interrupt(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(RUN, 0)
    before = signal.getsignal(signal.SIGTERM)

    def terminated(*arguments: Any, **keywords: Any) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    monkeypatch.setattr(sys.modules["stress.runner.command"], "run_command", terminated)
    assert main(["run", "a.toml"]) == 75
    assert signal.getsignal(signal.SIGTERM) is before


def child(*words: str, code: str = "") -> list[str]:
    program = code or "import sys; from stress.cli import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", program, *words]


HEAVY = ["jax", "scipy", "xarray", "pandas", "plotly"]


@pytest.mark.parametrize("verb", ["--help", "validate"])
def test_what_starts_at_once_imports_nothing_heavy(verb: str, scenario: Path) -> None:
    code = (
        "import sys; from stress.cli import main; code = main(sys.argv[1:]);"
        f"print([name for name in {HEAVY} if name in sys.modules]); sys.exit(code)"
    )
    words = [verb] if verb == "--help" else [verb, str(scenario)]
    done = subprocess.run(child(*words, code=code), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_m_stress() -> None:
    command = [sys.executable, "-m", "stress", "validat"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr == 'margin-stress: error: unknown command "validat"; did you mean "validate"?\n'
    )


def test_a_reader_that_goes_away_is_no_bug() -> None:
    with subprocess.Popen(
        child("schema"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert err == b""
    assert process.returncode == 141


def test_garbage_is_collected_as_before_when_a_command_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, during = gc.get_threshold(), []

    def look(arguments: list[str]) -> int:
        during.append(gc.get_threshold()[0])
        return 0

    monkeypatch.setattr(cli, "_dispatch", look)
    assert main([]) == 0
    assert gc.get_threshold() == before
    assert during[0] > before[0]


def test_a_name_that_the_terminal_does_not_know_is_escaped(
    scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither bytes that are no text nor letters beyond ASCII end a command with a bug."""
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    other = scenario.with_name("caf\u00e9 \udcff.toml")
    scenario.rename(other)
    assert main(["validate", str(other)]) == 0
    assert b"caf\\xe9 \\udcff.toml: valid" in raw.getvalue()

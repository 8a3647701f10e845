"""The schedules in the documentation: they parse, name what exists, and their programs tell."""

from __future__ import annotations

import argparse
import ast
import configparser
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from email import message_from_bytes, policy
from pathlib import Path

import pytest
import yaml

from stress.cli import parsers
from stress.errors import EXIT_CODES
from stress.importers.keys import keys_of
from stress.runner.on_finish import Outcome

DOCS = Path(__file__).parents[1] / "docs"
SCHEDULES = DOCS / "schedules"
PAGE = (DOCS / "scheduling.md").read_text("utf-8")

ALL = sorted(path for path in SCHEDULES.iterdir() if path.is_file())


def commands(text: str) -> list[list[str]]:
    """Return the words behind every ``margin-stress`` of a text that stands in a shell's place."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r"(?:^|[\s;&|(])margin-stress ([^\n;&|`]*)", joined, flags=re.MULTILINE)
    return [shlex.split(words, comments=True) for words in found]


def shell_blocks(page: str) -> str:
    return "\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", page, flags=re.DOTALL))


WRITTEN = [
    (name, words)
    for name, text in [
        *((path.name, path.read_text("utf-8")) for path in ALL if path.suffix == ".sh"),
        ("scheduling.md", shell_blocks(PAGE)),
    ]
    for words in commands(text)
]


def test_there_is_something_to_check() -> None:
    assert len(WRITTEN) >= 8
    assert {"run", "import", "calibrate", "validate"} <= {words[0] for _, words in WRITTEN}


@pytest.mark.parametrize(("name", "words"), WRITTEN, ids=lambda it: str(it)[:60])
def test_every_command_is_understood(name: str, words: list[str]) -> None:
    """Verb and options are those of the command line, and nothing that is needed is left out."""
    known: dict[str, argparse.ArgumentParser] = parsers()
    verb, *rest = words
    known[verb].parse_args([word for word in rest if word != "$resume"])


def test_every_file_is_on_the_page() -> None:
    for path in ALL:
        assert f"schedules/{path.name}" in PAGE, path.name


@pytest.mark.parametrize(
    "path", [path for path in ALL if path.name != "tell_mail.py"], ids=lambda path: path.name
)
def test_the_page_shows_the_files_as_they_are(path: Path) -> None:
    assert f"\n{path.read_text('utf-8')}```\n" in PAGE


def test_exit_codes_are_all_explained() -> None:
    for code in EXIT_CODES:
        assert re.search(rf"^\| {code} \|", PAGE, flags=re.MULTILINE), code


def test_what_the_program_is_told_is_explained() -> None:
    for name in Outcome(0).environment():
        assert f"`{name}`" in PAGE, name


class TestFiles:
    @pytest.mark.parametrize(
        "path", [path for path in ALL if path.suffix == ".sh"], ids=lambda path: path.name
    )
    def test_shell(self, path: Path) -> None:
        subprocess.run(["/bin/sh", "-n", str(path)], check=True)
        assert os.access(path, os.X_OK)

    @pytest.mark.parametrize(
        "path", [path for path in ALL if path.suffix == ".py"], ids=lambda path: path.name
    )
    def test_python(self, path: Path) -> None:
        ast.parse(path.read_text("utf-8"))

    def test_crontab(self) -> None:
        lines = (SCHEDULES / "crontab").read_text("utf-8").splitlines()
        jobs = [line for line in lines if line and line[0] in "0123456789*"]
        assert len(jobs) == 1
        assert "%" not in jobs[0], "cron makes it the end of the line"
        minute, hour, *days = jobs[0].split()[:5]
        assert (0 <= int(minute) < 60, 0 <= int(hour) < 24, days) == (True, True, ["*"] * 3)
        assert all(re.fullmatch(r"#.*|[A-Z]+=\S+", line) for line in lines if line not in jobs)

    def test_units(self) -> None:
        """What any machine can check; ``systemd-analyze verify`` says more."""
        units = {}
        for kind in ("service", "timer"):
            unit = configparser.ConfigParser(interpolation=None, strict=False)
            unit.optionxform = str  # type: ignore[assignment,method-assign]
            unit.read_string((SCHEDULES / f"margin-stress-nightly.{kind}").read_text("utf-8"))
            units[kind] = unit
        service = units["service"]["Service"]
        assert service["SuccessExitStatus"].split() == ["3", "4"]
        assert service["RestartPreventExitStatus"].split() == ["1", "2", "5"]
        assert Path(service["ExecStart"]).name == "nightly.sh"
        assert units["timer"]["Timer"]["OnCalendar"] == "*-*-* 01:30:00 UTC"

    def test_workflow(self) -> None:
        workflow = yaml.safe_load((SCHEDULES / "github-actions.yml").read_text("utf-8"))
        # YAML 1.1 reads the key "on" as true
        assert workflow[True]["schedule"] == [{"cron": "30 1 * * *"}]
        steps = workflow["jobs"]["stress"]["steps"]
        assert all(("run" in step) != ("uses" in step) for step in steps)
        (run,) = [step for step in steps if step.get("run") == "./nightly.sh"]
        binance = dict.fromkeys(run["env"], "x" * 8)
        keys_of(binance, "binance", ("key", "secret"))

    def test_the_dag_knows_the_exit_codes(self) -> None:
        module = ast.parse((SCHEDULES / "airflow_dag.py").read_text("utf-8"))
        values = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in module.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        assert values["INTERRUPTED"] == 75
        assert set(values["VERDICTS"]) == {0, 3, 4}


STAND_IN = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$1 ${2-}" in
"import positions") exit "$IMPORT" ;;
"run "*) exit "$RUN" ;;
esac
"""
"""A ``margin-stress`` that notes how it is called and ends as it is told to."""


class TestNightly:
    def night(self, folder: Path, *, imported: int, run: int) -> tuple[int, list[str]]:
        """Run nightly.sh with a stand-in for margin-stress; return the exit code and the calls."""
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / "scenarios").mkdir()
        for name in ("one", "two"):
            (folder / "scenarios" / f"{name}.toml").touch()
        script, program = folder / "nightly.sh", folder / ".venv" / "bin" / "margin-stress"
        script.write_text((SCHEDULES / "nightly.sh").read_text("utf-8"))
        program.write_text(STAND_IN)
        for file in (script, program):
            file.chmod(0o755)
        calls = folder / "calls"
        environment = {"CALLS": str(calls), "IMPORT": str(imported), "RUN": str(run)}
        # as bare as cron's, and started from elsewhere
        bare = {"PATH": "/usr/bin:/bin", "HOME": "/", **environment}
        code = subprocess.run([str(script)], cwd="/", env=bare, check=False).returncode
        return code, calls.read_text().splitlines()

    @pytest.mark.parametrize("code", [0, 3, 4, 75])
    def test_it_ends_as_the_run_does(self, code: int, tmp_path: Path) -> None:
        ended, calls = self.night(tmp_path, imported=0, run=code)
        assert ended == code
        verbs = [" ".join(call.split()[:2]) for call in calls]
        assert verbs[:3] == ["import prices", "calibrate prices/prices.csv", "import positions"]
        assert calls[3].startswith("run scenarios/one.toml scenarios/two.toml --book books/20")

    def test_a_failed_import_leads_to_the_run_which_says_so(self, tmp_path: Path) -> None:
        """The run refuses a book that is absent or stale, and hands that on: nobody is not told."""
        ended, calls = self.night(tmp_path, imported=5, run=5)
        assert ended == 5
        assert calls[-1].startswith("run ")
        assert "--on-finish ./tell_webhook.sh" in calls[-1]


def mail_server(listening: socket.socket, got: list[bytes]) -> None:
    """Take one mail as a server would, without a library of servers."""
    connection, _ = listening.accept()
    with connection, connection.makefile("rb") as lines:
        connection.sendall(b"220 here\r\n")
        for line in lines:
            word = line.split()[0].upper()
            if word == b"DATA":
                connection.sendall(b"354 go on\r\n")
                got.append(b"".join(iter(lines.readline, b".\r\n")))
            connection.sendall(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


ODD = Outcome(3, name='two "books" $(id)', error='it\'s "wrong": \\ {x}')


def told(**more: str) -> dict[str, str]:
    return {**os.environ, **ODD.environment(), **more}


CURL = """#!/bin/sh
printf '%s ' "$@" > "$GOT.words"
cat > "$GOT"
"""
"""A ``curl`` that writes down what it is asked."""


def test_the_webhook_is_told(tmp_path: Path) -> None:
    """Valid JSON whatever names and errors hold; the address is on no command line."""
    got = tmp_path / "got"
    curl = tmp_path / "curl"
    curl.write_text(CURL)
    curl.chmod(0o755)
    (tmp_path / "python3").symlink_to(sys.executable)
    secret = "http://127.0.0.1:1/secret"
    environment = told(PATH=f"{tmp_path}:/usr/bin:/bin", GOT=str(got), MARGIN_STRESS_WEBHOOK=secret)
    subprocess.run([str(SCHEDULES / "tell_webhook.sh")], env=environment, check=True)
    asked = dict(line.split(" = ", 1) for line in got.read_text().splitlines())
    assert json.loads(asked["url"]) == secret
    assert "secret" not in got.with_suffix(".words").read_text()
    text = json.loads(json.loads(asked["data"]))["text"]
    assert text == 'two "books" $(id): a limit is BREACHED\nit\'s "wrong": \\ {x}'


def test_mail_is_sent_with_the_report(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<h1>Größe</h1>", "utf-8")
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=mail_server, args=(listening, got))
        thread.start()
        environment = told(
            MAIL_SERVER=f"127.0.0.1:{listening.getsockname()[1]}",
            MAIL_FROM="stress@example.com",
            MAIL_TO="risk@example.com, desk@example.com",
            MARGIN_STRESS_REPORT=str(report),
        )
        program = [sys.executable, str(SCHEDULES / "tell_mail.py")]
        subprocess.run(program, env=environment, check=True)
        thread.join(30)
    mail = message_from_bytes(got[0], policy=policy.default)
    assert mail["Subject"] == 'two "books" $(id): a limit is BREACHED'
    (page,) = mail.iter_attachments()
    assert page.get_content().strip() == "<h1>Größe</h1>"
    assert page.get_filename() == "report.html"

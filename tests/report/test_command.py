"""``margin-stress report RUN`` on a run folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stress.errors import InputError
from stress.report.command import report_command
from stress.report.markdown import plain
from stress.report.page import render
from stress.result.store import save_result

from .sample import sample_tree


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    save_result(sample_tree(12), tmp_path)
    return tmp_path


def test_the_report_is_drawn_again_from_the_file(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What went through the file draws the page that the result in memory draws."""
    assert report_command(run_folder, as_json=False) == 0
    report = run_folder / "report.html"
    assert capsys.readouterr().out == f"{report}\n"
    assert report.read_text(encoding="utf-8") == render(sample_tree(12))


def test_the_path_comes_as_json(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report_command(run_folder, as_json=True) == 0
    report = str(run_folder / "report.html")
    assert json.loads(capsys.readouterr().out) == {"report": report, "files": {"html": report}}


def test_formats_are_written_where_they_are_asked_for(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One document in three writings: the same tables, in the same order, in each of them."""
    to = tmp_path / "a" / "b"
    result = run_folder / "result.nc"
    assert report_command(result, formats=("json", "md", "csv"), out=to, as_json=False) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [str(to / name) for name in ("report.json", "report.md", "tables")]
    data = json.loads((to / "report.json").read_text())
    tables = [table for section in data["sections"] for table in section["tables"]]
    files = sorted(path.name for path in (to / "tables").iterdir())
    assert files == sorted(["index.csv", *(f"{table['name']}.csv" for table in tables)])
    text = (to / "report.md").read_text()
    assert [plain(table["caption"]) for table in tables] == re.findall(
        r"^\*\*(.*)\*\*\n\n\|", text, re.MULTILINE
    )
    assert not (run_folder / "report.html").exists()


def test_a_folder_that_cannot_be_made_is_said(run_folder: Path) -> None:
    (run_folder / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written to"):
        report_command(run_folder, out=run_folder / "file" / "x", as_json=False)


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        report_command(tmp_path, as_json=False)
    assert caught.value.remedy
    assert str(tmp_path) in str(caught.value)
    assert not list(tmp_path.iterdir())

"""``margin-stress report RUN`` on a run folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stress.errors import InputError
from stress.report.command import report_command
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
    assert json.loads(capsys.readouterr().out) == {"report": str(run_folder / "report.html")}


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        report_command(tmp_path, as_json=False)
    assert caught.value.remedy
    assert str(tmp_path) in str(caught.value)
    assert not list(tmp_path.iterdir())

"""The benchmarks measure what they say: small sizes, contenders that need nothing further."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import __main__ as command
from benchmarks import growth, plain, table
from benchmarks.books import Size
from benchmarks.jobs import ready
from benchmarks.row import Row, measured

SMALL = {"accounts": 40, "assets": 3, "steps": 24, "paths": 64, "leverage": [20.0, 110.0]}


def small_row(name: str, seconds: float, peak: float = 500.0) -> Row:
    return Row(
        name=name,
        note="",
        paths=64,
        normals=1.0,
        steps=64.0,
        seconds=seconds,
        draw_seconds=0.5,
        peak_mib=peak,
        liquidated=0.1,
    )


@pytest.mark.slow
def test_the_plain_kernel_liquidates_whom_the_project_liquidates() -> None:
    found = plain.row("plain", SMALL)
    assert 0.05 < found.liquidated < 0.95
    assert found.steps == 40 * 24 * 64


def test_liquidations_that_differ_are_found() -> None:
    job = ready(Size(accounts=8, assets=2, steps=12, paths=64, leverage=(20.0, 60.0)))
    marks = np.full((1, 2, 13), 100.0)
    marks[0, :, 5:] = 60.0
    right = plain.first_breaches(job, marks.astype(np.float32)).T
    assert set(np.unique(right)) <= {-1, 5} and (right == 5).any()
    late: NDArray[np.int64] = np.where(right == 5, 6, right)
    plain.same_but_for_rounding(job, marks, right, right)
    with pytest.raises(AssertionError, match="step 5"):
        plain.same_but_for_rounding(job, marks, right, late)


@pytest.mark.slow
def test_a_row_comes_from_a_process_of_its_own() -> None:
    row = measured("draws", name="draw", size=SMALL)
    assert row.normals == 3 * 24 * 64
    assert row.seconds > 0 and row.draw_seconds > 0
    assert 20 < row.peak_mib < 4_000
    with pytest.raises(ModuleNotFoundError, match="nobody"):
        measured("nobody")


def test_what_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = table.Contender("somebody", "somebody", 1, needs="a_library_of_nobody")
    drawn = table.Contender("NumPy", "draws", 8)
    monkeypatch.setattr(table, "CONTENDERS", (absent, drawn))
    *_, left_out, row = table.lines({"assets": 3, "steps": 24})
    assert "left out: a_library_of_nobody is not here" in left_out
    assert row.startswith("| NumPy | 8 |")
    assert {line.count("|") for line in (left_out, row)} == {table.HEADER.split("\n")[0].count("|")}


def test_growth_is_said_per_unit_and_drawn(tmp_path: Path) -> None:
    rows = [(10, small_row("paths", 1.0)), (40, small_row("paths", 2.0))]
    assert "| 40 | 2 | 4.00 | 0.50 |" in growth._line(rows)
    page = tmp_path / "growth.html"
    growth.draw_growth({"paths": rows, "steps": rows}, page)
    assert "peak memory, GiB" in page.read_text(encoding="utf-8")


def test_a_table_replaces_the_one_in_a_page(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n", encoding="utf-8")
    command._replace(page, "table", "new")
    found = page.read_text(encoding="utf-8")
    assert found == "before\n<!-- table -->\n\nnew\n\n<!-- end of table -->\nafter\n"
    with pytest.raises(ValueError, match="no place for growth"):
        command._replace(page, "growth", "new")

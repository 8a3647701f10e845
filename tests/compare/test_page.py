"""The comparison as page, text and JSON, and the report's section: complete, escaped, offline."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.offline
import pytest

from stress.cli import main
from stress.compare.compare import compare
from stress.compare.page import parts_of, render_comparison
from stress.compare.text import text_of
from stress.report.document import document_of
from stress.report.page import render
from stress.report.sections.previous import previous_content
from stress.result.comparison import Comparison
from stress.result.store import save_result
from tests.report.cascade_sample import cascade_tree
from tests.report.sample import sample_tree

from .trees import barrier_tree, path_tree

HOSTILE = '<img src=x onerror="alert(1)"></script>\x1b[31m=cmd'
LIMIT = "max_account_liquidation_probability"
GROUP = f"max_group_any_liquidation_probability.{HOSTILE}"


def barriers(changed: float = 0.6) -> Comparison:
    few = {HOSTILE: 0.8, "b": 1.0, "c": 1.2}
    groups = [HOSTILE, HOSTILE, "others"]
    limits = {LIMIT: 0.5, GROUP: 0.5}
    one, other = (
        barrier_tree(book, seed=3, paths=2_000, limits=limits, groups=groups)
        for book in (few, {**few, HOSTILE: changed})
    )
    one.attrs["title"] = other.attrs["title"] = HOSTILE
    return compare(one, other, folders=(f"../{HOSTILE}", "."))


def without_plotly(page: str) -> str:
    return page.replace(plotly.offline.get_plotlyjs(), "")


@pytest.fixture(scope="module")
def found() -> Comparison:
    return barriers()


@pytest.fixture(scope="module")
def page(found: Comparison) -> str:
    return render_comparison(found)


class TestPage:
    def test_nothing_is_obeyed_or_loaded(self, page: str) -> None:
        rest = without_plotly(page)
        assert "<img" not in rest
        assert not re.search(r"https?://|@import|url\(|//cdn", rest)
        assert "default-src 'none'" in rest

    def test_every_section_is_there(self, page: str) -> None:
        names = re.findall(r'<section id="([a-z]+)"', page)
        assert names == [
            "differences",
            "changes",
            "limits",
            "accounts",
            "groups",
            "further",
            "method",
        ]
        assert 'id="figure-account-changes"' in page

    def test_headline_differences_have_an_interval_and_a_word(self, found: Comparison) -> None:
        table = parts_of(found)[0][1].tables[0]
        assert [column.title for column in table.columns][1:5] == [
            "Difference",
            "In a word",
            "A",
            "B",
        ]
        row = table.rows[0]
        assert str(row[1]).startswith("+")
        assert " to " in str(row[1])
        assert row[2] == "up"
        assert str(row[5]).endswith("times")

    def test_independent_runs_say_so(self) -> None:
        one, other = (path_tree(np.eye(3, 50), "abc", seed=seed) for seed in (1, 2))
        text = text_of(compare(one, other))
        assert "share no random numbers (the seed is 1 in one and 2 in the other)" in text
        assert "Narrower by pairing" not in text

    @pytest.mark.parametrize("make", [sample_tree, cascade_tree])
    def test_whole_results(self, make: object) -> None:
        """Results as a report's own, of two seeds: as many numbers as both have."""
        one, other = (make(40, seed=seed) for seed in (1, 2))  # type: ignore[operator]
        other.attrs["seed"] = 8
        for tree in (one, other):
            tree.attrs["schema_version"] = "1"
        found = compare(one, other)
        text = text_of(found)
        assert not re.search(r"\bnan\b", without_plotly(render_comparison(found)).lower())
        assert "max_uncovered_loss" in text
        assert ("Expected shortfall of cascade loss" in text) == (make is cascade_tree)


class TestText:
    def test_a_terminal_is_not_moved(self, found: Comparison) -> None:
        text = text_of(found)
        assert "\x1b" not in text
        assert "\ufffd[31m" in text

    def test_columns_are_aligned(self, found: Comparison) -> None:
        lines = text_of(found).splitlines()
        start = lines.index("  Headline figures")
        heads, rows = lines[start + 1], lines[start + 2 : start + 5]
        place = heads.index("In a word")
        assert all(row[place - 2 : place] == "  " and row[place] != " " for row in rows)

    def test_the_same_run_twice(self) -> None:
        tree = barrier_tree({"a": 1.0}, seed=1, paths=100)
        text = text_of(compare(tree, tree))
        assert "Every headline figure is the same." in text
        assert "Versions, platform, inputs and scenario are the same." in text


class TestPrevious:
    def test_it_stands_behind_the_headline(self, found: Comparison) -> None:
        names = [section.name for section, _ in document_of(sample_tree(9), found).parts]
        assert names[:3] == ["headline", "previous", "limits"]

    def test_what_it_says(self, found: Comparison) -> None:
        content = previous_content(found)
        assert "Since the previous run of 2026-01-02T03:04:05Z" in content.lead[0]
        assert "1 crossed the limit upward, 0 downward" in content.lead[0]
        captions = [table.caption for table in content.tables]
        assert "Accounts that crossed the limit" in captions
        assert "Changed versions, platform, inputs, scenario" in captions
        words = {row[2] for row in content.tables[0].rows}
        assert "up" in words

    def test_the_link_stays_beside_the_page(self, found: Comparison) -> None:
        rest = without_plotly(render(sample_tree(9), found))
        (address,) = re.findall(r'<a href="([^#"][^"]*)">Report of the previous run', rest)
        assert address.startswith("./../%3Cimg")
        assert address.endswith("/report.html")
        assert "<img" not in rest
        for folder in ("javascript:alert(1)", "//evil", "\\\\evil"):
            other = replace(found, one=replace(found.one, folder=folder))
            (link,) = previous_content(other).links
            assert ":" not in link.address
            assert link.address.startswith("./")

    def test_without_a_folder_there_is_no_link(self, found: Comparison) -> None:
        assert previous_content(replace(found, one=replace(found.one, folder=""))).links == ()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    root = tmp_path_factory.mktemp("runs")
    for name, barrier in (("one", 0.8), ("other", 0.6)):
        (root / name).mkdir()
        save_result(barrier_tree({"a": barrier, "b": 1.0}, seed=3, paths=400), root / name)
    return str(root / "one"), str(root / "other")


class TestCommand:
    def test_text_and_page(
        self, folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "page.html"
        assert main(["compare", *folders, "-o", str(out)]) == 0
        printed = capsys.readouterr().out
        assert "Of the liquidation probabilities of 2 accounts" in printed
        assert printed.rstrip().endswith(str(out))
        assert "Two runs compared" in out.read_text("utf-8")

    def test_json(self, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", *folders, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["pairing"]["how"] == "paired"
        assert found["differences"][0]["verdict"] == "up"
        assert found["one"]["folder"] == folders[0]

    @pytest.mark.parametrize(
        ("words", "rule"),
        [
            (["{one}"], "required: B"),
            (["{one}", "nowhere"], "nowhere: holds no finished result"),
            (["{one}", "{other}", "-o", "no/such/folder/x.html"], "cannot be written"),
        ],
    )
    def test_one_line_and_exit_code_2(
        self,
        folders: tuple[str, str],
        words: list[str],
        rule: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        named = [word.format(one=folders[0], other=folders[1]) for word in words]
        assert main(["compare", *named]) == 2
        error = capsys.readouterr().err
        assert rule in error
        assert error.count("\n") == 1

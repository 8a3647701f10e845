"""The page of several scenarios: the order of what is worst, and the gravest exit code."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.errors import InputError
from stress.history.pack import Member, check_page, gravest, pack_page, worst_first, write_pack
from stress.history.page import write_index
from stress.history.runs import read_run, read_runs
from tests.history.folders import limit, three, write_run
from tests.history.pages import Page, asks_for


def member(root: Path, name: str, code: int, *, used: float = 0.5, loss: float = 1e6) -> Member:
    """Return a scenario with a run folder."""
    run = write_run(
        root,
        scenario=name,
        limits=[limit(used, 1.0)],
        expected_total_loss=three(loss, 0.1 * loss),
        exit_code=code,
    )
    return Member(name, f"{name}.toml", code, read_run(run))


def failed(name: str, code: int | None) -> Member:
    """Return a scenario without a result."""
    return Member(name, f"{name}.toml", code, error=f"{name}.toml: went wrong")


class TestOrder:
    def test_worst_first(self, tmp_path: Path) -> None:
        """By code, then by how far over a limit, then by loss; as they came where all is alike."""
        members = [
            member(tmp_path, "calm", 0, used=0.2),
            member(tmp_path, "unresolved", 4, used=0.9),
            failed("stale", 5),
            failed("unusable", 2),
            member(tmp_path, "over", 3, used=1.2, loss=9e9),
            member(tmp_path, "far over", 3, used=4.0),
            failed("bug", 1),
            member(tmp_path, "near", 0, used=0.8, loss=1e6),
            member(tmp_path, "near and dear", 0, used=0.8, loss=2e6),
        ]
        expected = ["far over", "over", "bug", "unusable", "stale", "unresolved"]
        expected += ["near and dear", "near", "calm"]
        assert [each.scenario for each in worst_first(members)] == expected

    @pytest.mark.parametrize(
        ("codes", "gravest_of_all"),
        [
            ((), 0),
            ((0, 0), 0),
            ((0, 4), 4),
            ((4, 3), 3),
            ((5, 4), 5),
            ((5, 3), 3),
            ((2, 5), 2),
            ((1, 2), 1),
            ((1, 3), 3),
            ((75, 3, None), 75),
            ((0, 99), 99),
        ],
    )
    def test_exit_code(self, codes: tuple[int | None, ...], gravest_of_all: int) -> None:
        for order in permutations(codes):
            assert gravest([failed("one", code) for code in order]) == gravest_of_all

    @given(st.lists(st.sampled_from((0, 1, 2, 3, 4, 5)), min_size=1, max_size=6))
    @settings(max_examples=50, deadline=None)
    def test_the_first_row_has_it(self, codes: list[int]) -> None:
        members = [failed(str(number), code) for number, code in enumerate(codes)]
        assert gravest(members) == worst_first(members)[0].exit_code


class TestPage:
    def test_rows(self, tmp_path: Path) -> None:
        """Numbers with intervals, links to reports, and for what has no result the line it said."""
        members = [
            member(tmp_path, "calm", 0),
            member(tmp_path, "over", 3, used=1.4),
            failed("stale", 5),
        ]
        file = write_pack(tmp_path / "pack-now.html", members, book="tonight")
        page = Page(file)
        assert page.text.index("over") < page.text.index("stale") < page.text.index("calm")
        assert "3 scenarios: 1 breached, 1 error, 1 kept. Exit code 3" in page.text
        assert "book tonight" in page.text
        assert "5.0 % (4.8 to 5.2)" in page.text
        assert "stale (stale.toml): stale.toml: went wrong" in page.text
        assert page.targets(file) == [each.run.folder / "report.html" for each in members[1::-1]]
        assert asks_for(page.source) == []

    def test_interrupted(self, tmp_path: Path) -> None:
        members = [member(tmp_path, "calm", 0), failed("stopped", 75), failed("later", None)]
        page = Page(write_pack(tmp_path / "out" / "index.html", members, book=None))
        assert "1 interrupted, 1 not begun, 1 kept. Exit code 75" in page.text
        assert "each on its own book" in page.text

    def test_hostile(self, tmp_path: Path) -> None:
        words = "</li><script>alert(1)</script>{{ 1/0 }}"
        bad = Member(words, words, 2, error=words)
        page = Page(write_pack(tmp_path / "page.html", [bad], book=words))
        assert page.tags.count("script") == 1
        assert page.text.count("<script>alert(1)</script>{{ 1/0 }}") == 5

    def test_where(self, tmp_path: Path) -> None:
        assert pack_page(tmp_path, "out") == Path("out/index.html")
        assert pack_page(tmp_path, None).parent == tmp_path

    def test_a_place_that_is_taken(self, tmp_path: Path) -> None:
        """The history of runs and a user's own page stay; a pack's own page is written again."""
        write_run(tmp_path)
        index = write_index(tmp_path, read_runs(tmp_path))
        with pytest.raises(InputError, match="was not written by this command"):
            check_page(index)
        (tmp_path / "mine.html").write_text("mine")
        with pytest.raises(InputError, match="was not written by this command"):
            write_pack(tmp_path / "mine.html", [], book=None)
        for _ in range(2):
            write_pack(tmp_path / "page.html", [failed("one", 1)], book=None)
        (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
        with pytest.raises(InputError, match="is not a file"):
            check_page(tmp_path / "link.html")

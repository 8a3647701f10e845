"""``index.html``: what stands on it, how large it gets, and what hostile names can do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stress.cli import main
from stress.data.locks import locked
from stress.history.page import write_index
from stress.history.runs import read_runs
from tests.history.folders import (
    limit,
    stamp,
    summary,
    three,
    write_pack_run,
    write_run,
    write_unfinished,
)
from tests.history.pages import Page, asks_for

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"


def index(root: Path) -> Page:
    """Draw the index of a root and return it."""
    return Page(write_index(root, read_runs(root)))


class TestIndex:
    def test_latest_and_trend(self, tmp_path: Path) -> None:
        """Every scenario's latest numbers with intervals, breached ones first; links that lead."""
        for day in range(3):
            write_run(tmp_path, day, "a calm one", expected_cascade_loss=three(2e5, 1e4))
            write_run(tmp_path, day, "three_books", limits=[limit(0.04 + 0.01 * day, 0.055)])
        page = index(tmp_path)
        assert page.text.index("three_books") < page.text.index("a calm one")
        assert "5.2 % (5.0 to 5.4)" in page.text
        assert "$200k (190 to 210)" in page.text
        assert "3 finished runs, 1 with a breached limit." in page.text
        assert "max_account_liquidation_probability: 6.0 % (5.4 to 6.6) over a limit of" in (
            page.text
        )
        targets = page.targets(tmp_path / "index.html")
        assert len(targets) == 8 and all(target.is_file() for target in targets)

    def test_points(self, tmp_path: Path) -> None:
        """A mark and an interval a run, a diamond where a limit is breached, the limit itself."""
        for day in range(5):
            write_run(tmp_path, day, limits=[limit(0.04 + 0.01 * day, 0.055)])
        page = index(tmp_path)
        # three headlines and the limit
        assert page.source.count('class="dot"') == 4 * 2 + 1
        assert page.source.count('class="breach"') == 4 * 3 + 1
        assert page.source.count('class="limit"') == 1 + 1
        assert "2026-09-03 01:00 UTC: 5.2\u00a0% (5.0 to 5.4); breached</title>" in page.source
        (bars, *_) = re.findall(r'class="bar" d="(M[^"]{60,})"', page.source)
        assert bars.count("V") == 5

    def test_a_trend_over_different_books(self, tmp_path: Path) -> None:
        """Where inputs, seed or settings change the line is dotted, and the page says so."""
        write_run(tmp_path, 0)
        write_run(tmp_path, 1)
        page = index(tmp_path)
        assert page.source.count('class="line"') == 3 + 1
        assert page.source.count('class="line other"') == 1
        assert "dotted" not in page.text
        write_run(tmp_path, 2, seed=8)
        write_run(tmp_path, 3, seed=8, paths=9_000)
        page = index(tmp_path)
        assert page.source.count('class="line other"') == 3 + 1
        assert "Of the 3 steps of these trends 1 lies between runs that differ" in page.text
        assert "other seed" in page.text and "other paths" in page.text

    def test_a_change_in_a_run_without_the_number(self, tmp_path: Path) -> None:
        """Two points with another book between them are not joined as if nothing had happened."""
        cascade = {"expected_cascade_loss": three(1e5)}
        write_run(tmp_path, 0, **cascade)
        write_run(tmp_path, 1, seed=8)
        write_run(tmp_path, 2, seed=8, **cascade)
        source = index(tmp_path).source
        drawn = source[source.index("Expected cascade loss<strong>") :].split("</figure>")[0]
        assert 'class="line other"' in drawn and 'class="line"' not in drawn

    def test_not_finished(self, tmp_path: Path) -> None:
        """What is at work, what can go on and how, what is broken and why."""
        folder = write_unfinished(tmp_path, 0, "with blank")
        at_work = write_unfinished(tmp_path, 1)
        (write_run(tmp_path, 2) / "summary.json").write_text("{")
        with locked(at_work / "ledger"):
            page = index(tmp_path)
        assert f"margin-stress run SCENARIO.toml --resume --out '{folder}'" in page.text
        assert "… running" not in page.text and "a process is at work in it" in page.text
        assert "summary.json is not JSON: Expecting property name" in page.text
        assert "No run is finished yet." in page.text

    def test_packs(self, tmp_path: Path) -> None:
        write_run(tmp_path)
        (tmp_path / "pack-2026-09-01T01-00-00Z.html").write_text("page")
        night = write_pack_run(tmp_path, 3, "book").parent
        targets = index(tmp_path).targets(tmp_path / "index.html")
        assert tmp_path / "pack-2026-09-01T01-00-00Z.html" in targets
        assert night / "index.html" in targets

    @pytest.mark.parametrize("scenarios", [1, 1_000])
    def test_a_thousand_runs(self, tmp_path: Path, scenarios: int) -> None:
        """However they are spread over scenarios: a small page, from summaries alone."""
        limits = [limit(0.5, 1.0, f"max_fund_draw.{number}") for number in range(6)]
        losses = {"expected_cascade_loss": three(2e5, 1e4)}
        for number in range(1_000):
            name, day = f"scenario-{number % scenarios}", number // scenarios
            folder = tmp_path / name / stamp(day)
            folder.mkdir(parents=True)
            text = json.dumps(summary(day, name=name, limits=limits, **losses))
            (folder / "summary.json").write_text(text)
        page = write_index(tmp_path, read_runs(tmp_path))
        assert page.stat().st_size < 8_000_000
        drawn = page.read_text("utf-8").count('<th scope="row" class="short"')
        assert drawn == (200 if scenarios == 1_000 else 1_000)

    def test_no_network(self, tmp_path: Path) -> None:
        write_run(tmp_path)
        page = index(tmp_path)
        assert asks_for(page.source) == []
        assert "default-src 'none'" in page.source

    def test_hostile_names(self, tmp_path: Path) -> None:
        """Names are text, wherever they stand; no address leaves the folder."""
        own = [limit(2.0, 1.0, name=HOSTILE)]
        run = write_run(tmp_path, 0, name=HOSTILE, limits=own)
        (run.parent).rename(tmp_path / "javascript:alert(1)#?%2f&<b>")
        (write_run(tmp_path, 1) / "summary.json").write_text("{")
        (tmp_path / "book" / stamp(1)).rename(tmp_path / f"<b>{HOSTILE[:9].replace('/', '')}")
        page = index(tmp_path)
        assert "img" not in page.tags and "b" not in page.tags
        assert page.tags.count("script") == 1
        assert "{{ 7*7 }}" in page.text
        assert all(target.is_file() for target in page.targets(tmp_path / "index.html"))
        assert not any(":" in link for link in page.links)


class TestCommand:
    def test_table(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Newest first, by scenario; the index is drawn."""
        for day in range(2):
            write_run(tmp_path, day, seed=day)
        assert main(["history", str(tmp_path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "book"
        assert lines[2].startswith("  2026-09-02 01:00:00  no limit  5.1 % (4.9 to 5.3)")
        assert lines[2].endswith("other seed")
        assert lines[3].startswith("  2026-09-01")
        assert lines[-1] == f"index: {tmp_path / 'index.html'}"
        assert (tmp_path / "index.html").is_file()

    def test_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_run(tmp_path, 0)
        write_run(tmp_path, 1, limits=[limit(0.5, 0.0)])
        write_unfinished(tmp_path, 2)
        assert main(["history", str(tmp_path), "--json", "--keep", "1"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert [run["state"] for run in told["runs"]] == ["unfinished", "finished"]
        assert told["runs"][1]["liquidation_probability"]["estimate"] == pytest.approx(0.051)
        assert told["runs"][1]["limits"][0]["used"] is None
        assert told["runs"][0]["resume"].startswith("margin-stress run")
        assert told["removed"] == [str(tmp_path / "book" / stamp(0))]
        assert told["index"] == str(tmp_path / "index.html")

    def test_what_was_removed_is_said(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(tmp_path, 0, limits=[limit(2.0, 1.0)])
        (write_run(tmp_path, 1) / "notes.txt").write_text("mine")
        gone = write_run(tmp_path, 2)
        write_run(tmp_path, 3)
        assert main(["history", str(tmp_path), "--keep", "1"]) == 0
        out = capsys.readouterr().out
        assert f"removed {gone}\n" in out
        assert "kept 1 older, because a limit is breached\n" in out
        assert "holds notes.txt, which no run writes\n" in out
        # a link to what is gone would lead nowhere
        page = Page(tmp_path / "index.html")
        assert all(target.is_file() for target in page.targets(tmp_path / "index.html"))

    def test_a_page_of_somebody_else(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """An ``index.html`` that this command has not written stays."""
        write_run(tmp_path)
        (tmp_path / "index.html").write_text("<h1>mine</h1>")
        assert main(["history", str(tmp_path)]) == 2
        assert "was not written by this command" in capsys.readouterr().err
        assert (tmp_path / "index.html").read_text() == "<h1>mine</h1>"

    def test_no_runs(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing is written into a folder that holds no runs, and no folder is no history."""
        assert main(["history", str(tmp_path)]) == 0
        assert capsys.readouterr().out == f"no run folder below {tmp_path}\n"
        assert list(tmp_path.iterdir()) == []
        assert main(["history", str(tmp_path / "nowhere")]) == 2
        assert capsys.readouterr().err.count("\n") == 1

    def test_all_gone(self, tmp_path: Path) -> None:
        """An index of runs that somebody has removed does not go on showing them."""
        folder = write_run(tmp_path)
        main(["history", str(tmp_path)])
        folder.rename(tmp_path.parent / "elsewhere")
        main(["history", str(tmp_path)])
        assert "No run is finished yet." in Page(tmp_path / "index.html").text

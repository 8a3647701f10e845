"""The documentation site: it builds, needs nothing from elsewhere, and nothing in it is stale."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from stress import cli
from stress.errors import EXIT_CODES, InputError, Interrupted, MissingInputError, StressError
from stress.report.sections import SECTIONS
from stress.report.sections.previous import SECTION as PREVIOUS
from stress.result.schema import GROUPS
from stress.result.summary_schema import Summary
from stress.scenario.fields import Table
from stress.scenario.schema import Scenario
from tests.truth.pages import placed
from tests.truth.problems import PROBLEMS

ROOT = Path(__file__).resolve().parents[2]
Maker = Callable[[str], ModuleType]


LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
HEADINGS = ("h1", "h2", "h3", "h4")


class Row(NamedTuple):
    """A row of a table: the heading above it, the anchor in it if it has one, its cells."""

    heading: str
    anchor: str
    cells: list[str]


class Page(HTMLParser):
    """What a page loads, links to and can be linked to, and its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.rows: list[Row] = []
        self.headings: dict[str, str] = {}
        self.styles = re.findall(r"url\(([^)]*)\)|@import\s+([^;]*)", text)
        self._row: Row | None = None
        self._in_heading = False
        self._heading = ""
        self.feed(text)

    def anchored(self) -> dict[str, list[str]]:
        """Return the cells of the rows that have an anchor, by it."""
        return {row.anchor: row.cells for row in self.rows if row.anchor}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if known.get("id"):
            self.anchors.add(known["id"])
        if tag in LOADS and known.get(LOADS[tag]):
            self.loads.append(known[LOADS[tag]])
        if tag == "a" and known.get("href"):
            self.links.append(known["href"])
        if tag in HEADINGS and known.get("id"):
            self._heading, self._in_heading = known["id"], True
            self.headings[self._heading] = ""
        self._in_table(tag, known)

    def _in_table(self, tag: str, known: dict[str, str]) -> None:
        if tag == "tr":
            self._row = Row(self._heading, "", [])
        elif self._row is not None and tag == "td":
            self._row.cells.append("")
        elif self._row is not None and tag == "a" and known.get("id"):
            self._row = self._row._replace(anchor=known["id"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr" and self._row is not None and self._row.cells:
            cells = [cell.strip() for cell in self._row.cells]
            self.rows.append(self._row._replace(cells=cells))
            self._row = None
        if tag in HEADINGS:
            self._in_heading = False

    def handle_data(self, data: str) -> None:
        if self._row is not None and self._row.cells:
            self._row.cells[-1] += data
        if self._in_heading:
            self.headings[self._heading] += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as ``make docs`` does, with every warning an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    """Read every page of the site, by its path in it."""
    return {
        str(file.relative_to(site)): Page(file.read_text("utf-8")) for file in site.rglob("*.html")
    }


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Import a module of docs/, which is no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module


class TestWhole:
    """All pages together."""

    def test_nothing_is_loaded_from_elsewhere(self, site: Path, pages: dict[str, Page]) -> None:
        """No script, style, image, font or frame of another host: the site works offline."""
        loaded = {target for page in pages.values() for target in page.loads}
        loaded |= {part for page in pages.values() for pair in page.styles for part in pair}
        for style in site.rglob("*.css"):
            # comments name where a style comes from
            text = re.sub(r"/\*.*?\*/", "", style.read_text("utf-8"), flags=re.DOTALL)
            loaded |= {part for pair in Page(text).styles for part in pair}
        assert len(loaded) > 5
        outside = re.compile(r"""["' ]*(?:[a-z]+:)?//""", re.IGNORECASE)
        assert not [target for target in loaded if outside.match(target)]

    def test_scripts_of_pages_name_no_other_host(self, site: Path) -> None:
        """The theme's own script would fetch two old polyfills and diagrams: none is asked for."""
        for file in site.rglob("*.html"):
            text = file.read_text("utf-8")
            for script in re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL):
                assert "://" not in script, file
            assert 'class="mermaid"' not in text

    def test_links_lead_somewhere(self, site: Path, pages: dict[str, Page]) -> None:
        """Every page, file and anchor that a link of the site names is there."""
        broken = []
        for name, page in pages.items():
            if name == "404.html":
                # it is shown at other addresses, and so names the site's root
                continue
            for link in page.links:
                path, _, anchor = unquote(link).partition("#")
                if re.match(r"[a-z]+:", path):
                    continue
                target = (site / name).parent / path if path else site / name
                if target.is_dir():
                    target /= "index.html"
                if not target.is_file():
                    broken.append((name, link))
                    continue
                there = pages.get(str(target.resolve().relative_to(site.resolve())))
                if anchor and there is not None and anchor not in there.anchors:
                    broken.append((name, link))
        assert not broken

    def test_only_pages_are_published(self, site: Path) -> None:
        """What builds the site is no part of it; a schema and snippets to copy are."""
        assert not {"hooks.py", "made"} & {file.name for file in site.iterdir()}
        assert not list(site.rglob("*.pyc"))
        schema = (site / "scenario.schema.json").read_text("utf-8")
        assert json.loads(schema)["title"] == "margin-stress scenario"


def tables(model: type[Table], path: str = "") -> Iterator[tuple[str, type[Table]]]:
    """Yield every table of a file by its dotted path, found through its types."""
    yield path, model
    for name, field in model.model_fields.items():
        key = field.alias or name
        place = f"{path}.{key}" if path else key
        for below in dict.fromkeys(models(field.annotation)):
            kind = below.model_fields.get("kind")
            told_apart = path == "" and key == "stress" and kind is not None
            word = typing.get_args(kind.annotation)[0] if told_apart and kind else ""
            yield from tables(below, f"{place}.{word}" if word else place)


def models(annotation: object) -> Iterator[type[Table]]:
    """Yield the tables that a type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models(part)


class TestReference:
    """What is made from the code is whole."""

    def test_commands(self, pages: dict[str, Page]) -> None:
        page = pages["commands.html"]
        known = cli.parsers()
        assert {"run", "validate", "limits"} <= known.keys() <= page.anchors
        for name, parser in known.items():
            told = [row.cells[0] for row in page.rows if row.heading == name]
            for action in parser._actions:
                if action.dest == "help" or isinstance(action, argparse._SubParsersAction):
                    continue
                choices = "|".join(map(str, action.choices or ()))
                words = action.option_strings or [choices or str(action.metavar or action.dest)]
                assert any(words[-1] in cell for cell in told), f"{words} of {name}"
        assert all(len(row.cells[1]) > 5 for row in page.rows)

    def test_scenario_keys(self, pages: dict[str, Page]) -> None:
        """Walked through the models' types here, and through the JSON Schema there."""
        rows = pages["scenario_keys.html"].anchored()
        keys = {
            f"key-{path}.{field.alias or name}" if path else f"key-{field.alias or name}"
            for path, model in tables(Scenario)
            for name, field in model.model_fields.items()
        }
        assert len(keys) > 150
        assert keys == rows.keys()
        assert all(len(cells) == 4 and len(cells[3]) > 5 for cells in rows.values())

    def test_defaults(self, pages: dict[str, Page]) -> None:
        rows = pages["scenario_keys.html"].anchored()
        assert rows["key-simulation.paths"][1:3] == ["integer", "10000"]
        assert rows["key-simulation.horizon"][1:3] == ["time", '"7d"']
        assert rows["key-market.assets"][2] == "required"
        assert rows["key-venue.buffer"][2] == "0.05"
        assert rows["key-venue.impact.coefficient"][2] == "1"

    def test_summary_keys(self, pages: dict[str, Page]) -> None:
        rows = pages["summary_keys.html"].anchored()
        assert {f"key-{name}" for name in Summary.model_fields} <= rows.keys()
        assert all(len(cells[-1]) > 5 for cells in rows.values())

    def test_result_variables(self, pages: dict[str, Page]) -> None:
        page = pages["result_variables.html"]
        rows = page.anchored()
        for group, variables in GROUPS.items():
            assert group in page.anchors
            for name, variable in variables.items():
                cells = rows[f"variable-{group}-{name}"]
                assert cells[0] == name
                assert cells[3].split() == variable.meaning.split()

    def test_exit_codes(self, pages: dict[str, Page]) -> None:
        rows = pages["exit_codes.html"].rows
        assert [row.cells for row in rows] == [
            [str(code), told] for code, told in EXIT_CODES.items()
        ]
        raised = (StressError, InputError, MissingInputError, Interrupted)
        assert {error.exit_code for error in raised} < EXIT_CODES.keys()

    def test_every_section_of_the_report_is_explained(self, pages: dict[str, Page]) -> None:
        headings = pages["reading_a_report.html"].headings
        # the comparison with the previous run stands behind the headlines
        titles = {
            SECTIONS[0].name: SECTIONS[0].title,
            PREVIOUS.name: PREVIOUS.title,
            **{section.name: section.title for section in SECTIONS[1:]},
        }
        for name, title in titles.items():
            assert headings.get(name, "").startswith(title), name
        assert [name for name in headings if name in titles] == list(titles)


class TestLinks:
    """Links of the repository become links of the site."""

    @pytest.mark.parametrize(
        ("page", "link", "shown"),
        [
            ("models.md", "[a](../ARCHITECTURE.md)", "[a](architecture.md)"),
            ("models.md", "[a](../results/README.md#x)", "[a](run_folder.md#x)"),
            ("architecture.md", "[a](docs/gpu.md#memory)", "[a](gpu.md#memory)"),
            ("run_folder.md", "[a](../docs/gpu.md)", "[a](gpu.md)"),
            ("models.md", "[`books.py`](../tests/truth/books.py)", "`books.py`"),
            ("models.md", "[a](../tests/truth/nothing.py)", "[a](../tests/truth/nothing.py)"),
            ("models.md", "[a](https://keepachangelog.com)", "[a](https://keepachangelog.com)"),
            ("models.md", "[a](#here) ![b](growth.png)", "[a](#here) ![b](growth.png)"),
        ],
    )
    def test_one(self, page: str, link: str, shown: str, maker: Maker) -> None:
        place = SimpleNamespace(file=SimpleNamespace(src_uri=page))
        hooks = maker("hooks")
        assert hooks.on_page_markdown(link, page=place, config=None, files=None) == shown


class TestRefused:
    """Nothing can be built that nobody described."""

    def test_an_option_without_help(self, maker: Maker) -> None:
        parser = argparse.ArgumentParser(prog="verb", description="A verb.")
        parser.add_argument("--silent")
        with pytest.raises(ValueError, match="--silent SILENT of margin-stress verb has no"):
            maker("made.commands").commands({"verb": parser})

    def test_a_key_without_description(self, maker: Maker) -> None:
        schema = {"description": "a file", "properties": {"name": {"type": "string"}}, "$defs": {}}
        with pytest.raises(ValueError, match="name has no description"):
            maker("made.keys").scenario_keys(schema)

    def test_text_is_only_text(self, maker: Maker) -> None:
        """What a description says is neither markup nor the end of a cell."""
        told = maker("made.cells").described("a | b <script> *c* [d] `e|f_g`", "it")
        assert "<script>" not in told
        assert told == "a \\| b &lt;script&gt; \\*c\\* \\[d\\] <code>e&#124;<wbr>f_<wbr>g</code>"


BLOCK = re.compile(r"```(csv|toml)\n(.*?)```", re.DOTALL)


class TestQuickStart:
    """What a reader copies works, and says what the pages say."""

    @pytest.fixture
    def scenario(self, tmp_path: Path) -> Path:
        text = (ROOT / "docs" / "quick_start.md").read_text("utf-8")
        blocks = [block for _, block in BLOCK.findall(text)]
        names = ("accounts.csv", "positions.csv", "first.toml")
        for name, block in zip(names, blocks, strict=True):
            assert f"`{name}`" in text
            (tmp_path / name).write_text(block)
        return tmp_path / "first.toml"

    def test_it_is_valid(self, scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["validate", str(scenario)]) == 0
        assert "2 accounts, 2 groups, 4 positions" in capsys.readouterr().out

    def test_the_example_of_the_concepts(
        self, scenario: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A hedge under cross and isolated margin, and two longs, after the moves of the page."""
        shocks = {"hedged": ("BTC=-0.1", "ETH=-0.1"), "same-side": ("BTC=-0.05", "ETH=-0.16")}
        accounts = {}
        for name, moves in shocks.items():
            words = [word for move in moves for word in ("--shock", move)]
            assert cli.main(["margin", str(scenario), "--json", *words]) == 0
            shown = json.loads(capsys.readouterr().out)
            (accounts[name],) = [a for a in shown["accounts"] if a["account"] == name]
        hedged, same_side = accounts["hedged"], accounts["same-side"]
        assert hedged["equity"] == pytest.approx(9_000)
        assert hedged["maintenance_margin"] == pytest.approx(495)
        assert same_side["equity"] == pytest.approx(-1_000)


class TestValidation:
    """Its tables."""

    def test_exact_column(self, pages: dict[str, Page]) -> None:
        """What the page calls exact is what the closed form says today."""
        rows = pages["validation.html"].rows
        told = {(row.heading, row.cells[0]): row.cells[1] for row in rows}
        for problem in PROBLEMS:
            exact = f"{100 * problem.probability():.3f} %"
            assert told["one-position", problem.name] == exact

    def test_a_table_is_put_in_its_place(self) -> None:
        page = "a\n<!-- t -->\nold\n<!-- end of t -->\nb"
        new = placed(page, "t", "| new |")
        assert new == "a\n<!-- t -->\n\n| new |\n\n<!-- end of t -->\nb"
        assert placed(new, "t", "| new |") == new
        with pytest.raises(ValueError, match="no place for u"):
            placed(page, "u", "")

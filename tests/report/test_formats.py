"""JSON, Markdown and CSV of a document: numbers in full, and labels that nothing obeys."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import Any

import plotly.offline
import pytest
from markdown_it import MarkdownIt
from markupsafe import escape

from stress.report.data import json_text
from stress.report.document import Document, Heading, document_of
from stress.report.markdown import markdown_text, plain
from stress.report.page import html_text
from stress.report.read import Estimate
from stress.report.section import Column, Content, Headline, Section, Table, Verbatim
from stress.report.tables import csv_files, csv_text, harmless
from stress.report.text import MISSING, shown

from .cascade_sample import cascade_tree

HOSTILE = (
    "=cmd|'/c calc'!A1",
    "@SUM(1)",
    "+1",
    "-1",
    "\t=1",
    "a;=1",
    "  =1",
    "\uff1d1",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[x](javascript:alert(1))",
    "![x](https://x.invalid/p)",
    "https://x.invalid",
    "www.x.invalid",
    "@everyone",
    "a|b",
    "`a`",
    "*a* _b_ ~~c~~",
    "# a",
    "> a",
    "a < b > c & d",
    "1. a",
    "a\nb",
    "<!-- a",
    "\\",
    "&amp;",
)

TABLE = Table(
    "Accounts",
    (
        Column("Account"),
        Column("P", "probability"),
        Column("Loss", "money"),
        Column("Mixed"),
        Column("Verdict", "verdict"),
    ),
    (
        ("=a", Estimate(0.1, 0.05, 0.2), -2.5, shown("money", Estimate(-3.0, -4.0, -2.0)), "kept"),
        ("b", math.nan, math.inf, shown("percent", 0.5), "breached"),
        ("c", MISSING, 1e-300, MISSING, "kept"),
    ),
    sorted_by=1,
)


def document(*tables: Table, **content: Any) -> Document:
    section = Section("part", "Part", lambda tree: True, lambda tree: Content())
    heading = Heading("Title", "2026-01-02T03:04:05Z", "margin-stress 1", "")
    return Document(heading, ((section, Content(tables=tables, **content)),))


def labelled(*labels: str) -> Document:
    rows = tuple((label, float(row)) for row, label in enumerate(labels))
    table = Table("Labels", (Column("Label"), Column("Number", "number")), rows)
    return document(table, lead=labels, items=labels, notes=labels, warnings=labels)


def read_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def test_csv_holds_numbers_in_full_with_their_bounds() -> None:
    """What the page rounds is exact here; only text is quoted, and only text gets an apostrophe."""
    lines = csv_text(TABLE).split("\r\n")
    assert lines == [
        '\ufeff"Account","P [share]","P, lower","P, upper","Loss [USD]","Mixed","Mixed, lower",'
        '"Mixed, upper","Mixed, as shown","Verdict"',
        '"\'=a",0.1,0.05,0.2,-2.5,-3.0,-4.0,-2.0,"\u2212$3.0 (\u22124.0 to \u22122.0)","kept"',
        '"b",,,,inf,0.5,,,"50.0\u00a0%","breached"',
        '"c",,,,1e-300,,,,"\u2013","kept"',
        "",
    ]


@pytest.mark.parametrize("label", HOSTILE)
def test_no_label_is_a_formula_whatever_separates_cells(label: str) -> None:
    """Read with any separator that a spreadsheet may use, no cell begins with a formula's sign."""
    table = Table("T", (Column("A"), Column("B")), (("x", label), (label, "x")))
    text = csv_text(table)
    for separator in ",;\t|":
        cells = re.split(f'[{separator}\r\n]|(?<=[{separator}\r\n])"', text.removeprefix("\ufeff"))
        for cell in cells:
            assert not re.match(r'["\s]*[=+\-@\uff1d]', cell), cell
    assert [row[1] for row in read_csv(text)][1] == harmless(label)
    assert harmless(label).replace("'", "") == label.replace("'", "")


@pytest.mark.parametrize("label", ["", "BTC", "a-b", "1x", "a=b", "x@y.z", "it's", "\u2212$3"])
def test_a_harmless_label_is_left_alone(label: str) -> None:
    assert harmless(label) == label


def test_the_index_names_every_file() -> None:
    files = csv_files(document(TABLE, TABLE))
    assert list(files) == ["index.csv", "part-1.csv", "part-2.csv"]
    assert read_csv(files["index.csv"])[1:] == [
        ["part-1.csv", "Part", "Accounts"],
        ["part-2.csv", "Part", "Accounts"],
    ]


def test_the_page_holds_the_same_csv_as_the_files() -> None:
    """The button saves what the command writes: one way to make it."""
    made = document_of(cascade_tree(9, names=HOSTILE[:9]))
    page = html_text(made)
    found = re.search(r'<script type="application/json" id="exports">(.*?)</script>', page, re.S)
    assert found
    files = csv_files(made)
    del files["index.csv"]
    assert {f"{name}.csv": text for name, text in json.loads(found[1]).items()} == files
    buttons = re.findall(r'data-table="([^"]*)"[^>]* hidden>', page)
    assert [f"{name}.csv" for name in buttons] == list(files)


def test_json_holds_numbers_with_their_intervals() -> None:
    data = json.loads(json_text(document(TABLE)))
    table = data["sections"][0]["tables"][0]
    assert data["schema_version"] == 1
    assert data["as_of"] is None
    assert table["name"] == "part-1"
    assert table["columns"][1] == {"title": "P", "kind": "probability", "unit": "share"}
    assert table["rows"][0] == [
        "=a",
        {"value": 0.1, "lower": 0.05, "upper": 0.2},
        -2.5,
        {
            "value": -3.0,
            "lower": -4.0,
            "upper": -2.0,
            "text": "\u2212$3.0 (\u22124.0 to \u22122.0)",
        },
        "kept",
    ]
    assert table["rows"][1][1:3] == [None, "Infinity"]


def test_json_has_everything_that_the_page_says() -> None:
    made = document_of(cascade_tree(9))
    sections = json.loads(json_text(made))["sections"]
    assert [section["name"] for section in sections] == [part.name for part, _ in made.parts]
    for section, (_, content) in zip(sections, made.parts, strict=True):
        assert section["lead"] == list(content.lead)
        assert [one["text"] for one in section["headlines"]] == [
            str(shown(one.kind, one.estimate)) for one in content.headlines
        ]
        assert [table["caption"] for table in section["tables"]] == [
            table.caption for table in content.tables
        ]
        assert [len(table["rows"]) for table in section["tables"]] == [
            len(table.rows) for table in content.tables
        ]


def test_markdown_is_a_readable_text() -> None:
    headline = Headline("Any liquidation", "probability", Estimate(0.5, 0.4, 0.6))
    text = markdown_text(
        document(
            TABLE,
            lead=("First.",),
            headlines=(headline,),
            warnings=("Beware.",),
            notes=("1. of May",),
            verbatim=(Verbatim("The scenario", "a = '```'\n"),),
        )
    )
    assert text.startswith("# Title\n\nmargin-stress 1 · 2026-01-02T03:04:05Z\n\n")
    assert "\n\n## Part\n\nFirst.\n\n- Any liquidation: **50\u00a0%** (40 to 60)\n\n" in text
    assert "\n\n> **Note.** Beware.\n\n" in text
    assert "| Account | P | Loss | Mixed | Verdict |\n| --- | --: | --: | --- | --- |\n" in text
    assert "| =a | 10\u00a0% (5 to 20) | \u2212$2.50 |" in text
    assert "\n\n1\\. of May\n" in text
    assert "\n````\na = '```'\n````\n" in text


@pytest.mark.parametrize("label", HOSTILE)
def test_markdown_shows_a_label_as_it_is(label: str) -> None:
    """A renderer of GitHub's Markdown finds text and nothing else in it, and all of the text."""
    renderer = MarkdownIt("commonmark", {"linkify": False, "html": True}).enable("table")
    tokens = renderer.parse(markdown_text(labelled(label)))
    texts = []
    for token in tokens:
        for child in token.children or []:
            assert child.type in ("text", "strong_open", "strong_close", "code_inline", "softbreak")
        texts.append("".join(c.content for c in token.children or [] if c.type != "code_inline"))
    kinds = {token.type.removesuffix("_open") for token in tokens}
    assert not kinds & {"html_block", "fence", "code_block", "ordered_list", "hr"}
    assert [token.tag for token in tokens].count("h1") == 2
    line = " ".join(label.split())
    assert texts.count(line) == 4
    assert f"Note. {line}" in texts


def test_a_sign_that_means_nothing_stays_readable() -> None:
    assert plain("P < 40 % & more > 3") == "P < 40 % & more > 3"


def test_nothing_is_linked_or_called_without_being_asked() -> None:
    assert plain("https://x.invalid www.x.invalid @everyone") == (
        "https\\://x.invalid www\\.x.invalid \\@everyone"
    )
    assert plain("max_account_liquidation_probability: 1_000") == (
        "max_account_liquidation_probability: 1_000"
    )


def test_html_shows_a_label_as_it_is() -> None:
    page = html_text(labelled(*HOSTILE)).replace(plotly.offline.get_plotlyjs(), "")
    assert page.count("<script") == page.count("</script>") == 3
    assert not re.search(r"<img|<!--|<script>alert", page)
    for label in HOSTILE:
        assert page.count(f">{escape(label)}<") >= 2

"""The page as a whole: self-contained, escaped, complete, and no larger than it may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import plotly.offline
import pytest
import xarray as xr

from stress.report.page import render, write
from stress.report.sections import SECTIONS as EVERY

from .cascade_sample import ASKED_FOR, cascade_tree
from .sample import LIMITS, sample_tree

SECTIONS = [section for section in EVERY if section.name not in ASKED_FOR]

HOSTILE = '<img src=x onerror="alert(1)"></script><b>&amp;'


class _Page(HTMLParser):
    """What a browser would find: addresses, headings, anchors, and text outside of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.names: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self.addresses += [found[key] or "" for key in ("src", "href") if key in found]
        self.names += [found["id"] or ""] if "id" in found else []
        self.headings += [tag] if re.fullmatch("h[1-6]", tag) else []
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.words.append(data)


CASCADE = {
    "attribution",
    "cascade",
    "quasi",
    "replay",
    "reverse-stress",
    "impact-laws",
    "caused",
    "influence",
    "decision",
    "risk-per-trade",
    "venue",
}
"""Sections that the sample has for a cascade only."""


@pytest.fixture(scope="module")
def page() -> str:
    return render(cascade_tree(names=[HOSTILE, "x" * 200]))


@pytest.fixture(scope="module")
def parsed(page: str) -> _Page:
    return _Page(page)


def _without_plotly(page: str) -> str:
    return page.replace(plotly.offline.get_plotlyjs(), "")


def test_nothing_is_loaded_from_outside(page: str, parsed: _Page) -> None:
    """Every address is on the page itself, and a policy forbids what a script might still ask."""
    assert parsed.addresses
    assert all(address.startswith(("#", "data:")) for address in parsed.addresses)
    rest = _without_plotly(page)
    assert not re.search(r"https?://|@import|url\(|//cdn", rest)
    policy = [found["content"] for tag, found in parsed.tags if "http-equiv" in found]
    assert policy
    assert "default-src 'none'" in str(policy[0])
    assert "http" not in str(policy[0])


def test_plotly_is_embedded_once(page: str) -> None:
    assert page.count(plotly.offline.get_plotlyjs()) == 1


def test_every_figure_has_an_element_of_its_own_and_a_caption(page: str, parsed: _Page) -> None:
    figures = [found for tag, found in parsed.tags if tag == "figure"]
    drawn = re.findall(r'Plotly\.newPlot\(\s*"([^"]+)"', page)
    assert len(drawn) == len(set(drawn)) == len(figures) > 10
    assert len(parsed.names) == len(set(parsed.names))
    assert all(found["aria-labelledby"] in parsed.names for found in figures)


def test_contents_lead_to_sections_in_their_order(parsed: _Page) -> None:
    anchors = [address[1:] for address in parsed.addresses if address.startswith("#")]
    assert anchors == [section.name for section in SECTIONS]
    assert set(anchors) <= set(parsed.names)
    assert parsed.headings == ["h1"] + ["h2"] * len(SECTIONS)


def test_the_page_says_its_language_and_fits_a_phone(parsed: _Page) -> None:
    assert ("html", {"lang": "en"}) in parsed.tags
    assert any(found.get("name") == "viewport" for tag, found in parsed.tags if tag == "meta")


def test_labels_are_escaped(page: str) -> None:
    """A label's markup reaches neither the page nor, unescaped, a figure's data."""
    rest = _without_plotly(page)
    assert "<img" not in rest
    assert rest.count("</script>") == rest.count("<script")
    assert "&lt;img src=x onerror=" in rest


@pytest.mark.parametrize(
    "attribute",
    ["title", "notices", "assumptions", "scenario_toml", "preset_title", "preset_approximates"],
)
def test_attributes_are_escaped(attribute: str) -> None:
    tree = cascade_tree(9)
    tree.attrs[attribute] = HOSTILE
    assert "<img" not in _without_plotly(render(tree))


@pytest.mark.parametrize(("make", "count"), [(sample_tree, 5), (cascade_tree, 10)])
def test_every_headline_has_its_interval(make: Callable[..., xr.DataTree], count: int) -> None:
    page = render(make(9))
    headlines = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", page, re.DOTALL)
    assert len(headlines) == count
    for label, number in headlines:
        assert re.search(r'class="interval">\(.+ to .+\)</span>', number), label


def test_the_headline_says_what_the_intervals_do_not_hold(parsed: _Page) -> None:
    headline = parsed.text[: parsed.text.index("Limits Of")]
    assert "sampling error only" in headline
    assert "Calibration error" in headline
    assert "4,000 paths of 2,016 steps each, 60 accounts, seed 7" in headline
    assert "Two accounts start in breach." in headline


def test_the_riskiest_table_sorts_by_keyboard_and_says_how_it_stands(page: str) -> None:
    start = page.index('id="riskiest"')
    table = page[page.index("<table", start) : page.index("</table>", start)]
    heading = table[: table.index("</thead>")]
    assert 'class="sortable"' in table
    assert heading.count('<button type="button">') == heading.count('<th scope="col"')
    assert heading.count('aria-sort="descending"') == 1
    assert table.count('<th scope="row"') == 50
    keys = [float(key) for key in re.findall(r'data-value="([^"]*)"', table)]
    assert keys[:: len(keys) // 50] == sorted(keys[:: len(keys) // 50], reverse=True)


def _absent(tree: xr.DataTree) -> set[str]:
    return {section.name for section in SECTIONS if not section.applies(tree)}


@pytest.mark.parametrize(
    ("make", "absent"),
    [
        (lambda: cascade_tree(9), set()),
        (lambda: sample_tree(9), CASCADE),
        (lambda: cascade_tree(9, compare=False), {"cross-isolated", "worlds"}),
        (lambda: cascade_tree(9, decision=()), {"decision"}),
        (lambda: cascade_tree(9, limits=()), {"limits"}),
        (lambda: cascade_tree(9, groups=["only"]), {"groups"}),
        (lambda: cascade_tree(1), {"groups"}),
    ],
    ids=[
        "everything",
        "first passage",
        "no compared world",
        "a plain leader",
        "no limit",
        "one group",
        "one account",
    ],
)
def test_a_section_stands_where_it_applies(
    make: Callable[[], xr.DataTree], absent: set[str]
) -> None:
    tree = make()
    assert _absent(tree) == absent
    parsed = _Page(render(tree))
    for section in SECTIONS:
        assert (section.name in parsed.names) == (section.name not in absent)


@pytest.mark.parametrize(
    ("group", "absent"),
    [
        ("fan", {"fan"}),
        ("distribution", {"losses"}),
        ("ladder", {"ladder"}),
        ("positions", {"positions", "risk-per-trade"}),
        ("replay", {"replay"}),
        ("impact", {"impact-laws"}),
        ("decision", {"decision"}),
        ("course", set()),
        ("assets", {"market"}),
        ("accounts", {"accounts", "riskiest", "cross-isolated", "extremes"}),
        ("margin", set()),
    ],
)
def test_a_result_without_a_group_has_a_page_without_its_sections(
    group: str, absent: set[str]
) -> None:
    tree = cascade_tree(9)
    del tree[group]
    assert _absent(tree) == absent
    render(tree)


def test_without_limits_the_page_says_so() -> None:
    assert "The scenario declares no limit." in render(sample_tree(9, limits=()))


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_has_one_of_three_verdicts(name: str) -> None:
    _, _, _, breached, resolved, _ = LIMITS[name]
    verdict = "breached" if breached else "kept" if resolved else "not resolved"
    text = _Page(render(sample_tree(9, limits=[name]))).text
    assert f"Of 1 declared limit: 1 {verdict}." in text


def _all_nan(tree: xr.DataTree) -> xr.DataTree:
    data = {
        node.path: node.to_dataset().map(
            lambda array: array * np.nan if array.dtype.kind == "f" else array
        )
        for node in tree.subtree
    }
    empty = xr.DataTree.from_dict(data)
    empty.attrs = tree.attrs
    return empty


@pytest.mark.parametrize("make", [sample_tree, cascade_tree])
def test_a_result_of_nan_alone_has_a_page(make: Callable[..., xr.DataTree]) -> None:
    """Nothing that could not be estimated stops the page, or shows up as ``nan`` or ``inf``."""
    text = _Page(render(_all_nan(make(9)))).text
    assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)


def test_a_result_of_zeros_alone_has_a_page() -> None:
    """A book that nothing happens to has a page too, and each sentence on it holds."""
    tree = cascade_tree(9)
    data = {
        node.path: node.to_dataset().map(
            lambda array: array * 0.0 if array.dtype.kind == "f" else array
        )
        for node in tree.subtree
    }
    empty = xr.DataTree.from_dict(data)
    empty.attrs = tree.attrs
    text = _Page(render(empty)).text
    assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)
    assert "Forced sales add nothing" in text


def test_some_nan_are_dashes_and_left_out_of_figures() -> None:
    tree = sample_tree(12)
    accounts = tree["accounts"].to_dataset()
    for name in ("isolated_liquidation_probability", "expected_loss", "initial_margin_ratio"):
        accounts[name][::2] = np.nan
        if f"{name}_interval" in accounts:
            accounts[f"{name}_interval"][::2] = np.nan
    tree["accounts"] = xr.DataTree(accounts)
    text = _Page(render(tree)).text
    assert "left out: 6." in text
    assert "\u2013" in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_a_large_book_of_many_assets_and_groups_stays_small() -> None:
    """The longest names, a scenario as long as its correlation matrix, more limits than one reads.

    The page shows the worst, says of how many, and leaves the rest to ``result.nc``.
    """
    long = "x" * 190
    tree = cascade_tree(
        10_000,
        assets=2_000,
        names=[f"{number:05d}{long}" for number in range(10_000)],
        groups=[f"group-{number}{long}" for number in range(500)],
    )
    limits = tree["limits"].to_dataset()
    tree["limits"] = xr.DataTree(
        limits.isel(limit=np.resize(np.arange(limits.sizes["limit"]), 900))
    )
    tree.attrs["scenario_toml"] = "correlation = [[1.0, 0.5], [0.5, 1.0]]\n" * 100_000
    tree.attrs["assumptions"] = "One that is true.\n" * 5_000
    page = render(tree)
    assert len(page.encode()) < 8e6
    assert "Of 10,000 accounts 2,000 are drawn" in page
    assert "Shown are the 40 of 2,000 assets" in page
    assert "The 50 riskiest of 10,000 accounts" in page
    assert "Declared limits (the first 500 of 900; result.nc has all)" in page
    assert "Scenario (TOML), the first 100,000 of 3,900,000 characters; result.nc has all" in page
    assert "4,500 more stand in result.nc." in page


def test_many_groups_share_a_legend_entry() -> None:
    page = render(sample_tree(60, groups=[f"group-{index}" for index in range(30)]))
    assert "The 8 worst of 30 groups are drawn." in page
    assert '"name":"other groups"' in page


def test_write_replaces_the_page_whole(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("the old page")
    tree = sample_tree(3)
    assert write(tree, target) == target
    assert target.read_text(encoding="utf-8") == render(tree)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_page_that_cannot_be_drawn_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("the old page")
    with pytest.raises(AttributeError):
        write(None, target)  # type: ignore[arg-type]
    assert target.read_text() == "the old page"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]

"""Colours that everybody can tell from the page and from each other, by computation.

Contrast is that of WCAG 2.2 (1.4.3: text 4.5 to 1; 1.4.11: graphics 3 to 1). Colour blindness is
simulated with the matrices of Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import stress.report
from stress.report.figures.style import GREY, STYLES

PAPER = "#ffffff"

CSS = (Path(stress.report.__file__).parent / "page.css").read_text(encoding="utf-8")

VISIONS = {
    "all cones": np.eye(3),
    "no long-wave cones": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no middle-wave cones": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no short-wave cones": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}

FEWEST_APART = 20.0
"""CIE 1976 colour difference between any two styles: 2.3 is just seen, side by side."""

Numbers = NDArray[np.float64]


def linear(colour: str) -> Numbers:
    digits = colour.removeprefix("#")
    wide = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = np.array([int(wide[place : place + 2], 16) for place in (0, 2, 4)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    dark, light = sorted(linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (one, other))
    return float((light + 0.05) / (dark + 0.05))


def lab(rgb: Numbers) -> Numbers:
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def declared(selector: str, name: str) -> str:
    """Return a colour that the style sheet declares, variables looked up."""
    rule = re.search(rf"^{re.escape(selector)} {{(.*?)}}", CSS, re.DOTALL | re.MULTILINE)
    assert rule, selector
    value = re.search(rf"(?:^|[;\s]){name}:\s*([^;]+);", rule[1])
    assert value, (selector, name)
    variable = re.fullmatch(r"var\((--\w+)\)", value[1])
    return declared(":root", variable[1]) if variable else value[1]


def test_the_formula_knows_black_and_white() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ((":root", "--ink"), None),
        ((":root", "--soft"), None),
        ((":root", "--link"), None),
        ((":root", "--link"), (":root", "--faint")),
        ((":root", "--ink"), (":root", "--faint")),
        ((":root", "--ink"), (".warning", "background")),
        ((".verdict.kept", "color"), None),
        ((".verdict.passes", "color"), None),
        ((".verdict.fails", "color"), None),
        ((".verdict.breached", "color"), None),
        ((".verdict.not-resolved", "color"), None),
    ],
)
def test_text_is_read(text: tuple[str, str], behind: tuple[str, str] | None) -> None:
    assert contrast(declared(*text), declared(*behind) if behind else PAPER) >= 4.5


def test_every_colour_of_text_is_among_those_tested() -> None:
    """Whoever adds a colour to the style sheet adds it above."""
    found = set(re.findall(r"(?<![-\w])color:\s*([^;]+);", CSS)) - {"inherit"}
    assert found == {"var(--ink)", "var(--soft)", "var(--link)", "#00664b", "#a33d00", "#6b4e00"}


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.colour)
def test_what_is_drawn_stands_out_from_the_paper(style: object) -> None:
    assert contrast(style.colour, PAPER) >= 3  # type: ignore[attr-defined]
    assert contrast(GREY, PAPER) >= 3


@pytest.mark.parametrize("vision", VISIONS)
def test_styles_stay_apart_for_everybody(vision: str) -> None:
    seen = {style.colour: lab(VISIONS[vision] @ linear(style.colour)) for style in STYLES}
    apart = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in combinations(seen, 2)}
    closest = min(apart, key=apart.__getitem__)
    assert apart[closest] >= FEWEST_APART, closest


def test_colour_is_never_all_that_tells_styles_or_verdicts_apart() -> None:
    assert len({style.symbol for style in STYLES}) == len(STYLES)
    assert len({(style.dash, style.symbol) for style in STYLES}) == len(STYLES)
    for verdict in re.findall(r"^(\.verdict\.[\w-]+) {", CSS, re.MULTILINE):
        assert f"{verdict}::before {{ content: " in CSS

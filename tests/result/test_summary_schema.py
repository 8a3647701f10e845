"""``summary.json`` and its published schema: in step, and true of every summary there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import xarray as xr

from stress.cli import main
from stress.result.summary import summarise, to_json
from stress.result.summary_schema import Summary, summary_schema
from tests.report.cascade_sample import cascade_tree
from tests.report.sample import sample_tree

DOCS = Path(__file__).parents[2] / "docs"
VALIDATOR = jsonschema.Draft202012Validator(summary_schema())

PROMISED = {
    "name": str,
    "paths": int,
    "accounts": int,
    "assets": int,
    "steps": int,
    "liquidation_probability": dict,
    "any_liquidation_probability": dict,
    "expected_total_loss": dict,
    "expected_cascade_loss": dict,
    "fund_exhaustion_probability": dict,
    "limits": list,
    "duration_seconds": float,
    "account_path_steps_per_second": float,
    "exit_code": int,
}
"""Keys that programs hold on to since the first version, and what they are."""


def of_files(tree: xr.DataTree) -> xr.DataTree:
    """Return a sample as a result that was made from files."""
    tree.attrs |= {
        "input_sha256": f"{'1' * 64} /books/accounts.csv\n{'2' * 64} /books/two words.csv",
        "scenario_sha256": "3" * 64,
        "book_as_of": "2026-11-22T01:00:00+00:00",
        "assets": 10,
    }
    return tree


@pytest.fixture
def tree() -> xr.DataTree:
    return of_files(cascade_tree(12))


def test_the_published_schema_is_the_one_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema.Draft202012Validator.check_schema(summary_schema())
    assert main(["schema", "--summary"]) == 0
    printed = capsys.readouterr().out
    assert (DOCS / "summary.schema.json").read_text("utf-8") == printed
    assert json.loads(printed)["title"] == "margin-stress summary"


def test_every_key_is_described() -> None:
    for name, field in Summary.model_fields.items():
        assert field.description, name


def test_summaries_obey_it(tree: xr.DataTree) -> None:
    for made in (tree, of_files(sample_tree(12)), of_files(sample_tree(5, compare=False))):
        summary = summarise(made)
        VALIDATOR.validate(json.loads(to_json(summary)))
        # nothing is written that the schema does not know
        assert set(summary) == set(Summary.model_fields)
        assert summary["as_of"] == {"market": None, "book": "2026-11-22T01:00:00+00:00"}


def test_what_programs_hold_on_to_stays(tree: xr.DataTree) -> None:
    summary = summarise(tree)
    assert {key: type(summary[key]) for key in PROMISED} == PROMISED
    assert set(PROMISED) <= set(summary_schema()["required"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("paths", 0),
        ("paths", "many"),
        ("expected_total_loss", 5.0),
        ("limits", None),
        ("exit_code", "0"),
        ("scenario_sha256", "short"),
    ],
)
def test_what_is_wrong_is_refused(key: str, value: Any, tree: xr.DataTree) -> None:
    summary = summarise(tree)
    assert VALIDATOR.is_valid(summary)
    assert not VALIDATOR.is_valid({**summary, key: value})
    assert not VALIDATOR.is_valid({name: it for name, it in summary.items() if name != key})


def test_keys_to_come_are_allowed(tree: xr.DataTree) -> None:
    VALIDATOR.validate({**summarise(tree), "what_is_new": [1]})


class TestRelativeError:
    def test_it_is_half_an_interval_over_its_estimate(self, tree: xr.DataTree) -> None:
        tree.attrs["max_relative_error"] = 0.01
        summary = summarise(tree)
        error = summary["relative_error"]
        assert set(error["found"]) == {
            "liquidation_probability",
            "any_liquidation_probability",
            "expected_total_loss",
            "expected_cascade_loss",
        }
        for name, found in error["found"].items():
            three = summary[name]
            half = (three["upper"] - three["lower"]) / 2
            assert found == pytest.approx(half / abs(three["estimate"]))
        assert error["threshold"] == 0.01 and error["exceeded"]

    @pytest.mark.parametrize(
        ("threshold", "breached", "code"),
        [(1e9, False, 0), (1e-9, False, 4), (1e-9, True, 3), (None, False, 0)],
    )
    def test_exit_codes(
        self, threshold: float | None, breached: bool, code: int, tree: xr.DataTree
    ) -> None:
        """Too wide is exit code 4; a breached limit is graver."""
        if threshold is not None:
            tree.attrs["max_relative_error"] = threshold
        limits = tree["limits"].to_dataset()
        tree["limits"] = xr.DataTree(
            limits.assign(
                breached=limits["breached"] * 0 + int(breached),
                resolved=limits["resolved"] * 0 + 1,
            )
        )
        assert summarise(tree)["exit_code"] == code

    def test_nothing_seen_is_null_in_json(self, tree: xr.DataTree) -> None:
        tree.attrs["max_relative_error"] = 0.5
        book = tree["book"].to_dataset()
        none = book["liquidation_probability"] * 0
        tree["book"] = xr.DataTree(book.assign(liquidation_probability=none))
        error = summarise(tree)["relative_error"]
        assert error["found"]["liquidation_probability"] is None
        assert error["exceeded"]
        VALIDATOR.validate(summarise(tree))

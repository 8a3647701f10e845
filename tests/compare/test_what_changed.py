"""What changed in scenario, inputs, versions and book; and whether paths are common."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import xarray as xr

from stress.compare.holdings import book_change, matched
from stress.compare.pairing import pairing_of
from stress.compare.scenario import ABSENT, changes, scenario_changes

from .trees import SCENARIO, path_tree, with_attributes

HIT = np.eye(4, 12)
NAMES = ["a", "b", "c", "d"]


def tree(**changed: Any) -> xr.DataTree:
    """A small run; keys of the scenario are changed by dotted names with a double underscore."""
    scenario = deepcopy(SCENARIO)
    for key in [key for key in changed if "__" in key]:
        *tables, last = key.split("__")
        node = scenario
        for table in tables:
            node = node.setdefault(table, {})
        node[last] = changed.pop(key)
    inputs = {"/data/accounts.csv": "1" * 64, "/data/positions.csv": "2" * 64}
    changed.setdefault("inputs", inputs)
    return path_tree(HIT, NAMES, scenario=scenario, **changed)


class TestScenario:
    def test_keys_one_by_one(self) -> None:
        one = {"venue": {"fee": 0.005, "amount": "all"}, "limits": {"max_fund_draw": 5.0}}
        other = {"venue": {"fee": 0.01, "amount": "all"}, "analysis": {"curves": False}}
        found = {change.key: (change.one, change.other) for change in scenario_changes(one, other)}
        assert found == {
            "venue.fee": ("0.005", "0.01"),
            "limits.max_fund_draw": ("5", ABSENT),
            "analysis.curves": (ABSENT, "false"),
        }

    def test_short_lists_are_values_and_tables_in_lists_are_told_apart(self) -> None:
        one = {"levels": [0.95, 0.99], "stress": [{"at": "2d", "return": {"BTC": -0.1}}]}
        other = {"levels": [0.95], "stress": [{"at": "2d", "return": {"BTC": -0.2}}, {"at": "3d"}]}
        found = {change.key: (change.one, change.other) for change in scenario_changes(one, other)}
        assert found == {
            "levels": ("[0.95, 0.99]", "[0.95]"),
            "stress[0].return.BTC": ("-0.1", "-0.2"),
            "stress[1].at": (ABSENT, "3d"),
        }

    def test_long_tables_are_one_line(self) -> None:
        """How many differ, and which moved most: 200 prices are not 200 lines."""
        one = {"market": {"price": {f"A{number}": 100.0 for number in range(200)}}}
        other = deepcopy(one)
        for number in range(150):
            other["market"]["price"][f"A{number}"] = 101.0
        other["market"]["price"]["A7"] = 50.0
        (change,) = scenario_changes(one, other)
        assert change.key == "market.price"
        assert change.other == "150; 150 differ, most of all A7 from 100 to 50"

    def test_a_matrix_is_one_line(self) -> None:
        one = {"market": {"correlation": np.eye(12).tolist()}}
        other = {"market": {"correlation": (np.eye(12) * 0.8 + 0.2).tolist()}}
        (change,) = scenario_changes(one, other)
        assert change.key == "market.correlation"
        assert "132 differ" in change.other

    def test_values_are_cut(self) -> None:
        (change,) = scenario_changes({"name": "x"}, {"name": "y" * 10_000})
        assert len(change.other) < 200

    def test_inputs_by_their_key(self) -> None:
        """The content decides; a file that only moved is said to have."""
        moved = {"/new/accounts.csv": "1" * 64, "/data/positions.csv": "3" * 64}
        found = changes(tree(), tree(inputs=moved, book__accounts="/new/accounts.csv"))
        by_key = {change.key: change for change in found}
        assert set(by_key) == {"book.accounts", "book.positions"}
        assert by_key["book.accounts"].other == "/new/accounts.csv, same content"
        assert by_key["book.positions"].one.startswith("positions.csv, SHA-256 22222222")
        assert {change.kind for change in found} == {"input"}

    def test_versions_and_platform(self) -> None:
        other = with_attributes(tree(), source="margin-stress 0.2.0", platform="gpu")
        found = [(change.kind, change.key, change.other) for change in changes(tree(), other)]
        assert found == [
            ("version", "margin-stress", "margin-stress 0.2.0"),
            ("platform", "platform", "gpu"),
        ]

    def test_a_scenario_that_cannot_be_read_is_none(self) -> None:
        broken = with_attributes(tree(), scenario_toml="= = =")
        assert changes(broken, broken) == ()
        assert pairing_of(broken, broken).shared == "prices"


class TestPairing:
    @pytest.mark.parametrize(
        ("changed", "how", "shared"),
        [
            ({}, "paired", "everything"),
            ({"limits__max_fund_draw": 1.0}, "paired", "everything"),
            ({"analysis__curves": False}, "paired", "everything"),
            ({"venue__fee": 0.01}, "paired", "prices"),
            ({"venue__something_new": 1}, "paired", "prices"),
            ({"inputs": {"/data/accounts.csv": "9" * 64}}, "paired", "prices"),
            ({"market__price": {"ONE": 101.0}}, "paired", "random numbers"),
            ({"stress__kind": "shock"}, "paired", "random numbers"),
            ({"simulation__precision": "float32"}, "paired", "random numbers"),
            ({"market__model": "garch"}, "paired", "seed"),
            ({"steps": 20}, "paired", "seed"),
            ({"jax_version": "0.11.0"}, "paired", "seed"),
            ({"platform": "gpu"}, "paired", "prices"),
            ({"seed": 8}, "independent", "nothing"),
            ({"seed": 8, "market__model": "garch"}, "independent", "nothing"),
        ],
    )
    def test_what_is_shared(self, changed: dict[str, Any], how: str, shared: str) -> None:
        found = pairing_of(tree(), tree(**changed))
        assert (found.how, found.shared) == (how, shared)
        assert bool(found.because) == (shared != "everything")

    def test_paths_from_a_file_need_no_seed(self) -> None:
        """Path i is row i of the file, whatever the seed."""
        files = {"/data/paths.nc": "4" * 64, "/data/other.nc": "5" * 64}
        one, other, another = (
            tree(market__model="given", market__file=file, seed=seed, inputs={file: files[file]})
            for seed, file in ((1, "/data/paths.nc"), (2, "/data/paths.nc"), (2, "/data/other.nc"))
        )
        assert pairing_of(one, other).shared == "prices"
        assert pairing_of(one, another).shared == "random numbers"
        assert pairing_of(one, other).how == pairing_of(one, another).how == "paired"

    def test_other_assets_draw_other_numbers(self) -> None:
        other = tree()
        other["assets"] = xr.DataTree(xr.Dataset(coords={"asset": ["ONE", "TWO"]}))
        found = pairing_of(tree(), other)
        assert (found.how, found.shared) == ("paired", "seed")
        assert found.because == ("the assets differ",)

    def test_the_larger_design_effect_counts(self) -> None:
        assert pairing_of(tree(), tree(design_effect=9.0)).design_effect == 9.0


class TestBook:
    def test_labels_are_matched_whatever_their_order(self) -> None:
        one, other = np.array(["a", "b", "c"]), np.array(["c", "x", "a"])
        places = matched(one, other)
        assert [place.tolist() for place in places] == [[2, 0], [0, 2]]

    def test_positions_added_removed_and_of_another_size(self) -> None:
        one = tree(positions={"a/ONE": 1.0, "b/ONE": -2.0, "c/ONE": 3.0})
        other = tree(positions={"c/ONE": 3.0, "b/ONE": -5.0, "d/ONE": 4.0})
        found = book_change(one, other)
        tally = found.positions
        assert (tally.one, tally.other, tally.added, tally.removed, tally.changed) == (
            3,
            3,
            1,
            1,
            1,
        )
        rows = [(row.label, row.what, row.one, row.other, row.size) for row in found.rows]
        assert rows[0][:2] == ("d/ONE", "added")
        assert rows[1] == ("b/ONE", "changed", -2.0, -5.0, 300.0)
        assert (found.gross_one, found.gross_other) == (600.0, 1_200.0)

    def test_rows_are_the_largest_and_counts_are_of_all(self) -> None:
        one = tree(positions={f"{number}/ONE": 1.0 for number in range(300)})
        other = tree(positions={f"{number}/ONE": 2.0 + number for number in range(300)})
        found = book_change(one, other)
        assert found.positions.changed == 300
        assert len(found.rows) == 50
        assert found.rows[0].label == "299/ONE"

    def test_rounding_is_no_change(self) -> None:
        one = tree(positions={"a/ONE": 0.1 + 0.2})
        other = tree(positions={"a/ONE": 0.3})
        assert book_change(one, other).positions.changed == 0

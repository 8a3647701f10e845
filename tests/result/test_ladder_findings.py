"""The ladder in the result: every number under its own name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stress.book.ladder import MOVES, liquidation_ladder
from stress.result.assemble import assemble
from stress.result.ladder import ladder_findings
from stress.result.schema import GROUPS
from stress.scenario.build import build_setting, load_book
from tests.strategies import random_book, write_book


def test_findings_are_the_ladder(tmp_path: Path) -> None:
    depth = {"ONE": 1e4, "TWO": 1e5, "TEN": 1e4, "ODD": 1e4}
    scenario = write_book(tmp_path, random_book(8), {"venue.impact.depth_1pct": depth})
    setting, (book, _) = build_setting(scenario), load_book(scenario)
    labels = {"asset": np.array(setting.assets), "move": MOVES}
    for mode in ("cross", "isolated"):
        findings = ladder_findings(book, setting, mode)
        tree = assemble([findings], labels, {}, {}, {})
        ladder = liquidation_ladder(book, setting, mode)
        assert set(tree["ladder"].data_vars) == set(GROUPS["ladder"])
        for name, array in tree["ladder"].data_vars.items():
            np.testing.assert_array_equal(array, getattr(ladder, str(name)))
        np.testing.assert_array_equal(tree["assets"]["depth_1pct"], list(depth.values()))
        np.testing.assert_array_equal(
            tree["assets"]["reproduction_number"], ladder.reproduction_number
        )
        assert ladder.reproduction_number_fall.tolist() != ladder.reproduction_number_rise.tolist()
        assert float(tree["ladder"]["accounts"].sel(asset="ONE", move=-0.2)) > 0

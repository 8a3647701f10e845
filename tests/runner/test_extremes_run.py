"""A run that looks at the lows and highs of bars: both bounds, in the result and the report."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import stress
from stress.errors import InputError
from stress.report.sections import extremes
from stress.runner.prepare import prepare
from stress.scenario.schema import Scenario
from tests.engine.scripted import PERIOD, WIDTH, Barred, scripted
from tests.strategies import random_book, write_book

SEED = 81
KINDS = ("cross_single", "cross_several", "mixed")


def scenario(folder: Path, monitoring: str) -> Scenario:
    changes = {"simulation.monitoring": monitoring, "simulation.horizon": "48h"}
    return write_book(folder, random_book(SEED, KINDS, copies=1), changes)


def barred(given: Scenario) -> Barred:
    """Return the scenario's market with bars of up to five percent to either side."""
    job = prepare(given)
    script = scripted(job, np.ones((PERIOD, WIDTH)), apart=True)
    rng = np.random.default_rng(SEED)
    size = jnp.asarray(rng.uniform(0.0, 0.05, (2, PERIOD, WIDTH, script.assets)))
    return Barred(script, -size[0], size[1])


@pytest.mark.slow
def test_both_bounds(tmp_path: Path) -> None:
    """Closes are those of a run that looks at the steps; the worst of the bars is no lower."""
    worst = scenario(tmp_path, "extremes")
    market = barred(worst)
    tree = stress.run(worst, market=market)
    closes = stress.run(scenario(tmp_path, "step"), market=market)
    name = "liquidation_probability"
    for group in ("accounts", "book"):
        for end in ("", "_interval"):
            at_closes = tree[group][f"{name}_at_closes{end}"].values
            np.testing.assert_array_equal(at_closes, closes[group][f"{name}{end}"].values)
        assert f"{name}_at_closes" not in closes[group]
    above = tree["accounts"][name].values - tree["accounts"][f"{name}_at_closes"].values
    assert (above >= 0).all()
    assert above.sum() > 0
    assert extremes.SECTION.applies(tree)
    assert not extremes.SECTION.applies(closes)
    (table,) = extremes.SECTION.content(tree).tables
    assert len(table.rows) == len(KINDS)


def test_a_market_without_bars_is_refused(tmp_path: Path) -> None:
    """Before the first path, with what to do instead."""
    with pytest.raises(InputError, match="no highs and lows inside a step"):
        stress.run(scenario(tmp_path, "extremes"))

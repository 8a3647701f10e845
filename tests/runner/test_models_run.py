"""A book under every price model: first passage and cascade, on any device, block by block."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

import stress
from stress.runner import drive, simulate
from tests.market.models import MODELS, model_scenario
from tests.runner.test_invariance import other_blocks
from tests.strategies import random_book

PATHS = 70
"""One whole block and a part of another."""
BOOK = random_book(7, ("cross_several",))
"""Pools of one width: one panel to compile."""
CASCADE = {"venue.amount": "restore", "venue.fund": {"balance": 1e4}}
"""What first passage cannot follow; without impact one variant is compiled instead of three."""


def run(folder: Path, model: str, monitoring: str = "step", **changes: Any) -> xr.DataTree:
    keys = {
        "simulation.paths": PATHS,
        "simulation.horizon": "72h",
        "simulation.monitoring": monitoring,
        "simulation.detail": True,
    }
    if model == "given":
        del keys["simulation.horizon"]
    return stress.run(model_scenario(folder, model, {**keys, **changes}, BOOK))


def check(tree: xr.DataTree, model: str) -> None:
    """Probabilities are some, equity is finite, and the model is named."""
    assert tree.attrs["market_model"] == model
    chances = tree["accounts"]["liquidation_probability"].to_numpy()
    assert ((chances >= 0) & (chances <= 1)).all()
    assert chances.max() > 0
    assert np.isfinite(tree["detail"]["equity_end"].to_numpy()).all()


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], xr.DataTree]:
    """Return the first passage of a model, looked at at the steps, run once."""

    @cache
    def passage(model: str) -> xr.DataTree:
        return run(tmp_path_factory.mktemp(model), model)

    return passage


def often(*chosen: str) -> list[Any]:
    """Return models as parameters: the chosen ones every time, all of them in the full study."""
    return [
        pytest.param(model, marks=() if model in chosen else pytest.mark.slow) for model in MODELS
    ]


class TestEveryModel:
    # one that jumps, one that draws rows
    @pytest.mark.parametrize("model", often("jump-diffusion"))
    def test_first_passage(self, model: str, stepped: Callable[[str], xr.DataTree]) -> None:
        check(stepped(model), model)

    @pytest.mark.slow
    @pytest.mark.parametrize("model", MODELS)
    def test_cascade(self, model: str, tmp_path: Path) -> None:
        tree = run(tmp_path, model, **CASCADE)
        check(tree, model)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["jump-diffusion", "garch"])
def test_blocks_and_devices(
    model: str,
    stepped: Callable[[str], xr.DataTree],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a block of paths ends and which device computes it changes no path.

    Prices of all models are held to that in tests/market; here the rest of a run is.
    """
    monkeypatch.setattr(drive, "path_blocks", other_blocks)
    monkeypatch.setattr(simulate, "choose_devices", lambda kind: jax.devices()[5:6])
    again = run(tmp_path, model)["detail"].to_dataset()
    xr.testing.assert_identical(again, stepped(model)["detail"].to_dataset())


@pytest.mark.slow
@pytest.mark.parametrize("model", [model for model in MODELS if model not in ("given", "gbm")])
def test_bridge(model: str, stepped: Callable[[str], xr.DataTree], tmp_path: Path) -> None:
    """Watched between the steps too: nobody is liquidated less."""
    bridges = run(tmp_path, model, "bridge")
    check(bridges, model)
    found, least = (
        tree["accounts"]["liquidation_probability_by_step"].to_numpy()[:, -1]
        for tree in (bridges, stepped(model))
    )
    assert (found >= least).all()
    assert (found > least).any()

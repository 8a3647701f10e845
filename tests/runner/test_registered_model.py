"""A price model of another distribution: found by name, built from numbers, refused in one line."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import stress
from stress.market import Constant
from stress.market.gbm import GeometricBrownianMotion
from stress.market.registered import Numbers
from stress.scenario.load import load_scenario
from stress.scenario.registered import GROUP
from stress.scenario.resolve import resolved_toml
from tests.strategies import ASSETS, random_book, write_book

Build = Callable[[Numbers], Any]


def tamed(numbers: Numbers) -> GeometricBrownianMotion:
    """A geometric Brownian motion with less volatility, by a parameter."""
    if numbers.parameters["share"] > 1:
        raise ValueError("share must be at most 1")
    return GeometricBrownianMotion.build(
        volatility=numbers.parameters["share"] * numbers.volatility,
        drift=numbers.drift,
        correlation=numbers.correlation,
        step_years=numbers.step_years,
        precision=numbers.precision,
    )


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Build], None]:
    """Return what makes a callable an entry point, as an installed distribution would."""
    module = ModuleType("somebodys_models")
    monkeypatch.setitem(sys.modules, "somebodys_models", module)
    points: list[importlib.metadata.EntryPoint] = []

    def found(*, group: str) -> importlib.metadata.EntryPoints:
        return importlib.metadata.EntryPoints([p for p in points if p.group == group])

    monkeypatch.setattr(importlib.metadata, "entry_points", found)

    def add(name: str, build: Build | None) -> None:
        if build is not None:
            setattr(module, build.__name__, build)
        value = f"somebodys_models:{build.__name__ if build else 'absent'}"
        points.append(importlib.metadata.EntryPoint(name, value, GROUP))

    return add


def scenario(folder: Path, model: str, **market: Any) -> Any:
    changes = {f"market.{key}": value for key, value in market.items()}
    book = random_book(7, ("cross_single", "idle"))
    return write_book(folder, book, {"market.model": model, **changes})


def test_it_runs_like_any_other(tmp_path: Path, register: Callable[[str, Build], None]) -> None:
    """The same digits as the model that it builds, passed as an argument."""
    asked: list[Numbers] = []

    def build(numbers: Numbers) -> Any:
        asked.append(numbers)
        return tamed(numbers)

    register("tamed", build)
    loaded = scenario(tmp_path, "tamed", parameters={"share": 0.5})
    found = stress.simulate_prices(loaded)
    (numbers,) = asked
    assert numbers.assets == ASSETS
    assert numbers.steps == 40
    assert numbers.precision == "float64"
    assert numbers.parameters == {"share": 0.5}
    np.testing.assert_allclose(numbers.step_years, 0.25 / 365)
    np.testing.assert_array_equal(found, stress.simulate_prices(loaded, market=tamed(numbers)))
    tree = stress.run(loaded)
    assert tree.attrs["market_model"] == "tamed"
    again = tmp_path / "scenario.toml"
    again.write_text(resolved_toml(loaded))
    assert load_scenario(again) == loaded
    np.testing.assert_array_equal(stress.simulate_prices(load_scenario(again)), found)


def test_a_source_may_be_given(tmp_path: Path, register: Callable[[str, Build], None]) -> None:
    def source(numbers: Numbers) -> Constant:
        return Constant(tamed(numbers))

    register("blocks", source)
    loaded = scenario(tmp_path, "blocks", parameters={"share": 1.0})
    plain = scenario(tmp_path, "gbm")
    np.testing.assert_array_equal(stress.simulate_prices(loaded), stress.simulate_prices(plain))


def test_the_projects_own_names_stay_its_own(
    tmp_path: Path, register: Callable[[str, Build], None]
) -> None:
    register("gbm", tamed)
    assert stress.simulate_prices(scenario(tmp_path, "gbm")).shape == (16, 41, 4)


def test_a_name_may_be_that_of_another_key(
    tmp_path: Path, register: Callable[[str, Build], None]
) -> None:
    register("drift", tamed)
    loaded = scenario(tmp_path, "drift", parameters={"share": 1.0})
    assert loaded.market.table is None
    assert stress.simulate_prices(loaded, paths=1).shape == (1, 41, 4)


@pytest.mark.parametrize(
    ("name", "words"),
    [("tammed", 'did you mean "tamed"?'), ("student_t", 'did you mean "student-t"?')],
)
def test_unknown_names(
    tmp_path: Path, register: Callable[[str, Build], None], name: str, words: str
) -> None:
    register("tamed", tamed)
    with pytest.raises(stress.InputError) as caught:
        scenario(tmp_path, name)
    assert caught.value.key == "market.model"
    assert f'got "{name}"' in str(caught.value)
    assert words in str(caught.value)


def test_parameters_of_a_model_that_reads_none(tmp_path: Path) -> None:
    with pytest.raises(stress.InputError, match='no effect with model "gbm"') as caught:
        scenario(tmp_path, "gbm", parameters={"share": 0.5})
    assert caught.value.key == "market.parameters"


def nothing(numbers: Numbers) -> int:
    return 5


def too_small(numbers: Numbers) -> GeometricBrownianMotion:
    return GeometricBrownianMotion.build(
        volatility=numbers.volatility[:1],
        drift=numbers.drift[:1],
        correlation=np.eye(1),
        step_years=numbers.step_years,
        precision=numbers.precision,
    )


@pytest.mark.parametrize(
    ("build", "parameters", "key", "words"),
    [
        (tamed, {"share": 2.0}, "market.parameters", "share must be at most 1"),
        (tamed, {}, "market.parameters", "no 'share'"),
        (nothing, {}, "market.model", "type int without assets"),
        (too_small, {}, "market.model", "1 assets, the market has 4"),
        (None, {}, "market.model", "cannot be imported from somebodys_models:absent"),
    ],
)
def test_faults(
    tmp_path: Path,
    register: Callable[[str, Build | None], None],
    build: Build | None,
    parameters: dict[str, Any],
    key: str,
    words: str,
) -> None:
    register("strange", build)
    loaded = scenario(tmp_path, "strange", parameters=parameters)
    with pytest.raises(stress.InputError) as caught:
        stress.simulate_prices(loaded)
    assert caught.value.key == key
    assert words in str(caught.value)

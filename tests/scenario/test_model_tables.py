"""The tables of the price models: defaults, merging with calibrations, rules, and resolving."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from copy import deepcopy
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from stress.errors import InputError
from stress.scenario.load import load_scenario
from stress.scenario.models import MODEL_TABLES, chosen, merged
from stress.scenario.resolve import resolved_toml

MERTON = {"rate": 10.0, "mean": -0.02, "deviation": 0.05}
KOU = {"rate": 10.0, "up_probability": 0.4, "up_mean": 0.02, "down_mean": 0.03}
CALM = {"name": "calm", "volatility": {"BTC": 0.4, "ETH": 0.5}}
WILD = {
    "name": "wild",
    "volatility": {"BTC": 1.1, "ETH": 1.3},
    "correlation": [[1.0, 0.95], [0.95, 1.0]],
}
REGIME = {"states": [CALM, WILD], "transition": [[0.98, 0.02], [0.1, 0.9]]}
HISTORY = "timestamp,asset,close\n" + "".join(
    f"{date(2026, 1, 1) + timedelta(day)}T00:00:00Z,{asset},{price * (100 + day * step % 7)}\n"
    for day in range(60)
    for asset, price, step in (("BTC", 600.0, 1), ("ETH", 25.0, 3))
)
"""Sixty days."""
FILLED = ("student-t", "skewed-t", "jump-diffusion", "garch", "regime")
RESAMPLING = ("bootstrap", "filtered-historical", "historical")
STATED: dict[str, dict[str, Any]] = {
    "student-t": {"degrees_of_freedom": 3.5, "interval": "6h"},
    "skewed-t": {"skewness": {"ETH": 0.1}},
    "jump-diffusion": {"sizes": "kou", "common": KOU, "own": {"BTC": {**KOU, "rate": 3.0}}},
    "garch": {"alpha": {"BTC": 0.06}, "initial_volatility": {"ETH": 1.2}},
    "regime": {**REGIME, "initial": [1.0, 0.0]},
    "bootstrap": {"block": 5.0, "demean": False},
    "filtered-historical": {"beta": {"BTC": 0.8}},
    "historical": {"starts": ["2026-01-05T00:00:00Z"]},
}


def use(case: Any, model: str, table: dict[str, Any] | None = None) -> None:
    case.set("market.model", model)
    if table is not None:
        case.set(f"market.{model}", deepcopy(table))
    if model in RESAMPLING:
        case.set("market.history", "history.csv")
        case.files["history.csv"] = HISTORY
        case.set("simulation", {"step": "1d", "horizon": "5d", "paths": 10})


class TestDefaults:
    @pytest.mark.parametrize("model", FILLED)
    def test_the_name_alone_is_enough(self, model: str, case: Any) -> None:
        """By-asset values are complete, in the order of the market."""
        use(case, model)
        table = load_scenario(case.write()).market.table
        assert type(table) is MODEL_TABLES[model]
        for value in table.model_dump().values():
            if isinstance(value, dict) and "rate" not in value:
                assert list(value) == ["BTC", "ETH"]

    def test_garch(self, case: Any) -> None:
        use(case, "garch", STATED["garch"])
        table = load_scenario(case.write()).market.garch
        assert table.alpha == {"BTC": 0.06, "ETH": 0.05}
        assert table.initial_volatility == {"BTC": 0.55, "ETH": 1.2}

    def test_regimes_have_the_stated_volatility(self, case: Any) -> None:
        use(case, "regime")
        table = load_scenario(case.write()).market.regime
        assert table.initial == pytest.approx([5 / 6, 1 / 6])
        calm, stress = table.states
        for asset, volatility in (("BTC", 0.55), ("ETH", 0.7)):
            squares = 5 / 6 * calm.volatility[asset] ** 2 + 1 / 6 * stress.volatility[asset] ** 2
            assert squares == pytest.approx(volatility**2)

    def test_a_transition_of_the_default_regimes(self, case: Any) -> None:
        """It is not ignored: the regimes are as wild as it leaves room for."""
        use(case, "regime", {"transition": [[0.5, 0.5], [0.5, 0.5]]})
        table = load_scenario(case.write()).market.regime
        assert table.transition == ((0.5, 0.5), (0.5, 0.5))
        assert table.initial == pytest.approx([0.5, 0.5])
        squares = sum(state.volatility["BTC"] ** 2 for state in table.states) / 2
        assert squares == pytest.approx(0.55**2)

    def test_initial_is_stationary(self, case: Any) -> None:
        use(case, "regime", REGIME)
        initial = np.array(load_scenario(case.write()).market.regime.initial)
        np.testing.assert_allclose(initial @ np.array(REGIME["transition"]), initial, atol=1e-12)
        assert initial.sum() == pytest.approx(1.0)


CALIBRATION = """
assets = ["ETH", "SOL", "BTC"]
correlation = [[1.0, 0.4, 0.8], [0.4, 1.0, 0.5], [0.8, 0.5, 1.0]]
price = { ETH = 2_500.0, SOL = 100.0, BTC = 60_000.0 }
volatility = { ETH = 0.7, SOL = 0.9, BTC = 0.55 }

[models.student-t]
degrees_of_freedom = 3.25
interval = "12h"

[models.garch]
degrees_of_freedom = 4.5
alpha = { ETH = 0.06, SOL = 0.07, BTC = 0.08 }
gamma = { ETH = 0.01, SOL = 0.02, BTC = 0.03 }

[models.jump-diffusion]
common = { rate = 9.0, mean = -0.03, deviation = 0.04 }
exposure = { ETH = 1.1, SOL = 1.5, BTC = 0.8 }
own.SOL = { rate = 30.0, mean = 0.0, deviation = 0.03 }
own.ETH = { rate = 20.0, mean = 0.0, deviation = 0.02 }

[models.regime]
interval = "1d"
transition = [[0.9, 0.1], [0.2, 0.8]]
initial = [0.75, 0.25]

[[models.regime.states]]
name = "quiet"
volatility = { ETH = 0.4, SOL = 0.5, BTC = 0.3 }
correlation = [[1.0, 0.1, 0.2], [0.1, 1.0, 0.3], [0.2, 0.3, 1.0]]

[[models.regime.states]]
name = "loud"
volatility = { ETH = 1.4, SOL = 1.5, BTC = 1.3 }
"""


class TestCalibration:
    def load(self, case: Any, model: str, table: dict[str, Any] | None = None) -> Any:
        case.use_calibration(CALIBRATION)
        use(case, model, table)
        return load_scenario(case.write()).market.table

    def test_estimates_are_taken(self, case: Any) -> None:
        table = self.load(case, "student-t")
        assert (table.degrees_of_freedom, table.interval) == (3.25, "12h")

    def test_what_is_stated_wins(self, case: Any) -> None:
        table = self.load(case, "student-t", {"degrees_of_freedom": 8.0})
        assert (table.degrees_of_freedom, table.interval) == (8.0, "12h")

    def test_asset_by_asset(self, case: Any) -> None:
        """Stated, estimated, default; and nothing of an asset that the market lacks."""
        table = self.load(case, "garch", {"alpha": {"ETH": 0.07}, "beta": {"BTC": 0.85}})
        assert table.alpha == {"BTC": 0.08, "ETH": 0.07}
        assert table.gamma == {"BTC": 0.03, "ETH": 0.01}
        assert table.beta == {"BTC": 0.85, "ETH": 0.9}
        assert table.degrees_of_freedom == 4.5

    def test_jumps(self, case: Any) -> None:
        """Common jumps are taken whole, own ones asset by asset."""
        table = self.load(case, "jump-diffusion", {"own": {"BTC": MERTON}})
        assert table.common.model_dump(exclude_none=True) == {
            "rate": 9.0,
            "mean": -0.03,
            "deviation": 0.04,
        }
        assert table.exposure == {"BTC": 0.8, "ETH": 1.1}
        assert list(table.own) == ["BTC", "ETH"]
        assert table.own["BTC"].rate == 10.0
        assert table.own["ETH"].rate == 20.0

    def test_stated_common_jumps_are_whole(self) -> None:
        stated, estimated = {"common": {"rate": 1.0}}, {"common": MERTON, "sizes": "merton"}
        assert merged(stated, estimated) == {"common": {"rate": 1.0}, "sizes": "merton"}

    def test_regimes_are_reordered(self, case: Any) -> None:
        """The matrix of a regime has the market's assets in the market's order."""
        case.set("market.assets", ["BTC", "SOL", "ETH"])
        table = self.load(case, "regime")
        quiet, loud = table.states
        assert quiet.volatility == {"BTC": 0.3, "SOL": 0.5, "ETH": 0.4}
        assert quiet.correlation == ((1.0, 0.3, 0.2), (0.3, 1.0, 0.1), (0.2, 0.1, 1.0))
        assert loud.correlation == ()
        assert table.initial == (0.75, 0.25)

    def test_regimes_of_fewer_assets(self, case: Any) -> None:
        table = self.load(case, "regime")
        assert table.states[0].volatility == {"BTC": 0.3, "ETH": 0.4}
        assert table.states[0].correlation == ((1.0, 0.2), (0.2, 1.0))

    def test_stated_regimes_need_no_estimates(self, case: Any) -> None:
        assert self.load(case, "regime", REGIME).states[1].name == "wild"

    def test_regimes_of_an_asset_that_has_none(self) -> None:
        states = [{"name": "calm", "volatility": {"BTC": 0.5}, "correlation": [[1.0]]}]
        with pytest.raises(KeyError, match="ETH"):
            chosen({"states": states}, ["BTC", "ETH"], ["BTC"])

    def test_an_asset_without_a_regime(self, case: Any) -> None:
        """The market states its own correlation, the regimes of the calibration lack an asset."""
        case.set("market.assets", ["BTC", "ADA"])
        case.use_calibration(CALIBRATION)
        use(case, "regime")
        case.set("market.price", {"ADA": 0.5})
        case.set("market.volatility", {"ADA": 1.0})
        case.set("market.correlation", [[1.0, 0.5], [0.5, 1.0]])
        with pytest.raises(InputError, match="has no regimes of ADA") as caught:
            load_scenario(case.write())
        assert caught.value.key == "market.calibration"

    @pytest.mark.parametrize(
        ("old", "new", "key", "words"),
        [
            ("[models.garch]", "[models.grach]", "models.grach", 'did you mean "garch"'),
            ("SOL = 0.07", "SOO = 0.07", "models.garch.alpha.SOO", 'did you mean "SOL"'),
            ("3.25", "1.5", "models.student-t.degrees_of_freedom", "must be above 2"),
            ("3.25", '"x"', "models.student-t.degrees_of_freedom", "must be a number"),
            ('interval = "12h"', "intervall = 1", "models.student-t.intervall", "unknown key"),
            ("0.1, 1.0, 0.3", "0.5, 1.0, 0.3", "models.regime.states[0]", "symmetric"),
        ],
    )
    def test_estimates_are_checked(
        self, case: Any, old: str, new: str, key: str, words: str
    ) -> None:
        assert old in CALIBRATION
        case.use_calibration(CALIBRATION.replace(old, new, 1))
        with pytest.raises(InputError, match=r"calibration\.toml") as caught:
            load_scenario(case.write())
        assert caught.value.key.startswith(key)
        assert words in str(caught.value)


def regime(**changes: Any) -> dict[str, Any]:
    return {**deepcopy(REGIME), **changes}


RULES = [
    ("garch", {"alpha": {"BTX": 0.1}}, "alpha.BTX", 'did you mean "BTC"'),
    ("skewed-t", {"skewness": {"SOL": 0.1}}, "skewness.SOL", "unknown asset"),
    ("jump-diffusion", {"own": {"SOL": MERTON}}, "own.SOL", "unknown asset"),
    (
        "regime",
        regime(states=[CALM, {**WILD, "volatility": {**WILD["volatility"], "SOL": 1.0}}]),
        "states[1].volatility.SOL",
        "unknown asset",
    ),
    ("garch", {"beta": {"ETH": 0.95}}, "beta.ETH", "got 0.05 + 0.05 / 2 + 0.95"),
    ("garch", {"gamma": {"ETH": -0.06}}, "gamma.ETH", "at least -0.05"),
    ("filtered-historical", {"beta": {"BTC": 0.95}}, "beta.BTC", "below 1"),
    ("garch", {"interval": "7min"}, "interval", "1.4 of simulation.step"),
    ("student-t", {"interval": "60s"}, "interval", 'state the interval, "5min"'),
    ("regime", regime(interval="1s"), "interval", "shorter than"),
    ("regime", regime(states=[CALM]), "states", "two regimes"),
    ("regime", regime(states=[CALM, CALM]), "states[1].name", "twice"),
    (
        "regime",
        regime(states=[CALM, {"name": "wild", "volatility": {"BTC": 1.0}}]),
        "states[1].volatility",
        'no volatility of ETH in regime "wild"',
    ),
    (
        "regime",
        regime(states=[CALM, {**WILD, "correlation": [[1.0, 1.2], [1.2, 1.0]]}]),
        "states[1].correlation[0][1]",
        "from -1 to 1",
    ),
    (
        "regime",
        regime(states=[CALM, {**WILD, "correlation": [[1.0]]}]),
        "states[1].correlation",
        "must be 2 x 2",
    ),
    ("regime", {"states": [CALM, WILD]}, "transition", "is missing"),
    ("regime", regime(transition=[[1.0]]), "transition", "must be 2 x 2"),
    ("regime", {"transition": [[1.0]]}, "states", "two regimes"),
    ("regime", regime(transition=[[0.5, 0.5], [1.0]]), "transition[1]", "2 probabilities"),
    ("regime", regime(transition=[[0.5, 0.4], [0.5, 0.5]]), "transition[0]", "got 0.9"),
    ("regime", regime(transition=[[1.5, -0.5], [0.5, 0.5]]), "transition[0][0]", "0 to 1"),
    ("regime", regime(initial=[0.5, 0.6]), "initial", "must sum to 1, got 1.1"),
    ("regime", regime(initial=[1.0]), "initial", "2 probabilities"),
    ("jump-diffusion", {"common": KOU}, "common.up_probability", 'sizes = "kou"'),
    (
        "jump-diffusion",
        {"sizes": "kou", "own": {"BTC": MERTON}},
        "own.BTC.mean",
        'or set market.jump-diffusion.sizes = "merton"',
    ),
    ("jump-diffusion", {"common": {"rate": 1.0, "mean": 0.1}}, "common.deviation", "is missing"),
    (
        "jump-diffusion",
        {"sizes": "kou", "own": {"ETH": {k: v for k, v in KOU.items() if k != "down_mean"}}},
        "own.ETH.down_mean",
        "is missing",
    ),
    (
        "jump-diffusion",
        {"sizes": "kou", "common": {**KOU, "up_mean": 1.0}},
        "common.up_mean",
        "below 1",
    ),
    (
        "jump-diffusion",
        {"sizes": "kou", "common": {**KOU, "up_mean": 0.6}, "exposure": {"ETH": 2.0}},
        "exposure.ETH",
        "2 * 0.6",
    ),
    (
        "jump-diffusion",
        {"sizes": "kou", "common": {**KOU, "down_mean": 0.6}, "exposure": {"BTC": -2.0}},
        "exposure.BTC",
        "-2 * 0.6",
    ),
    (
        "historical",
        {"starts": ["2026-01-05T00:00:00Z"], "stride": "1d"},
        "stride",
        "remove stride or starts",
    ),
    ("bootstrap", {"block": 0.5}, "block", "at least 1"),
]


class TestRules:
    @pytest.mark.parametrize(
        ("model", "table", "key", "words"),
        RULES,
        ids=[f"{number}-{model}-{key}" for number, (model, _, key, _) in enumerate(RULES)],
    )
    def test_one_line(
        self, case: Any, model: str, table: dict[str, Any], key: str, words: str
    ) -> None:
        """File, key, value, way out."""
        use(case, model, table)
        path = case.write()
        with pytest.raises(InputError) as caught:
            load_scenario(path)
        error = caught.value
        assert error.file == path
        assert error.key == f"market.{model}.{key}"
        assert words in str(error)
        assert error.remedy
        assert "\n" not in str(error)

    @pytest.mark.parametrize("model", RESAMPLING)
    def test_a_drift_beside_the_mean_that_is_kept(self, model: str, case: Any) -> None:
        use(case, model, {"demean": False})
        case.set("market.drift", {"BTC": 0.0})
        load_scenario(case.write())
        case.set("market.drift", {"ETH": 0.1})
        with pytest.raises(InputError, match="set demean = true") as caught:
            load_scenario(case.write())
        assert caught.value.key == "market.drift.ETH"

    @pytest.mark.parametrize("model", ["garch", "gbm"])
    def test_the_table_of_another_model(self, model: str, case: Any) -> None:
        use(case, model)
        case.set("market.student-t", {"degrees_of_freedom": 3.0})
        with pytest.raises(InputError, match=r'set market\.model = "student-t"') as caught:
            load_scenario(case.write())
        assert caught.value.key == "market.student-t"

    def test_no_volatility_is_told_before_what_follows_from_it(self, case: Any) -> None:
        use(case, "garch")
        case.drop("market.volatility")
        with pytest.raises(InputError, match="no volatility of BTC, ETH"):
            load_scenario(case.write())


@pytest.mark.parametrize("model", STATED)
@pytest.mark.parametrize("prepare", [lambda model: None, STATED.get], ids=["default", "stated"])
def test_a_resolved_scenario_is_the_same(
    model: str, prepare: Callable[[str], dict[str, Any] | None], case: Any
) -> None:
    """Loaded, written and loaded again: nothing is lost, nothing is filled in twice."""
    use(case, model, prepare(model))
    scenario = load_scenario(case.write())
    text = resolved_toml(scenario)
    path = case.folder / "resolved.toml"
    path.write_text(text)
    again = load_scenario(path)
    assert again == scenario
    assert again.market.table == scenario.market.table
    assert resolved_toml(again) == text


def test_matrices_are_written_by_rows(case: Any) -> None:
    """Those of regimes too, which stand in tables of their own."""
    use(case, "regime", REGIME)
    text = resolved_toml(load_scenario(case.write()))
    assert "    [1.0, 0.95],\n    [0.95, 1.0],\n" in text
    assert "    [0.98, 0.02],\n    [0.1, 0.9],\n" in text
    content = tomllib.loads(text)["market"]["regime"]
    assert content["transition"] == REGIME["transition"]
    assert content["states"][1]["correlation"] == WILD["correlation"]

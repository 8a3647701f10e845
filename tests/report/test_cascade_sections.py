"""What the sections of a cascade say: each number with its interval, and the odd cases in words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import xarray as xr

from stress.report.figures.shares import mean_count, share
from stress.report.page import render
from stress.report.read import Estimate
from stress.report.section import Content
from stress.report.sections import (
    SECTIONS,
    accounts,
    cascade,
    caused,
    decision,
    headline,
    impact_laws,
    losses,
    positions,
    replay,
    risk_per_trade,
    venue,
)

from .cascade_sample import APPROXIMATES, ASKED_FOR, OTHER_LAW, cascade_tree, change
from .sample import sample_tree

CASCADE = (cascade, replay, impact_laws, caused, decision, risk_per_trade)


@pytest.fixture
def tree() -> xr.DataTree:
    return cascade_tree(12)


def _plain(content: Content) -> str:
    """Return what is said outside of figures."""
    tables = [
        " ".join([table.caption, *(column.title for column in table.columns)])
        + " ".join(str(cell) for row in table.rows for cell in row)
        for table in content.tables
    ]
    said = (*content.lead, *content.warnings, *content.items, *content.notes, *tables)
    return " ".join(said).replace("\u00a0", " ")


def _extend(tree: xr.DataTree, group: str, **variables: tuple[tuple[str, ...], Any]) -> None:
    """Put estimates that the specification does not hold yet."""
    data = tree[group].to_dataset()
    for name, (dims, value) in variables.items():
        array = np.asarray(value, dtype=np.float64)
        data[name] = (dims, array)
        data[f"{name}_interval"] = ((*dims, "bound"), np.stack([0.9 * array, 1.1 * array], -1))
    tree[group] = xr.DataTree(data)


def test_a_first_passage_has_no_section_of_a_cascade() -> None:
    tree = sample_tree(9)
    assert not any(part.SECTION.applies(tree) for part in (*CASCADE, venue))


def test_a_cascade_has_them_all(tree: xr.DataTree) -> None:
    assert all(section.applies(tree) for section in SECTIONS if section.name not in ASKED_FOR)


@pytest.mark.parametrize(
    "options",
    [
        {"accounts": 1, "groups": ["only"], "assets": 1, "compare": False, "limits": ()},
        {"accounts": 9, "decision": ()},
        {"accounts": 9, "decision": ("leader", "delayed leader")},
    ],
    ids=["one of each", "a plain leader", "a delayed leader"],
)
def test_small_and_plain_results_have_a_page(options: dict[str, Any]) -> None:
    render(cascade_tree(**options))


@pytest.mark.parametrize("group", ["impact", "decision", "course", "replay", "paths", "assets"])
def test_a_group_may_be_missing(tree: xr.DataTree, group: str) -> None:
    del tree[group]
    render(tree)


def test_the_cascade_loss_stands_first(tree: xr.DataTree) -> None:
    labels = [one.label.replace("\u00a0", " ") for one in headline.SECTION.content(tree).headlines]
    assert labels[:3] == [
        "Cascade loss, mean",
        "Cascade loss, value at risk, 99 %",
        "Cascade loss, expected shortfall, 99 %",
    ]
    assert labels[-2:] == ["Insurance fund exhausted", "Cascade multiplier"]


def test_one_sentence_says_what_feedback_costs(tree: xr.DataTree) -> None:
    first = headline.SECTION.content(tree).lead[0]
    assert re.fullmatch(
        r"Forced sales add \$120\.0k \(110\.4 to 129\.6\) to the expected total loss, which is "
        r"\$\d+k \(\d+ to \d+\) with them, i\.e\. for every dollar of positions closed without "
        r"feedback 1\.42 \(1\.38 to 1\.46\) dollars are closed with it\.",
        first,
    )


@pytest.mark.parametrize(
    ("loss", "said"),
    [(0.0, "Forced sales add nothing"), (-5_000.0, "Forced sales take $5,000")],
)
def test_feedback_may_cost_nothing_or_save(tree: xr.DataTree, loss: float, said: str) -> None:
    change(tree, "book", expected_cascade_loss=loss)
    assert headline.SECTION.content(tree).lead[0].startswith(said)


def test_what_the_paths_do_not_settle_is_said(tree: xr.DataTree) -> None:
    data = tree["book"].to_dataset()
    data["expected_cascade_loss_interval"][:] = [-1e4, 2.5e5]
    tree["book"] = xr.DataTree(data)
    assert headline.SECTION.content(tree).lead[0].startswith("The paths do not settle")


def test_rounds_that_ran_out_are_a_warning_where_they_did(tree: xr.DataTree) -> None:
    (warning,) = cascade.SECTION.content(tree).warnings
    assert "0.4 % (0.2 to 0.6) of the paths" in warning.replace("\u00a0", " ")
    change(tree, "book", rounds_exhausted_probability=0.0)
    assert not cascade.SECTION.content(tree).warnings


def test_a_fund_that_paid_nothing_is_said_and_not_drawn(tree: xr.DataTree) -> None:
    change(tree, "book", expected_fund_draw=0.0, fund_draw_value_at_risk=0.0)
    edges = np.linspace(-0.5, 0.5, tree["distribution"].sizes["edge"])
    change(tree, "distribution", fund_draw_edges=edges)
    content = cascade.SECTION.content(tree)
    assert "The insurance fund paid nothing on any path." in content.notes
    assert "fund-draw" not in [drawing.name for drawing in content.figures]
    render(tree)


def test_a_multiplier_of_nan_is_said(tree: xr.DataTree) -> None:
    nan = np.nan
    change(tree, "book", cascade_multiplier=nan)
    change(tree, "impact", cascade_multiplier=nan)
    change(tree, "distribution", cascade_multiplier_edges=nan, cascade_multiplier_paths=0)
    content = cascade.SECTION.content(tree)
    assert "so there is no cascade multiplier" in _plain(content)
    assert "cascade-multiplier" not in [drawing.name for drawing in content.figures]
    assert not re.search(r"\bnan\b", _plain(content), re.IGNORECASE)
    assert "i.e." not in headline.SECTION.content(tree).lead[0]
    render(tree)


def test_without_feedback_the_section_says_so(tree: xr.DataTree) -> None:
    data = tree["book"].to_dataset()
    tree["book"] = xr.DataTree(
        data.drop_vars([name for name in data if str(name).startswith(("expected_casc", "casc"))])
    )
    change(tree, "assets", price_overshoot_mean=0.0)
    content = cascade.SECTION.content(tree)
    assert content.lead[0].startswith("Forced orders move no price")
    assert "price-overshoot" not in [drawing.name for drawing in content.figures]


def test_accounts_that_feedback_moves_most_come_first(tree: xr.DataTree) -> None:
    moves = np.zeros(12)
    moves[[2, 5, 7]] = 0.01, 0.2, -0.1
    change(tree, "accounts", liquidation_probability_change=moves)
    table = cascade.SECTION.content(tree).tables[-1]
    assert [row[0] for row in table.rows] == ["account-0005", "account-0002", "account-0007"]
    change(tree, "accounts", liquidation_probability_change=0.0)
    assert "of no account" in _plain(cascade.SECTION.content(tree))


def test_the_laws_stand_side_by_side_and_their_difference_is_model_risk(tree: xr.DataTree) -> None:
    content = impact_laws.SECTION.content(tree)
    assert "model risk" in _plain(content)
    assert content.items == (OTHER_LAW,)
    titles = [column.title for column in content.tables[0].columns]
    assert titles == ["Measure", "Linear, as in the scenario", "Square-root"]
    assert all(str(cell).endswith(")") for row in content.tables[0].rows for cell in row[1:])


def test_a_paired_difference_of_the_laws_is_shown_with_its_interval(tree: xr.DataTree) -> None:
    _extend(tree, "impact", expected_total_loss_difference=((), 47_000.0))
    table = impact_laws.SECTION.content(tree).tables[0]
    assert table.columns[-1].title == "Square-root minus linear"
    said = {str(row[0]): str(row[-1]) for row in table.rows}
    assert said["Expected total loss"] == "$47.0k (42.3 to 51.7)"
    assert said["Expected cascade loss"] == "\u2013"


def test_who_is_charged_with_which_liquidations(tree: xr.DataTree) -> None:
    table = caused.SECTION.content(tree).tables[0]
    titles = [column.title for column in table.columns]
    assert titles[:2] == ["Group liquidated", "By feedback"]
    assert {title.removeprefix("Charged to ") for title in titles[2:]} == {
        str(row[0]) for row in table.rows
    }
    assert all(str(cell).endswith(")") for row in table.rows for cell in row[1:])


def test_the_markets_own_liquidations_stand_beside_them(tree: xr.DataTree) -> None:
    _extend(tree, "groups", market_liquidations=(("group",), [3.0, 2.0, 1.0]))
    table = caused.SECTION.content(tree).tables[0]
    assert table.columns[1].title == "By the market alone"


def test_nobody_causes_anything_where_feedback_liquidates_nobody(tree: xr.DataTree) -> None:
    change(tree, "groups", caused_liquidations=0.0, feedback_liquidations=0.0)
    content = caused.SECTION.content(tree)
    assert not content.figures
    assert "Feedback liquidates no pool on any path." in content.lead


def test_the_replay_says_which_path_and_what_it_lost(tree: xr.DataTree) -> None:
    change(tree, "paths", total_loss=123_456.0)
    content = replay.SECTION.content(tree)
    assert "Path 1,234 " in content.lead[0]
    assert "a total loss of $123k" in content.lead[0]
    assert "23 accounts liquidated, $9.43m of positions closed" in content.lead[1]
    tree["replay"].attrs["path"] = 10**9
    assert "a total loss of" not in replay.SECTION.content(tree).lead[0]


def test_a_replay_of_nan_alone_has_a_page(tree: xr.DataTree) -> None:
    tree["replay"] = xr.DataTree(tree["replay"].to_dataset() * np.nan)
    assert not replay.SECTION.applies(tree)
    render(tree)


@pytest.mark.parametrize(
    ("names", "who"),
    [(("leader", "sharded"), "Shards"), (("leader", "delayed leader"), "The delayed leader")],
)
def test_the_second_decider_is_compared_with_the_leader(names: tuple[str, str], who: str) -> None:
    content = decision.SECTION.content(cascade_tree(9, decision=names))
    assert content.lead[1].startswith(who)
    titles = [column.title for column in content.tables[0].columns]
    assert titles == [
        "Measure",
        "Leader",
        names[1].capitalize(),
        f"{names[1].capitalize()} minus leader",
    ]
    assert all(len(row) == 4 and str(row[3]).endswith(")") for row in content.tables[0].rows)
    wrongly = [str(row[0]) for row in content.tables[1].rows]
    assert wrongly == ["False liquidations", "Over-closed notional", "Late steps"]


def test_deciders_that_do_not_differ(tree: xr.DataTree) -> None:
    change(tree, "decision", liquidation_probability_difference=0.0)
    assert "as many accounts" in decision.SECTION.content(tree).lead[1]


def test_the_one_percent_rule_is_said_not_to_hold_where_the_paths_settle_it() -> None:
    tree = cascade_tree(3)
    change(tree, "positions", planned_risk=0.01)
    change(tree, "positions", effective_risk_mean=np.array([0.05, 0.02, 0.009]))
    data = tree["positions"].to_dataset()
    data["effective_risk_mean_interval"][1] = [0.005, 0.035]
    tree["positions"] = xr.DataTree(data)
    names = [str(name) for name in data["position"].values]
    _, certain, open_ = risk_per_trade.SECTION.content(tree).lead
    assert certain.startswith(f"The 1 % rule does not hold for {names[0]}:")
    assert open_.startswith(f"The 1 % rule may not hold for {names[1]}:")
    change(tree, "positions", effective_risk_mean=0.001)
    assert "No position's mean" in risk_per_trade.SECTION.content(tree).lead[1]


def test_positions_without_plan_or_paths_make_no_claim() -> None:
    tree = cascade_tree(3)
    change(tree, "positions", planned_risk=np.nan)
    assert len(risk_per_trade.SECTION.content(tree).lead) == 1
    render(tree)
    change(tree, "positions", effective_risk_mean=np.nan)
    assert not risk_per_trade.SECTION.applies(tree)
    assert positions.SECTION.applies(tree)


def test_thousands_of_trades_stay_few_on_the_page() -> None:
    content = risk_per_trade.SECTION.content(cascade_tree(3_000))
    assert len(content.tables[0].rows) == 20
    assert re.search(r"and 2,\d\d\d other positions", content.lead[1])


def test_accounts_in_hidden_distress_are_listed_where_there_are_any(tree: xr.DataTree) -> None:
    share_of_looks = np.zeros(12)
    share_of_looks[[3, 8]] = 0.02, 0.3
    change(tree, "accounts", hidden_distress=share_of_looks)
    (table,) = accounts.SECTION.content(tree).tables
    assert [row[0] for row in table.rows] == ["account-0008", "account-0003"]
    change(tree, "accounts", hidden_distress=0.0)
    assert not accounts.SECTION.content(tree).tables


def test_losses_hold_the_tail_of_the_cascade(tree: xr.DataTree) -> None:
    content = losses.SECTION.content(tree)
    assert "cascade-loss" in [drawing.name for drawing in content.figures]
    rows = [str(row[0]) for row in content.tables[0].rows]
    assert rows[-3:] == [
        "Cascade loss, value at risk",
        "Cascade loss, expected shortfall",
        "Fund draw, value at risk",
    ]


def test_a_preset_says_what_it_approximates(tree: xr.DataTree) -> None:
    content = venue.SECTION.content(tree)
    assert content.items == APPROXIMATES
    assert "Preset somewhere: Somewhere, perpetuals, as of 2026-05-28." in content.lead[0]
    said = {str(row[0]): str(row[1]) for row in content.tables[0].rows}
    assert said["Insurance fund at the start"] == "$2.00m"
    assert said["Closed in a round"] == "tier"


def test_rules_without_a_preset(tree: xr.DataTree) -> None:
    for name in [name for name in tree.attrs if name.startswith("preset")]:
        del tree.attrs[name]
    content = venue.SECTION.content(tree)
    assert "no preset" in content.lead[0]
    assert not content.items


def test_shares_and_counts_have_intervals_and_may_be_negative() -> None:
    assert str(share(Estimate(-0.031, -0.05, -0.012))) == "\u22123\u00a0% (\u22125 to \u22121)"
    assert str(share(Estimate(1.25, 1.1, 1.4))) == "125\u00a0% (110 to 140)"
    assert str(share(Estimate(float("nan")))) == "\u2013"
    assert str(mean_count(Estimate(1.234, 1.2, 1.27))) == "1.23 (1.20 to 1.27)"
    assert str(mean_count(Estimate(1_234.0, 1_134.0, 1_334.0))) == "1,234 (1,134 to 1,334)"
    assert str(mean_count(Estimate(0.0, 0.0, 0.0))) == "0.0 (0.0 to 0.0)"

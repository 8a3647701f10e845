"""Attribution of a whole run: what adds up, the worst paths, and books without an account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from stress.book.what_if import only_accounts
from stress.errors import InputError
from stress.runner.analyses import analyse
from stress.runner.analyses.leave_one_out import Runs
from stress.runner.label import label
from stress.runner.measured import Measured
from stress.runner.prepare import Job, prepare
from stress.runner.progress import Silent
from stress.runner.simulate import job_spread, measure
from stress.runner.spread import Spread
from tests.strategies import ASSETS, random_book, write_book

KINDS = ("cross_single", "cross_several", "isolated_alone")
PATHS = 128
CHANGES: dict[str, Any] = {
    "simulation.paths": PATHS,
    "simulation.levels": [0.8, 0.9],
    "simulation.precision": "float64",
    "simulation.detail": True,
    "analysis": {"leave_one_out": 2},
    "venue.fund": {"balance": 500.0},
    "venue.fee": 0.004,
    "venue.amount": "all",
    "venue.impact": {"kind": "square-root", "adv": dict.fromkeys(ASSETS, 2e6)},
    "venue.deleveraging": {"kind": "socialised"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("book")


@pytest.fixture(scope="module")
def job(folder: Path) -> Job:
    return prepare(write_book(folder, random_book(11, KINDS), CHANGES))


@pytest.fixture(scope="module")
def spread(job: Job) -> Spread:
    return job_spread(job)


@pytest.fixture(scope="module")
def measured(job: Job, spread: Spread) -> Measured:
    return measure(job, Silent(), spread=spread)


@pytest.fixture(scope="module")
def tree(job: Job, measured: Measured, spread: Spread) -> xr.DataTree:
    return label(job, measured, analyse(job, measured, spread))


def test_all_contributions_add_up_to_the_expected_shortfall(tree: xr.DataTree) -> None:
    found = tree["attribution"]
    shortfall = tree["book"]["total_loss_expected_shortfall"]
    assert (shortfall > 0).all()
    for name, dim in (("account_contribution", "account"), ("group_contribution", "group")):
        np.testing.assert_allclose(found[name].sum(dim), shortfall, rtol=1e-12)
    assets = found["asset_contribution"].sum("asset")
    rest = found["after_liquidation_contribution"]
    np.testing.assert_allclose(assets + rest, shortfall, rtol=1e-12)


def test_the_parts_add_up_to_the_expected_loss(tree: xr.DataTree) -> None:
    parts, book = tree["attribution"]["loss_part"], tree["book"]
    np.testing.assert_allclose(parts.sum(), book["expected_total_loss"], rtol=1e-12)
    of = dict(zip(map(str, parts["part"].values), map(float, parts.values), strict=True))
    for name, part in (
        ("expected_fund_draw", "paid by the fund"),
        ("expected_socialised_loss", "paid by winners"),
        ("expected_uncovered_loss", "uncovered"),
    ):
        assert of[part] == pytest.approx(-float(book[name]))
        assert of[part] < 0, part
    assert of["fees"] > 0
    assert of["impact"] > 0


def test_fees_are_a_share_of_what_was_closed(tree: xr.DataTree) -> None:
    """Nobody has a stop here, so all closes pay the fee."""
    fees = tree["attribution"]["loss_part"].sel(part="fees")
    closed = tree["paths"]["liquidated_notional"].mean()
    assert float(fees) == pytest.approx(0.004 * float(closed), rel=1e-9)


@pytest.mark.slow
def test_the_book_without_an_account(tree: xr.DataTree, job: Job, spread: Spread) -> None:
    """An account that holds nothing is one that is not there.

    Two compilations of XLA may differ in the last digits, so to rounding in float64.
    """
    found = tree["attribution"].to_dataset()
    name = str(found["left_out"].values[0])
    kept = np.array([account != name for account in job.book.accounts])
    smaller = Runs.of(prepare(job.scenario, book=only_accounts(job.book, kept)), spread)
    without, _ = smaller.losses(smaller.kernel, np.zeros(0, int))
    others = (tree["paths"]["total_loss"] - _losses(tree, name)).values
    here = found.sel(left_out=name)
    assert float(here["others_loss"]) == pytest.approx(others.mean(), rel=1e-12)
    assert float(here["systemic_importance"]) == pytest.approx((others - without).mean(), rel=1e-10)
    assert float(here["systemic_importance"]) > 0
    half = 1.959964 * (others - without).std(ddof=1) / PATHS**0.5
    bounds = (others - without).mean() + half * np.array([-1, 1])
    np.testing.assert_allclose(here["systemic_importance_interval"], bounds, rtol=1e-6)
    share = float(here["systemic_importance"] / here["others_loss"])
    assert float(here["systemic_share"]) == pytest.approx(share)


def _losses(tree: xr.DataTree, account: str) -> xr.DataArray:
    """Return (paths,) max(loss, 0) of an account without a reserve."""
    start = tree["accounts"]["initial_equity"].sel(account=account)
    loss: xr.DataArray = start - tree["detail"]["equity_end"].sel(account=account)
    return loss.clip(min=0)


def test_who_is_left_out(tree: xr.DataTree, job: Job) -> None:
    """Those with the largest notional times probability of liquidation, the largest first."""
    book = job.book
    notional = np.abs(book.quantity) * job.setting.price[book.position_asset]
    gross = np.bincount(book.position_account, notional, len(book.accounts))
    expected = gross * tree["accounts"]["liquidation_probability"].values
    first = np.argsort(-expected)[:2]
    assert list(tree["attribution"]["left_out"].values) == [book.accounts[k] for k in first]


def test_contributions_are_means_over_the_worst_paths(
    tree: xr.DataTree, job: Job, measured: Measured
) -> None:
    """Twenty percent of 128 paths: the 25 worst whole, and six tenths of the next."""
    assert measured.attribution is not None
    number, total, _, _ = measured.attribution.worst.finish()
    losses = tree["paths"]["total_loss"].values
    np.testing.assert_array_equal(total, np.sort(losses)[::-1][: len(total)])
    np.testing.assert_array_equal(losses[number], total)
    weights = np.append(np.ones(25), 0.6) / 25.6
    for name in job.book.accounts:
        loss = _losses(tree, name).values[number[:26]]
        found = tree["attribution"]["account_contribution"].sel(account=name)[0]
        assert float(found) == pytest.approx(weights @ loss, rel=1e-9, abs=1e-6)


def test_influence_needs_a_venue_on_which_accounts_meet(folder: Path) -> None:
    changes = {key: value for key, value in CHANGES.items() if key not in ("venue.impact",)} | {
        "venue.deleveraging": {"kind": "none"}
    }
    with pytest.raises(InputError, match=r"analysis.leave_one_out"):
        write_book(folder, random_book(11, KINDS), changes)

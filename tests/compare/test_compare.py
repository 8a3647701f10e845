"""Differences against what is known: nothing, by hand, and in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from stress.compare.compare import compare
from stress.compare.pairing import pairing_of
from stress.compare.whole import book_differences
from stress.errors import InputError
from stress.result.comparison import Comparison, Difference, from_json, to_json
from stress.result.liquidations import liquidated
from stress.stats.confidence import shared
from stress.stats.differences import paired_probability

from .trees import barrier_tree, hit_probability, path_tree, with_attributes

BARRIERS = {f"account-{number:02d}": 0.3 + 0.1 * number for number in range(20)}
LIMIT = "max_account_liquidation_probability"


def of(comparison: Comparison, name: str) -> Difference:
    return next(found for found in comparison.differences if found.name == name)


def bounds(difference: Difference) -> tuple[float, float]:
    return difference.change.lower, difference.change.upper


class TestNothing:
    def test_a_run_and_itself(self) -> None:
        """Every difference is exactly 0, and certainly so."""
        tree = barrier_tree(BARRIERS, seed=1, paths=500, limits={LIMIT: 0.3})
        found = compare(tree, tree.copy())
        assert (found.pairing.how, found.pairing.shared) == ("paired", "everything")
        assert found.changes == found.book.rows == found.notices == ()
        for difference in (*found.differences, *found.groups):
            change = difference.change
            assert (change.estimate, change.lower, change.upper) == (0, 0, 0), difference.name
            assert difference.verdict == "the same"
        accounts = found.accounts
        assert (accounts.compared, accounts.up, accounts.down) == (20, 0, 0)
        assert accounts.crossed == accounts.most == ()
        assert all(limit.verdict_one == limit.verdict_other for limit in found.limits)

    def test_more_paths_of_the_same_run(self) -> None:
        """An extended run differs by its further paths alone: nothing of the book has changed."""
        short, long = (barrier_tree(BARRIERS, seed=1, paths=paths) for paths in (300, 1_000))
        found = compare(short, long)
        assert found.pairing.paths == 300
        assert [change.key for change in found.changes] == ["simulation.paths"]
        assert {difference.verdict for difference in found.differences} == {"the same"}
        assert found.accounts.most == ()
        assert "first 300 of both" in found.notices[0]

    def test_digits_that_should_be_the_same_and_are_not_are_said(self) -> None:
        tree = barrier_tree(BARRIERS, seed=1, paths=200)
        other = tree.copy(deep=True)
        other["paths"]["total_loss"].values[7] += 1.0
        found = compare(tree, other)
        assert found.pairing.shared == "everything"
        assert "one of the two results is not what its scenario gives" in found.notices[0]


class TestByHand:
    """Two accounts on eight paths; B's later half, and another order of the accounts."""

    ONE = np.array([[1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0, 0]])
    OTHER = np.array([[0, 1, 1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0, 1]])

    def found(self) -> Comparison:
        """The second run names its accounts the other way round, and has one more."""
        inputs = {"/data/accounts.csv": "1" * 64, "/data/positions.csv": "2" * 64}
        one = path_tree(self.ONE, ["a", "b"], groups=["g", "h"], inputs=inputs)
        rows = np.vstack([self.OTHER[1], np.zeros(8), self.OTHER[0]])
        inputs = {**inputs, "/data/accounts.csv": "3" * 64}
        other = path_tree(rows, ["b", "c", "a"], groups=["h", "h", "g"], inputs=inputs)
        return compare(one, other)

    def test_the_bits_are_those_of_the_result(self) -> None:
        np.testing.assert_array_equal(liquidated(path_tree(self.ONE, ["a", "b"])), self.ONE == 1)

    def test_accounts(self) -> None:
        """a: lost path 0, gained 2 and 3; b: gained 7; c is new and not compared."""
        found = self.found()
        assert found.accounts.compared == 2
        rows = {row.account: row for row in found.accounts.most}
        assert rows["a"].change.estimate == (2 - 1) / 8
        assert rows["b"].change.estimate == 1 / 8
        assert (rows["b"].one.estimate, rows["b"].other.estimate) == (2 / 8, 3 / 8)
        each = shared(0.95, 2)
        _, by_hand = paired_probability(np.array(1), np.array(2), 8, each, exact=True)
        assert (rows["a"].change.lower, rows["a"].change.upper) == tuple(by_hand)
        assert {row.verdict for row in rows.values()} == {"no difference can be told"}

    def test_groups(self) -> None:
        """The group h gains an account: its share falls on paths 1 and 2, and rises on 7."""
        found = {(group.name, group.label): group for group in self.found().groups}
        share = found["liquidation_probability", "h"]
        assert share.change.estimate == pytest.approx((-0.5 - 0.5 + 0.5) / 8)
        assert share.verdict == "too few paths differ"
        assert np.isnan(share.change.lower)
        some = found["any_liquidation_probability", "h"]
        assert some.change.estimate == pytest.approx(1 / 8)
        assert some.change.lower < 0 < some.change.upper

    def test_the_book(self) -> None:
        found = self.found()
        mean = of(found, "liquidation_probability")
        assert mean.change.estimate == pytest.approx(6 / 24 - 4 / 16)
        some = of(found, "any_liquidation_probability")
        assert some.change.estimate == pytest.approx(4 / 8 - 3 / 8)
        tally = found.book.accounts
        assert (tally.one, tally.other, tally.added, tally.removed) == (2, 3, 1, 0)
        assert [row.label for row in found.book.rows if row.what == "added"] == ["c", "c/ONE"]


class TestKnownTruth:
    def test_one_account_has_less_cash(self) -> None:
        """Its difference is known in closed form; nobody else's path differs."""
        changed = {**BARRIERS, "account-05": 0.6}
        one = barrier_tree(BARRIERS, seed=3, paths=4_000, limits={LIMIT: 0.5})
        other = barrier_tree(changed, seed=3, paths=4_000, limits={LIMIT: 0.5})
        found = compare(one, other)
        assert (found.pairing.how, found.pairing.shared) == ("paired", "prices")
        assert [change.key for change in found.changes] == ["book.accounts"]
        truth = float(hit_probability(0.6) - hit_probability(0.8))
        (row,) = found.accounts.most
        assert row.account == "account-05"
        assert row.change.lower < truth < row.change.upper
        assert (row.verdict, row.crossed, row.settled) == ("up", "over", True)
        assert (found.accounts.up, found.accounts.over, found.accounts.under) == (1, 1, 0)
        mean = of(found, "liquidation_probability")
        assert mean.change.lower < truth / 20 < mean.change.upper
        assert mean.verdict == "up"
        assert mean.narrower > 10
        loss = of(found, "expected_total_loss")
        assert loss.change.lower < 1_000 * truth < loss.change.upper

    def test_two_seeds_are_held_apart(self) -> None:
        """The same change under two seeds: wider intervals, and the truth in them."""
        changed = {**BARRIERS, "account-05": 0.6}
        one = barrier_tree(BARRIERS, seed=3, paths=4_000)
        paired = compare(one, barrier_tree(changed, seed=3, paths=4_000))
        apart = compare(one, barrier_tree(changed, seed=4, paths=4_000))
        assert apart.pairing.how == "independent"
        assert apart.pairing.because == ("the seed is 3 in one and 4 in the other",)
        truth = float(hit_probability(0.6) - hit_probability(0.8))
        wide, narrow = (
            next(row for row in found.accounts.most if row.account == "account-05").change
            for found in (apart, paired)
        )
        assert wide.lower < truth < wide.upper
        assert narrow.upper - narrow.lower < 0.7 * (wide.upper - wide.lower)
        assert np.isnan(of(apart, "expected_total_loss").narrower)

    def test_newcombe_s_interval_is_that_of_two_seeds(self) -> None:
        """56 of 70 against 48 of 80 (Newcombe 1998, table II): 0.0524 to 0.3339."""
        one = path_tree(np.arange(80)[None] < 48, ["a"], seed=1)
        other = path_tree(np.arange(70)[None] < 56, ["a"], seed=2)
        some = of(compare(one, other), "any_liquidation_probability")
        np.testing.assert_allclose(bounds(some), [0.0524, 0.3339], atol=5.1e-5)

    @pytest.mark.parametrize("first", [0, 10_000], ids=["paired", "independent"])
    @pytest.mark.parametrize("paths", [(400, 400), (400, 1_500)], ids=["alike", "partly common"])
    @pytest.mark.parametrize(
        ("pairs", "least"), [(30, 0.83), pytest.param(600, 0.92, marks=pytest.mark.slow)]
    )
    def test_intervals_cover_the_truth(
        self, first: int, paths: tuple[int, int], pairs: int, least: float
    ) -> None:
        """At 95 %; ``least`` is three standard errors of so many pairs of runs below."""
        few = {name: BARRIERS[name] for name in list(BARRIERS)[:4]}
        worse = {**few, "account-01": 0.25, "account-02": 0.35}
        rise = hit_probability(list(worse.values())) - hit_probability(list(few.values()))
        truth = {"liquidation_probability": rise.mean(), "expected_total_loss": 1_000 * rise.sum()}
        held = np.zeros(2)
        for number in range(pairs):
            one = barrier_tree(few, seed=number, paths=paths[0])
            other = barrier_tree(worse, seed=first + number, paths=paths[1])
            found = book_differences(one, other, pairing_of(one, other))
            changes = {of.name: of.change for of in found}
            held += [changes[name].lower <= t <= changes[name].upper for name, t in truth.items()]
        assert (held / pairs > least).all(), held / pairs


class TestWhatIsMissing:
    def test_without_bits_any_correlation_is_allowed_for(self) -> None:
        """Same paths, but nobody says who was liquidated on which: margins add up."""
        changed = {**BARRIERS, "account-05": 0.6}
        trees = [barrier_tree(b, seed=3, paths=1_000, bits=False) for b in (BARRIERS, changed)]
        found = compare(*trees)
        row = next(row for row in found.accounts.most if row.account == "account-05")
        seeds = compare(trees[0], barrier_tree(changed, seed=4, paths=1_000, bits=False))
        apart = next(row for row in seeds.accounts.most if row.account == "account-05")
        assert np.ptp([row.change.lower, row.change.upper]) > 1.3 * np.ptp(
            [apart.change.lower, apart.change.upper]
        )
        assert any("allow for any correlation" in notice for notice in found.notices)

    def test_without_paths_any_correlation_is_allowed_for(self) -> None:
        """One seed, and only estimates to go by: 1.4 times as wide as of two seeds."""
        pair = [barrier_tree({"a": barrier}, seed=3, paths=1_000) for barrier in (0.8, 0.6)]
        apart = of(compare(pair[0], with_attributes(pair[1], seed=4)), "expected_total_loss")
        for tree in pair:
            del tree["paths"], tree["liquidations"]
        found = compare(*pair)
        assert (found.pairing.how, found.pairing.paths) == ("either", 0)
        wide = of(found, "expected_total_loss")
        assert np.ptp(bounds(wide)) == pytest.approx(2**0.5 * np.ptp(bounds(apart)), rel=0.01)

    def test_two_confidences(self) -> None:
        """An interval at 99 % holds at 95 % too: the lower one is what differences are given at."""
        one = barrier_tree(BARRIERS, seed=1, paths=300, confidence=0.99)
        other = barrier_tree(BARRIERS, seed=2, paths=300)
        found = compare(one, other)
        assert found.pairing.confidence == 0.95
        assert any("at 0.99 and 0.95" in notice for notice in found.notices)

    def test_paths_that_overlap_count_for_less(self) -> None:
        """Windows of a history with a design effect of 4: every interval is twice as wide."""
        pair = [
            barrier_tree({**BARRIERS, "account-05": barrier}, seed=3, paths=4_000)
            for barrier in (0.8, 0.6)
        ]
        plain = of(compare(*pair), "expected_total_loss")
        wide = of(compare(pair[0], with_attributes(pair[1], design_effect=4.0)), plain.name)
        assert np.ptp(bounds(wide)) == pytest.approx(2 * np.ptp(bounds(plain)), rel=0.01)

    def test_no_account_in_common(self) -> None:
        hit = np.eye(2, 60)
        found = compare(path_tree(hit, ["a", "b"]), path_tree(hit, ["c", "d"]))
        assert found.accounts.compared == 0
        assert found.accounts.most == ()
        assert of(found, "expected_total_loss").change.estimate == 0

    @pytest.mark.parametrize("group", ["accounts", "groups", "positions", "assets", "paths"])
    def test_a_result_without_a_group(self, group: str) -> None:
        """What is missing is left out, and the rest is compared."""
        trees = [barrier_tree(BARRIERS, seed=seed, paths=50) for seed in (1, 2)]
        for tree in trees:
            del tree[group]
        found = compare(*trees)
        assert from_json(to_json(found)).form == found.form
        assert of(found, "liquidation_probability").change.lower < 0

    @pytest.mark.parametrize(
        ("attributes", "rule"),
        [({"schema_version": "2"}, "has the form 2"), ({"schema_version": ""}, "has the form")],
    )
    def test_another_form_is_refused(self, attributes: dict[str, str], rule: str) -> None:
        tree = barrier_tree(BARRIERS, seed=1, paths=10)
        with pytest.raises(InputError, match=rule):
            compare(tree, with_attributes(tree, **attributes))

    def test_what_is_no_result_is_refused(self) -> None:
        with pytest.raises(InputError, match="is no result of a run"):
            compare(xr.DataTree(), barrier_tree(BARRIERS, seed=1, paths=10))


class TestForm:
    def test_read_again(self) -> None:
        one = barrier_tree(BARRIERS, seed=3, paths=300, limits={LIMIT: 0.5})
        other = barrier_tree({**BARRIERS, "account-05": 0.6}, seed=3, paths=300)
        found = compare(one, other, folders=("../a", "."))
        text = to_json(found)
        assert "NaN" not in text
        assert to_json(from_json(text)) == text
        assert from_json(text).accounts.most[0].change == found.accounts.most[0].change

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{",
            '{"form": "0"}',
            '{"form": "1"}',
            "\x00",
            '{"form": "1", "one": 3}',
            "[" * 5_000,
        ],
    )
    def test_what_is_no_comparison_is_refused(self, text: str) -> None:
        with pytest.raises(InputError, match="is no comparison"):
            from_json(text)

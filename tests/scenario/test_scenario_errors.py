"""Every input error: its exit code, and one line with file, key and remedy."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import pytest

from stress.cli import main


class Error(NamedTuple):
    """A change to the valid scenario and what the message must contain."""

    name: str
    change: Callable[[Any], Any]
    file: str
    key: str
    words: str
    remedy: str
    code: int = 2


def put(key: str, value: object) -> Callable[[Any], Any]:
    # a later change must not reach into the table of another row
    return lambda case: case.set(key, deepcopy(value))


def drop(key: str) -> Callable[[Any], Any]:
    return lambda case: case.drop(key)


def table(name: str, content: str | bytes | None) -> Callable[[Any], Any]:
    return lambda case: case.files.update({f"{name}.csv": content})


def text(content: str | bytes) -> Callable[[Any], Any]:
    return lambda case: setattr(case, "text", content)


def calibration(old: str, new: str) -> Callable[[Any], Any]:
    def change(case: Any) -> None:
        case.use_calibration()
        case.files["calibration.toml"] = case.files["calibration.toml"].replace(old, new)

    return change


def both(*changes: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda case: [change(case) for change in changes]


def scenario(name: str, change: Callable[[Any], Any], key: str, words: str, remedy: str) -> Error:
    return Error(name, change, "scenario.toml", key, words, remedy)


def cell(name: str, content: str, place: str, words: str, remedy: str) -> Error:
    """An error of a table; ``name`` is "accounts: something"."""
    file = name.partition(":")[0]
    return Error(name, table(file, content), f"{file}.csv", place, words, remedy)


POSITIONS = "account,asset,quantity,entry_price,margin,leverage,position\n"

SCHEMA = [
    scenario("no name", drop("name"), "name", "is missing", "two-books"),
    scenario("folder name", put("name", "a/b"), "name", '"a/b"', "use at most"),
    scenario("no market", drop("market"), "market", "is missing", "add it: the price model"),
    scenario("market no table", put("market", 5), "market", "must be a table, got 5", "give: "),
    scenario("no assets", drop("market.assets"), "market.assets", "is missing", '["BTC"]'),
    scenario(
        "assets empty", put("market.assets", []), "market.assets", "not be empty", "each once"
    ),
    scenario(
        "assets twice", put("market.assets", ["BTC", "BTC"]), "market.assets", '"BTC"', "once"
    ),
    scenario(
        "asset default", put("market.assets", ["default"]), "market.assets", "default", "another"
    ),
    scenario("no accounts", drop("book.accounts"), "book.accounts", "is missing", "accounts.csv"),
    scenario("path number", put("book.accounts", 5), "book.accounts", "path", "got 5; give: "),
    scenario(
        "path empty", put("book.accounts", ""), "book.accounts", "name a file", "give the path"
    ),
    scenario(
        "misspelt key", put("simulation.pahts", 5), "simulation.pahts", "unknown", 'mean "paths"?'
    ),
    scenario("misspelt table", put("venu", {}), "venu", "unknown key", 'did you mean "venue"?'),
    scenario(
        "misspelt tier key",
        put("venue.tiers.BTC", [{"flor": 0, "rate": 0.1}]),
        "venue.tiers.BTC[0].flor",
        "unknown key",
        'did you mean "floor"? (1 more error after this one)',
    ),
    scenario("paths zero", put("simulation.paths", 0), "simulation.paths", "got 0", "number of"),
    scenario("paths many", put("simulation.paths", 2**32), "simulation.paths", "most", "number of"),
    scenario("paths half", put("simulation.paths", 1.5), "simulation.paths", "whole", "got 1.5"),
    scenario("paths text", put("simulation.paths", "9"), "simulation.paths", "whole", 'got "9"'),
    scenario("seed", put("simulation.seed", -1), "simulation.seed", "at least 0", "got -1"),
    scenario("bare m", put("simulation.step", "5m"), "simulation.step", '"m" could', '"5min"'),
    scenario("number step", put("simulation.step", 5), "simulation.step", "in quotes", "such as"),
    scenario("zero step", put("simulation.step", "0s"), "simulation.step", "zero", '"30s"'),
    scenario("no duration", put("simulation.step", "soon"), "simulation.step", "soon", '"30s"'),
    scenario(
        "step does not divide",
        put("simulation.step", "7min"),
        "simulation.step",
        "205.714 steps",
        'horizon of "86520s"',
    ),
    scenario("steps", put("simulation.step", "0.001s"), "simulation.step", "10,000,000", "length"),
    scenario("precision", put("simulation.precision", "f4"), "simulation.precision", "f4", "give"),
    scenario("monitor", put("simulation.monitoring", "x"), "simulation.monitoring", '"x"', "give"),
    scenario(
        "confidence", put("simulation.confidence", 1.0), "simulation.confidence", "below", "g"
    ),
    scenario("levels", put("simulation.levels", [0.9, 0.9]), "simulation.levels", "0.9", "sort"),
    scenario("level", put("simulation.levels", [0.5, 2]), "simulation.levels[1]", "2", "give: "),
    scenario("detail", put("simulation.detail", 1), "simulation.detail", "true or false", "got 1"),
    scenario("as_of", put("market.as_of", "today"), "market.as_of", "today", "2026-11-20"),
    scenario("mode", put("book.mode", "corss"), "book.mode", '"corss"', '"cross" or "isolated"'),
    scenario("fee", put("venue.fee", 1.0), "venue.fee", "below 1, got 1.0", "give: liquidation"),
    scenario("warning", put("venue.warning", 0), "venue.warning", "above 0, got 0", "give: margin"),
    scenario("haircut", put("venue.haircut.BTC", 1), "venue.haircut.BTC", "below 1", "give: "),
    scenario("trigger", put("venue.trigger", "level"), "venue.trigger", '"level"', "margin_level"),
    scenario("trigger 5", put("venue.trigger", 5), "venue.trigger", "got 5", "margin_level = 0.15"),
    scenario(
        "trigger level",
        put("venue.trigger", {"margin_level": -1}),
        "venue.trigger.margin_level",
        "above 0, got -1",
        "give: ",
    ),
    scenario("amount", put("venue.amount", "most"), "venue.amount", '"most"', '"all"'),
    scenario(
        "limit",
        put("limits.max_account_liquidation_probability", 2),
        "limits.max_account_liquidation_probability",
        "at most 1, got 2",
        "0 to 1",
    ),
    scenario("hash", put("inputs", {"accounts.csv": "0"}), "inputs.accounts.csv", "64", "give: "),
]

TIERS = [
    scenario(
        f"tiers {name}",
        put("venue.tiers.BTC", [{"floor": floor, "rate": rate} for floor, rate in rows]),
        f"venue.tiers.BTC{inner}",
        words,
        remedy,
    )
    for name, rows, inner, words, remedy in [
        ("empty", [], "", "not be empty", "give: "),
        ("first floor", [(5, 0.1)], "", "floor 0, got 5", "in front"),
        ("not ascending", [(0, 0.1), (9, 0.2), (9, 0.3)], "", "got 9 after 9", "sort"),
        ("not convex", [(0, 0.2), (9, 0.1)], "", "0.1 at floor 9", "at least 0.2"),
        ("rate negative", [(0, -0.1)], "[0].rate", "got -0.1", "at least 0 and below 1"),
        ("rate one", [(0, 1.0)], "[0].rate", "below 1", "give: "),
        ("rate above warning", [(0, 0.9)], "", "0.9 must be below", "raise venue.warning"),
    ]
]

MARKET = [
    scenario("price", put("market.price.BTC", -1), "market.price.BTC", "above 0, got -1", "give"),
    scenario("price inf", put("market.price.BTC", float("inf")), "market.price.BTC", "fin", "give"),
    scenario("volatility", put("market.volatility.ETH", 0), "market.volatility.ETH", "got 0", "gi"),
    scenario(
        "drift nan", put("market.drift.ETH", float("nan")), "market.drift.ETH", "fini", "give"
    ),
    scenario("no price", drop("market.price.ETH"), "market.price", "no price of ETH", "add ETH"),
    scenario(
        "no volatility", drop("market.volatility"), "market.volatility", "BTC, ETH", "add BTC"
    ),
    scenario("no correlation", drop("market.correlation"), "market.correlation", "missing", "give"),
    scenario("unknown price", put("market.price.btc", 5), "market.price.btc", "unk", 'mean "BTC"?'),
    scenario(
        "unknown vol", put("market.volatility.X", 5), "market.volatility.X", "unk", "known: B"
    ),
    scenario("unknown drift", put("market.drift.ETC", 0), "market.drift.ETC", "unk", 'n "ETH"?'),
    scenario("unknown cut", put("venue.haircut.BCT", 0.1), "venue.haircut.BCT", "unk", "you mean"),
    scenario(
        "unknown tiers",
        put("venue.tiers.defaults", [{"floor": 0, "rate": 0.1}]),
        "venue.tiers.defaults",
        "unknown asset",
        "known: BTC, ETH",
    ),
] + [
    scenario(
        f"correlation {name}",
        both(
            put("market.assets", ["BTC", "ETH", "SOL"]),
            put("market.price.SOL", 100),
            put("market.volatility.SOL", 0.9),
            put("market.correlation", rows),
        ),
        f"market.correlation{inner}",
        words,
        remedy,
    )
    for name, rows, inner, words, remedy in [
        ("short", [[1.0]], "", "3 x 3, got 1 rows", "one row and one column"),
        ("ragged", [[1, 0, 0], [0, 1], [0, 0, 1]], "", "one of them 2 long", "one row"),
        ("diagonal", [[1, 0, 0], [0, 0.9, 0], [0, 0, 1]], "[1][1]", "got 0.9", "set it to 1.0"),
        ("range", [[1, 0, 2], [0, 1, 0], [2, 0, 1]], "[0][2]", "got 2 for BTC and SOL", "correct"),
        ("lopsided", [[1, 0.1, 0], [0.2, 1, 0], [0, 0, 1]], "[0][1]", "0.2 for ETH", "equal"),
        ("text", [["1", 0, 0], [0, 1, 0], [0, 0, 1]], "[0][0]", 'number, got "1"', "give: "),
        (
            "not semi-definite",
            [[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]],
            "",
            "least eigenvalue is -0.8",
            "multiply the off-diagonal entries by at most 0.5555",
        ),
    ]
]

RELATIONS = [
    scenario(
        "compare itself", put("book.compare", ["as-booked"]), "book.compare", "as-b", "remove"
    ),
    scenario("compare twice", put("book.compare", ["cross"] * 2), "book.compare", "twice", "once"),
    scenario(
        "level above warning",
        put("venue.trigger", {"margin_level": 0.9}),
        "margin_level",
        "0.9",
        "raise",
    ),
    scenario(
        "limit of no group",
        put("limits.max_group_any_liquidation_probability", {"hegded": 0.2}),
        "limits.max_group_any_liquidation_probability.hegded",
        "group",
        'did you mean "hedged"?',
    ),
    scenario("no tiers", drop("venue.tiers.default"), "venue.tiers", "no tiers for ETH", "add ETH"),
    scenario("no venue", drop("venue"), "venue.tiers", "no tiers for BTC, ETH", "default"),
]

BOTH = {"BTC": 1e9, "ETH": 1e9}
BRIDGE = put("simulation.monitoring", "bridge")
SHARDED = put("venue.decision", {"kind": "sharded", "shards": {"BTC": 0, "ETH": 1}})


def bridge(name: str, change: Callable[[Any], Any], key: str, words: str) -> Error:
    """What a bridge cannot follow, the rest being what it can."""
    changes = both(BRIDGE, put("venue.amount", "all"), change)
    return scenario(f"bridge {name}", changes, key, words, 'use monitoring = "step"')


VENUE = [
    scenario("order", put("venue.order", "oldest"), "venue.order", '"oldest"', '"pro-rata"'),
    scenario("fee below 0", put("venue.fee", -0.1), "venue.fee", "at least 0, got -0.1", "share"),
    scenario("share 0", put("venue.step_fraction", 0), "venue.step_fraction", "above 0", "give: "),
    scenario("share", put("venue.step_fraction", 1.1), "venue.step_fraction", "at most 1", "give"),
    scenario("buffer", put("venue.buffer", -0.01), "venue.buffer", "got -0.01", "at least 0"),
    scenario(
        "rounds 0", put("venue.rounds_per_step", 0), "venue.rounds_per_step", "got 0", "most rounds"
    ),
    scenario(
        "rounds", put("venue.rounds_per_step", 10_001), "venue.rounds_per_step", "10000", "most ro"
    ),
    scenario("fund", put("venue.fund.balance", -1), "venue.fund.balance", "at least 0", "USD"),
    scenario(
        "delever", put("venue.deleveraging.kind", "adl"), "venue.deleveraging.kind", '"adl"', "give"
    ),
    *[
        scenario(f"pro-rata {amount}", changes, "venue.amount", f'"{amount}" closes', "or another")
        for amount in ("tier", "position")
        for changes in [both(put("venue.order", "pro-rata"), put("venue.amount", amount))]
    ],
]

IMPACT = (
    [
        scenario(
            f"impact {name}",
            put(f"venue.impact.{key}", value),
            f"venue.impact.{key}",
            words,
            remedy,
        )
        for name, key, value, words, remedy in [
            ("kind", "kind", "cubic", '"cubic"', '"square-root"'),
            ("coefficient", "coefficient", 0, "above 0, got 0", "give: Y"),
            ("adv", "adv.BTC", 0, "above 0, got 0", "USD a day"),
            ("depth", "depth_1pct.ETH", -1, "above 0, got -1", "give: USD"),
            ("permanent low", "permanent", -0.1, "at least 0, got -0.1", "0 to 1"),
            ("permanent high", "permanent", 1.1, "at most 1, got 1.1", "0 to 1"),
            ("relaxation", "relaxation", "0s", "longer than zero", '"30s"'),
            ("elasticity", "depth_elasticity", -1, "at least 0, got -1", "give: power"),
            ("adv asset", "adv.BCT", 1, "unknown asset", 'did you mean "BTC"?'),
            ("depth asset", "depth_1pct.X", 1, "unknown asset", "known: BTC, ETH"),
        ]
    ]
    + [
        scenario(
            f"{kind} without {key}",
            put("venue.impact", {"kind": kind, key: {"ETH": 1e9}, other: BOTH}),
            f"venue.impact.{key}",
            f'no {key} of BTC, held in the book, for impact "{kind}"',
            f"add BTC to venue.impact.{key}",
        )
        for kind, key, other in [
            ("linear", "depth_1pct", "adv"),
            ("square-root", "adv", "depth_1pct"),
        ]
    ]
    + [
        # bob's position is in ETH, alice has coins of BTC and no position
        scenario(
            "square-root without adv of coins",
            both(
                put("venue.impact", {"kind": "square-root", "adv": {"ETH": 1e9}}),
                table("positions", "account,asset,quantity,entry_price\nbob,ETH,1,2500\n"),
            ),
            "venue.impact.adv",
            "no adv of BTC",
            "add BTC",
        ),
    ]
)

FUNDING = [
    scenario(
        "funding without rate",
        put("venue.funding", {"interval": "8h"}),
        "venue.funding.rate",
        "is missing",
        "longs pay positive",
    ),
    scenario(
        "funding asset",
        put("venue.funding", {"rate": {"BCT": 1e-4}}),
        "venue.funding.rate.BCT",
        "unknown asset",
        'did you mean "BTC"?',
    ),
    scenario(
        "funding interval",
        put("venue.funding", {"rate": {"BTC": 1e-4}, "interval": "7min"}),
        "venue.funding.interval",
        '"7min" must be a whole number of steps of "5min", which is 1.4 steps',
        "change venue.funding.interval",
    ),
    scenario(
        "funding interval below a step",
        # nothing is paid, but the interval is none all the same
        put("venue.funding", {"rate": {}, "interval": "1min"}),
        "venue.funding.interval",
        "0.2 steps",
        "or simulation.step",
    ),
    scenario(
        "funding rate",
        put("venue.funding.rate.BTC", float("nan")),
        "venue.funding.rate.BTC",
        "finite",
        "give: ",
    ),
]

DECISION = [
    scenario(
        "decision", put("venue.decision.kind", "x"), "venue.decision.kind", '"x"', '"sharded"'
    ),
    scenario("latency", put("venue.decision.latency", -1), "venue.decision.latency", "-1", "give"),
    scenario(
        "latency long",
        put("venue.decision.latency", 289),
        "venue.decision.latency",
        "must not be longer than the run, 288 steps, got 289",
        "lengthen simulation.horizon",
    ),
    scenario(
        "lag long",
        both(SHARDED, put("venue.decision.lag", 289)),
        "venue.decision.lag",
        "288 steps, got 289",
        "shorten it",
    ),
    scenario(
        "lag of a leader",
        put("venue.decision.lag", 1),
        "venue.decision.lag",
        'has no effect with kind "leader", got 1',
        'kind = "sharded", or remove the key',
    ),
    scenario(
        "shards of a leader",
        put("venue.decision.shards", {"BTC": 0}),
        "venue.decision.shards",
        'has no effect with kind "leader", got a table',
        'kind = "sharded"',
    ),
    scenario(
        "latency of shards",
        both(SHARDED, put("venue.decision.latency", 1)),
        "venue.decision.latency",
        'has no effect with kind "sharded", got 1',
        'kind = "leader"',
    ),
    scenario(
        "shards missing",
        both(SHARDED, drop("venue.decision.shards.ETH")),
        "venue.decision.shards",
        "no shard of ETH",
        "add ETH = 0",
    ),
    scenario(
        "shards unknown",
        put("venue.decision.shards.XRP", 0),
        "venue.decision.shards.XRP",
        "unknown asset",
        "known: BTC, ETH",
    ),
    scenario(
        "shard half",
        both(SHARDED, put("venue.decision.shards.ETH", 0.5)),
        "venue.decision.shards.ETH",
        "whole number, got 0.5",
        "give: number of the shard",
    ),
]

GIVEN = [
    scenario(
        "given without file", put("market.model", "given"), "market.file", "is missing", "netCDF"
    ),
    scenario(
        "file without given",
        # said before the file is looked for
        put("market.file", "absent.nc"),
        "market.file",
        'read by model "gbm"',
        'set market.model = "given"',
    ),
    Error(
        "no given file",
        both(put("market.model", "given"), put("market.file", "absent.nc")),
        "scenario.toml",
        "market.file",
        "absent.nc does not exist",
        "check the path",
        5,
    ),
    scenario(
        "given without price",
        both(
            put("market.model", "given"), put("market.file", "accounts.csv"), drop("market.price")
        ),
        "market.price",
        "no price of BTC, ETH",
        "add BTC",
    ),
    bridge(
        "given",
        both(put("market.model", "given"), put("market.file", "accounts.csv")),
        "simulation.monitoring",
        'model "given" has no variance inside a step',
    ),
]

BRIDGES = [
    scenario(
        "bridge by default",
        BRIDGE,
        "venue.amount",
        'amount = "restore" (the default) needs prices at the steps, not monitoring = "bridge"',
        'use monitoring = "step", or amount = "all"',
    ),
    bridge("amount", put("venue.amount", "step"), "venue.amount", 'amount = "step" needs'),
    bridge(
        "impact",
        put("venue.impact", {"kind": "linear", "depth_1pct": BOTH}),
        "venue.impact.kind",
        'impact "linear" needs',
    ),
    bridge("funding", put("venue.funding.rate.BTC", 1e-4), "venue.funding", "funding needs"),
    bridge(
        "deleveraging",
        put("venue.deleveraging.kind", "socialised"),
        "venue.deleveraging.kind",
        'deleveraging "socialised" needs',
    ),
    bridge("shards", SHARDED, "venue.decision.kind", 'decision "sharded" needs'),
    bridge(
        "latency", put("venue.decision.latency", 1), "venue.decision.latency", "a latency of 1 n"
    ),
    bridge(
        "stop",
        table("positions", "account,asset,quantity,entry_price,stop_price\nbob,ETH,1,2500,9\n"),
        "book.positions",
        "a stop_price needs",
    ),
    bridge(
        "top-up",
        table(
            "accounts",
            "account,cash,group,reserve,top_up_trigger,top_up_target\n"
            "alice,1000,hedged,,,\nbob,500,directional,1,0.8,0.5\n",
        ),
        "book.accounts",
        "a top_up_trigger with a reserve needs",
    ),
]

FILES = [
    Error(
        "no accounts file",
        table("accounts", None),
        "scenario.toml",
        "book.accounts",
        "accounts.csv does not exist",
        "check the path",
        5,
    ),
    Error(
        "no positions file",
        table("positions", None),
        "scenario.toml",
        "book.positions",
        "does not exist",
        "check the path",
        5,
    ),
    Error(
        "no collateral file",
        table("collateral", None),
        "scenario.toml",
        "book.collateral",
        "does not exist",
        "check the path",
        5,
    ),
    Error(
        "no calibration file",
        put("market.calibration", "c.toml"),
        "scenario.toml",
        "market.calibration",
        "c.toml does not exist",
        "check the path",
        5,
    ),
    scenario(
        "folder for a file",
        put("book.accounts", "."),
        "book.accounts",
        "is not a file",
        "name a file",
    ),
    scenario(
        "not TOML",
        text("name = \n"),
        "scenario.toml",
        "is not TOML: Invalid value (at line 1",
        "correct the syntax",
    ),
    scenario(
        "TOML twice",
        text('name = "a"\nname = "b"\n'),
        "scenario.toml",
        "line 2",
        "correct the syntax",
    ),
    scenario(
        "UTF-16 scenario", text("name = 1".encode("utf-16")), "scenario.toml", "UTF-8", "save it"
    ),
    scenario("digits", text("name = " + "9" * 5000), "scenario.toml", "not TOML", "correct"),
    scenario("empty scenario", text(""), "name", "is missing", "2 more errors after"),
    Error(
        "calibration syntax",
        calibration("assets", "assets ="),
        "calibration.toml",
        "",
        "is not TOML",
        "correct",
    ),
    Error(
        "calibration key",
        calibration("volatility", "volatilty"),
        "calibration.toml",
        "volatilty",
        "unknown key",
        'mean "volatility"?',
    ),
    Error(
        "calibration asset",
        calibration("price = { ETH", "price = { EHT"),
        "calibration.toml",
        "price.EHT",
        "unknown asset",
        'mean "ETH"?',
    ),
    Error(
        "calibration correlation",
        calibration("[1.0, 0.4, 0.8]", "[1.0, 0.4]"),
        "calibration.toml",
        "correlation",
        "must be 3 x 3",
        "give one row",
    ),
    Error(
        "calibration value",
        calibration("0.7", "0.0"),
        "calibration.toml",
        "volatility.ETH",
        "above 0",
        "give: ",
    ),
    scenario(
        "calibration lacks an asset",
        both(calibration("x", "x"), put("market.assets", ["BTC", "ETH", "XRP"])),
        "market.calibration",
        "no correlation of XRP",
        "leave the asset out",
    ),
    scenario(
        "input changed",
        put("inputs", {"accounts.csv": "0" * 64}),
        "inputs",
        "has changed",
        "remove the [inputs] table",
    ),
    scenario(
        "input unknown",
        put("inputs", {"other.csv": "0" * 64}),
        'inputs."other.csv"',
        "no such",
        "remove the line",
    ),
]

CELLS = [
    cell(
        "accounts: duplicate",
        "account,cash\na,1\nb,1\na,1\n",
        "row 3 (line 4), column account",
        '"a" stands in row 1',
        "of its own",
    ),
    cell(
        "accounts: label",
        "account,cash\n,1\n",
        "row 1 (line 2), column account",
        "empty",
        "give the account",
    ),
    cell(
        "accounts: cash NaN",
        "account,cash\n\nalice,NaN\n",
        "row 1 (line 3), column cash",
        'finite, got "NaN"',
        "give a finite number",
    ),
    cell(
        "accounts: cash inf",
        "account,cash\nalice,inf\n",
        "row 1 (line 2), column cash",
        'finite, got "inf"',
        "give a finite",
    ),
    cell(
        "accounts: cash text",
        'account,cash\nalice,"1,000"\n',
        "row 1 (line 2), column cash",
        '"1,000"',
        "plain number",
    ),
    cell(
        "accounts: cash empty",
        "account,cash\nalice,\n",
        "row 1 (line 2), column cash",
        "empty",
        "give a number",
    ),
    cell(
        "accounts: debt",
        "account,cash\nalice,1\nbob,-5\n",
        "row 2 (line 3), column cash",
        "got -5",
        "or add the position",
    ),
    *[
        cell(
            f"accounts: {name}",
            f"account,cash,reserve,top_up_trigger,top_up_target\nalice,1,,,\nbob,2,{cells}\n",
            f"row 2 (line 3), column {column}",
            words,
            remedy,
        )
        for name, cells, column, words, remedy in [
            ("reserve", "-5,,", "reserve", "must not be negative, got -5", "leave the cell empty"),
            ("no target", "5,0.8,", "top_up_target", "empty, but top_up_trigger is 0.8", "neither"),
            ("no trigger", "5,,0.8", "top_up_trigger", "but top_up_target is 0.8", "give both"),
            ("trigger", "5,0,-1", "top_up_trigger", "above 0, got 0", "such as 0.8"),
            ("target", "5,0.8,0", "top_up_target", "above 0, got 0", "such as 0.5"),
            ("target high", "5,0.8,0.8", "top_up_target", "below top_up_trigger, got 0.8", "lower"),
        ]
    ],
    cell(
        "accounts: column",
        "acount,cash\nalice,1\n",
        "header",
        'unknown column "acount"',
        'did you mean "account"?',
    ),
    cell("accounts: no cash", "account\nalice\n", "header", 'column "cash" is missing', "add it"),
    cell("accounts: column twice", "account,cash,cash\na,1,1\n", "header", "twice", "keep one"),
    cell("accounts: no rows", "account,cash\n", "", "no rows", "give at least one row"),
    cell("accounts: empty", "", "", "the file is empty", "give a header row"),
    cell(
        "accounts: ragged",
        "account,cash\nalice,1\nbob\n",
        "row 2 (line 3)",
        "1 cells, the header 2",
        "as many cells",
    ),
    cell(
        "accounts: semicolons",
        "account;cash\nalice;1\n",
        "",
        "not separated by commas",
        "with commas",
    ),
    cell(
        "positions: unknown account",
        POSITIONS + "alice,BTC,1,1,,,\nalcie,BTC,1,1,,,\n",
        "row 2 (line 3), column account",
        '"alcie"',
        'did you mean "alice"?',
    ),
    cell(
        "positions: unknown asset",
        POSITIONS + "alice,btc,1,1,,,\n",
        "row 1 (line 2), column asset",
        '"btc"',
        'did you mean "BTC"?',
    ),
    cell(
        "positions: no size",
        POSITIONS + "alice,BTC,0,1,,,\n",
        "column quantity",
        "must not be 0",
        "remove the row",
    ),
    cell(
        "positions: size NaN",
        POSITIONS + "alice,BTC,nan,1,,,\n",
        "row 1 (line 2), column quantity",
        "finite",
        "give a finite",
    ),
    cell(
        "positions: entry",
        POSITIONS + "alice,BTC,1,-7,,,\n",
        "column entry_price",
        "above 0, got -7",
        "price per unit",
    ),
    cell(
        "positions: margin",
        POSITIONS + "alice,BTC,1,1,-2,,\n",
        "column margin",
        "got -2",
        "leave the cell empty",
    ),
    cell(
        "positions: margin NaN",
        POSITIONS + "alice,BTC,1,1,nan,,\n",
        "column margin",
        "finite",
        "leave the cell empty",
    ),
    cell(
        "positions: leverage",
        POSITIONS + "alice,BTC,1,1,,0,\n",
        "column leverage",
        "got 0",
        "leave the cell empty",
    ),
    cell(
        "positions: label twice",
        POSITIONS + "alice,BTC,1,1,,,p\nbob,BTC,1,1,,,p\n",
        "row 2 (line 3), column position",
        '"p" stands in row 1',
        "of its own",
    ),
    cell(
        "positions: stop",
        "account,asset,quantity,entry_price,stop_price\nalice,BTC,1,1,0\n",
        "column stop_price",
        "above 0, got 0",
        "leave the cell empty",
    ),
    cell(
        "collateral: nothing",
        "account,asset,quantity\nalice,BTC,0\n",
        "column quantity",
        "above 0, got 0",
        "remove the row",
    ),
    cell(
        "collateral: twice",
        "account,asset,quantity\nalice,BTC,1\nalice,BTC,1\n",
        "row 2 (line 3), column asset",
        "BTC above already",
        "in one row",
    ),
    cell(
        "collateral: account",
        "account,asset,quantity\nx,BTC,1\n",
        "column account",
        '"x"',
        "known: alice, bob",
    ),
    Error(
        "UTF-16 table",
        table("accounts", "account,cash\na,1\n".encode("utf-16")),
        "accounts.csv",
        "",
        "UTF-16",
        "UTF-8 encoding",
    ),
    Error(
        "NUL in a table",
        table("accounts", b"account,cash\na\0,1\n"),
        "accounts.csv",
        "",
        "binary",
        "UTF-8 encoding",
    ),
    Error(
        "Latin-1 table",
        table("accounts", b"account,cash\nj\xf6rg,1\n"),
        "accounts.csv",
        "line 2",
        "not UTF-8",
        "UTF-8 encoding",
    ),
]

ERRORS = [
    *SCHEMA,
    *TIERS,
    *MARKET,
    *RELATIONS,
    *VENUE,
    *IMPACT,
    *FUNDING,
    *DECISION,
    *GIVEN,
    *BRIDGES,
    *FILES,
    *CELLS,
]


@pytest.mark.parametrize("error", ERRORS, ids=[error.name for error in ERRORS])
def test_an_input_error_is_one_line_with_its_remedy(
    error: Error, case: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case.folder)
    error.change(case)
    path = case.write()
    before = sorted(case.folder.iterdir())
    assert main(["validate", str(path)]) == error.code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and err.endswith("\n")
    assert err.startswith("margin-stress: error: ")
    for part in (error.file, error.key, error.words, error.remedy):
        assert part in err
    # the remedy stands behind the rule
    assert "; " in err
    assert sorted(case.folder.iterdir()) == before


def test_names_of_errors_are_distinct() -> None:
    assert len({error.name for error in ERRORS}) == len(ERRORS)


def test_a_missing_scenario_is_a_usage_error(case: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = case.folder / "absent.toml"
    assert main(["validate", str(path)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{path}: the file does not exist; check the path" in err
    assert main(["validate", str(case.folder)]) == 2


RESERVED = [("market.gbm", {}), ("market.given", {})]


@pytest.mark.parametrize(("key", "value"), RESERVED)
def test_what_is_not_built_is_refused(
    key: str, value: object, case: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    case.set(key, value)
    assert main(["validate", str(case.write())]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"scenario.toml: {key}: " in err
    assert f"is not built yet; remove the key {key}" in err


def test_neutral_values_are_accepted(case: Any) -> None:
    case.set("venue.amount", "all")
    case.set("venue.impact", {"kind": "none", "adv": {"BTC": 22e9}, "permanent": 0.5})
    case.set("venue.deleveraging", {"kind": "none"})
    case.set("venue.decision", {"kind": "leader", "latency": 0, "lag": 0, "shards": {}})
    case.set("venue.funding", {"rate": {}})
    case.set("simulation.monitoring", "bridge")
    case.files["positions.csv"] = (
        "account,asset,quantity,entry_price,stop_price\nalice,BTC,1,60000,\nbob,ETH,1,2500,\n"
    )
    case.files["accounts.csv"] = (
        "account,cash,group,reserve,top_up_trigger,top_up_target\n"
        "alice,1000,hedged,500,,\nbob,500,directional,,0.8,0.5\n"
    )
    assert main(["validate", str(case.write())]) == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("venue.amount", "restore"),
        ("venue.amount", "tier"),
        ("venue.amount", "position"),
        ("venue.order", "largest-margin"),
        ("venue.order", "largest-notional"),
        ("venue.order", "pro-rata"),
        ("venue.step_fraction", 1.0),
        ("venue.buffer", 0.0),
        ("venue.rounds_per_step", 1),
        ("venue.impact", {"kind": "square-root", "adv": {"BTC": 22e9, "ETH": 13e9}}),
        ("venue.impact", {"kind": "linear", "depth_1pct": {"BTC": 6e7, "ETH": 4e7}}),
        # it describes the other law, which is run beside it
        ("venue.impact", {"kind": "linear", "depth_1pct": {"BTC": 6e7, "ETH": 4e7}, "adv": {}}),
        ("venue.impact.permanent", 0.0),
        ("venue.impact.permanent", 1.0),
        ("venue.fund", {"balance": 0.0}),
        ("venue.funding", {"rate": {"BTC": -1e-4}, "interval": "5min"}),
        ("venue.deleveraging.kind", "socialised"),
        ("venue.deleveraging.kind", "auto-deleverage"),
        ("venue.decision", {"latency": 288}),
        ("venue.decision", {"kind": "sharded", "shards": {"BTC": 0, "ETH": 7}, "lag": 288}),
        ("limits.max_fund_exhaustion_probability", 0.0),
        ("limits.max_fund_draw", 0.0),
        ("limits.max_reproduction_number", 0.9),
    ],
)
def test_ends_of_the_venue_keys_are_accepted(key: str, value: object, case: Any) -> None:
    case.set(key, value)
    assert main(["validate", str(case.write())]) == 0

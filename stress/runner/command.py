"""``margin-stress run FILE...``: simulate, write the run folders, print the headlines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from stress.errors import InputError, Interrupted
from stress.result.summary import summarise
from stress.runner.compiled import use_compilation_cache
from stress.runner.device import use_all_cores, use_precision
from stress.runner.folder import RunFolder
from stress.runner.progress import Progress, Silent
from stress.runner.simulate import simulate
from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario
from stress.types import Mode

__all__ = ["run_command"]


def run_command(
    files: list[str],
    *,
    out: str | None,
    paths: int | None,
    seed: int | None,
    mode: Mode | None,
    device: str | None,
    calibration_draws: int = 0,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run one or more scenarios, one folder each; return the gravest exit code.

    Raises
    ------
    InputError
        If a scenario cannot be used; all are checked before the first is run.
    Interrupted
        On Ctrl-C or SIGTERM.
    """
    if out is not None and len(files) > 1:
        raise InputError(
            f"{len(files)} scenarios cannot share one folder",
            key="--out",
            remedy="leave --out out, or run them one by one",
        )
    scenarios = [load_scenario(file, paths=paths, seed=seed, mode=mode) for file in files]
    rows = []
    for scenario in scenarios:
        folder = RunFolder.dated(scenario) if out is None else RunFolder.named(out)
        rows.append(
            _run_one(scenario, folder, device, calibration_draws=calibration_draws, quiet=quiet)
        )
        if not as_json:
            print(_table(rows[-1]))
    if as_json:
        print(json.dumps(rows if len(rows) > 1 else rows[0], indent=2))
    return _gravest([row["exit_code"] for row in rows])


def _run_one(
    scenario: Scenario,
    folder: RunFolder,
    device: str | None,
    *,
    calibration_draws: int,
    quiet: bool,
) -> dict[str, Any]:
    """Simulate one scenario, write its folder and return its summary with the report's path."""
    use_all_cores()
    use_precision(scenario.simulation.precision)
    kept = use_compilation_cache()
    total = scenario.simulation.paths
    progress = Silent() if quiet else Progress(total)
    with folder:
        try:
            tree = simulate(
                scenario,
                device=device,
                progress=progress,
                calibration_draws=calibration_draws,
            )
            report = folder.write(tree, scenario)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{scenario.name} was interrupted before its {total:,} paths were done; nothing "
                "was written, run it again"
            ) from None
    if not quiet:
        _print_notices(tree, kept.notices)
    return {**summarise(tree), "report": str(report.resolve())}


def _gravest(codes: list[int]) -> int:
    """Return 3 before 4 before 0: a breached limit is graver than one that is not resolved."""
    return min((code for code in codes if code), default=0)


def _print_notices(tree: xr.DataTree, further: Sequence[str]) -> None:
    for notice in (*tree.attrs["notices"].splitlines(), *further):
        print(f"warning: {notice}", file=sys.stderr)


def _table(row: dict[str, Any]) -> str:
    """Return the headline numbers with their intervals, the limits, and where the report is."""
    lines = [
        f"{row['name']} ({row['mode']}): {row['accounts']:,} accounts, {row['paths']:,} paths, "
        f"{row['steps']:,} steps in {row['duration_seconds']:.1f} s",
        *_cascade_lines(row),
        _line("P(liquidated), mean of accounts", row["liquidation_probability"], "{:.3%}"),
        _line("P(any account liquidated)", row["any_liquidation_probability"], "{:.3%}"),
        _line("expected total loss, USD", row["expected_total_loss"], "{:z,.0f}"),
        _line("expected uncovered loss, USD", row["expected_uncovered_loss"], "{:z,.0f}"),
    ]
    for limit in row["limits"]:
        verdict = "breached" if limit["breached"] else "kept"
        verdict = verdict if limit["resolved"] else f"{verdict}, not resolved"
        lines.append(
            f"  {limit['name']}: {_shown(limit['value'], '{:.6g}')} "
            f"({_shown(limit['lower'], '{:.6g}')} to {_shown(limit['upper'], '{:.6g}')}) "
            f"against {limit['threshold']:.6g}: {verdict}"
        )
    lines.append(f"  report: {Path(row['report'])}")
    return "\n".join(lines)


def _cascade_lines(row: dict[str, Any]) -> list[str]:
    """Return what feedback costs, where it was simulated."""
    if row["expected_cascade_loss"] is None:
        return []
    return [
        _line("expected cascade loss, USD", row["expected_cascade_loss"], "{:z,.0f}"),
        _line("  value at risk", row["cascade_loss_value_at_risk"], "{:z,.0f}"),
        _line("  expected shortfall", row["cascade_loss_expected_shortfall"], "{:z,.0f}"),
        _line("cascade multiplier", row["cascade_multiplier"], "{:.3f}"),
        _line("P(insurance fund exhausted)", row["fund_exhaustion_probability"], "{:.3%}"),
    ]


def _line(name: str, three: dict[str, float | None], form: str) -> str:
    numbers = [_shown(three[key], form) for key in ("estimate", "lower", "upper")]
    text = f"  {name:<33}{numbers[0]:>16}  ({numbers[1]} to {numbers[2]})"
    if "calibration_lower" not in three:
        return text
    bounds = [_shown(three[f"calibration_{side}"], form) for side in ("lower", "upper")]
    return f"{text}; calibration: {bounds[0]} to {bounds[1]}"


def _shown(number: float | None, form: str) -> str:
    """Return a number as text; a bound that the paths are too few for is not a number."""
    return "no bound" if number is None else form.format(number)

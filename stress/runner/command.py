"""``margin-stress run FILE...``: simulate, write the run folders, print the headlines."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from pathlib import Path
from typing import Any

from stress.errors import InputError, Interrupted, StressError
from stress.history.command import after_runs
from stress.measure.precision import JUDGED
from stress.result.summary import summarise
from stress.runner.cluster import open_workers
from stress.runner.compiled import use_compilation_cache
from stress.runner.device import use_all_cores, use_precision
from stress.runner.folder import RunFolder
from stress.runner.options import RunOptions
from stress.runner.pack import Outcome, Task, load_tasks, run_pack
from stress.runner.progress import Progress, Silent
from stress.runner.simulate import simulate
from stress.runner.unattended import Events
from stress.scenario.schema import Scenario

__all__ = ["run_command"]


def run_command(
    files: list[str], options: RunOptions, *, as_json: bool, events: Events | None = None
) -> int:
    """Run one or more scenarios, one folder each; return the gravest exit code.

    Parameters
    ----------
    events
        Is told what happens.

    Raises
    ------
    InputError
        If a scenario cannot be used; all are checked before the first is run.
    Interrupted
        On Ctrl-C or SIGTERM, or where there is no room to write.
    """
    tasks, events = load_tasks(files, options), events or Events()
    if len(tasks) > 1:
        return _run_several(tasks, options, events, as_json=as_json)
    try:
        row = _run_one(*tasks[0], events)
    except Interrupted:
        # what is not finished stands in the history too, with how to go on
        _look_back(tasks, options, (), as_json=as_json)
        raise
    print(json.dumps(row, indent=2) if as_json else _table(row))
    _look_back(tasks, options, [Path(row["report"]).parent], as_json=as_json)
    return int(row["exit_code"])


def _run_several(
    tasks: Sequence[Task], options: RunOptions, events: Events, *, as_json: bool
) -> int:
    """Run several scenarios, print what became of each and where their page is."""

    def told(outcome: Outcome) -> None:
        if outcome.error is not None:
            _print_error(outcome)
            events.failed(outcome.error)
        elif not as_json:
            print(_table(outcome.facts))

    pack = run_pack(tasks, options, lambda one, own: _run_one(one, own, events), told)
    events.page(pack.page)
    if as_json:
        print(json.dumps([{**one.facts} for one in pack.outcomes], indent=2))
    else:
        print(f"page: {pack.page.resolve()}")
    written = [one.member.run.folder for one in pack.outcomes if one.member.run]
    _look_back(tasks, options, written, as_json=as_json)
    return pack.exit_code


def _print_error(outcome: Outcome) -> None:
    """Print what ended a scenario as one line, a bug with where it came from."""
    if outcome.error is not None and not isinstance(outcome.error, StressError):
        traceback.print_exception(outcome.error)
    member = outcome.member
    print(f"margin-stress: error: {member.scenario}: {member.error}", file=sys.stderr)


def _look_back(
    tasks: Sequence[Task], options: RunOptions, written: Sequence[Path], *, as_json: bool
) -> None:
    """Prune old runs and draw the history; what goes wrong there leaves the run what it is."""
    names = {task.scenario.name for task in tasks}
    try:
        lines = after_runs(options.out, scenarios=names, written=written, keep=options.keep)
    except InputError as error:
        if not options.quiet:
            _print_notices([f"the history is not drawn: {error}"])
        return
    if not (as_json and options.quiet):
        print("".join(f"{line}\n" for line in lines), end="", file=sys.stderr if as_json else None)


def _run_one(scenario: Scenario, options: RunOptions, events: Events) -> dict[str, Any]:
    """Simulate one scenario, write its folder and return its summary with the report's path."""
    use_all_cores()
    use_precision(scenario.simulation.precision)
    kept = use_compilation_cache()
    total = scenario.simulation.paths
    progress = Silent() if options.quiet else Progress(total)
    with RunFolder.for_run(scenario, options.out, resume=options.resume) as folder:
        events.began(scenario, folder.path)
        try:
            with open_workers(options.cluster, options.workers) as others:
                tree = simulate(
                    scenario,
                    device=options.device,
                    progress=events.watched(progress, scenario),
                    calibration_draws=options.calibration_draws,
                    keep=folder.keep,
                    workers=others,
                )
            report = folder.write(tree, scenario, options.formats)
        except KeyboardInterrupt:
            raise folder.interrupted(scenario) from None
    notices = (*tree.attrs["notices"].splitlines(), *folder.notices, *kept.notices)
    if not options.quiet:
        _print_notices(notices)
    row = {**summarise(tree), "report": str(report.resolve())}
    events.finished(row, notices)
    return row


def _print_notices(notices: Sequence[str]) -> None:
    for notice in notices:
        print(f"warning: {notice}", file=sys.stderr)


def _table(row: Mapping[str, Any]) -> str:
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
    lines += _precision_lines(row)
    lines.append(f"  report: {Path(row['report'])}")
    return "\n".join(lines)


def _precision_lines(row: Mapping[str, Any]) -> list[str]:
    """Return the widest headline interval beside what is asked for, where something is."""
    error = row["relative_error"]
    if error is None:
        return []
    found = {name: inf if it is None else it for name, it in error["found"].items()}
    widest = max(found, key=lambda name: found[name])
    verdict = "not resolved" if error["exceeded"] else "kept"
    shown = f"{found[widest]:.4g}" if isfinite(found[widest]) else "nothing seen"
    return [
        f"  max_relative_error: {shown} ({JUDGED[widest]}) against {error['threshold']:.6g}: "
        f"{verdict}"
    ]


def _cascade_lines(row: Mapping[str, Any]) -> list[str]:
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

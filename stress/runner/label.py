"""From what was measured to the labelled result: names, coordinates, provenance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from stress.book.display import margin_display, net_positions
from stress.book.ladder import MOVES
from stress.measure.calibration import draws_needed
from stress.measure.influence import PLACES
from stress.measure.limits import Judgement, judge
from stress.measure.world import SHARES, Findings
from stress.result.assemble import assemble, prefixed
from stress.result.distribution import loss_distribution
from stress.result.ladder import ladder_findings
from stress.runner.analyses import Analysed
from stress.runner.assumptions import other_law
from stress.runner.cascade import REPLAYED
from stress.runner.measured import Measured
from stress.runner.precision import precision_notices, precision_of, precision_words
from stress.runner.prepare import Job
from stress.runner.provenance import provenance
from stress.stats.confidence import design_effect
from stress.types import Array, Mode

__all__ = ["label"]


def label(job: Job, measured: Measured, analysed: Sequence[Analysed] = ()) -> xr.DataTree:
    """Return the result of a run as the labelled tree of ``result.schema``."""
    finished = {mode: _finished(job, measured, mode) for mode in measured.worlds}
    main = finished[job.main_mode] = _bettered(finished[job.main_mode], analysed)
    ladder = ladder_findings(job.book, job.setting, job.scenario.book.mode)
    reproduction = ladder["assets"]["reproduction_number"]
    judged = judge(
        job.scenario.limits,
        measured.worlds[job.main_mode],
        main["book"],
        job.book.accounts,
        job.book.groups,
        job.setting.assets,
        np.asarray(reproduction),
    )
    findings: list[Findings] = [main, *_compared(job, finished)]
    if measured.paired is not None:
        findings.append(measured.paired.finish(job.request.confidence))
    if measured.calibration is not None:
        findings.append(measured.calibration.finish(main))
    findings += [_start(job), ladder, loss_distribution(main["paths"]), _limits(judged)]
    findings.append({"fan": {"margin_ratio_quantile": measured.fan.finish(job.request.quantiles)}})
    findings += _of_the_main_world(job, measured)
    findings += [of.findings for of in analysed]
    return assemble(
        findings,
        _labels(job, judged),
        {
            **{name: {"step": days} for name, days in _times(job, measured).items()},
            **_row_labels(measured),
            **{group: labels for of in analysed for group, labels in of.labels.items()},
        },
        _attributes(job, measured, main),
        {
            **_group_attributes(job, measured),
            **{group: said for of in analysed for group, said in of.attributes.items()},
        },
    )


def _bettered(main: Findings, analysed: Sequence[Analysed]) -> Findings:
    """Return the main world with what an analysis knows better: limits are judged by that."""
    book = main["book"]
    better = {
        name: found
        for of in analysed
        for name, found in of.findings.get("book", {}).items()
        if name in book
    }
    return {**main, "book": {**book, **better}}


def _of_the_main_world(job: Job, measured: Measured) -> list[Findings]:
    """Return what is measured of the main world only, as far as the run asked for it."""
    request, findings = job.request, [measured.replay]
    if measured.caused is not None:
        findings.append(measured.caused.finish(request.confidence))
    if measured.laws is not None:
        findings.append(measured.laws.finish())
    if measured.decisions is not None:
        findings.append(measured.decisions.finish(request.confidence))
    if measured.course is not None:
        findings.append(measured.course.finish(request.quantiles, request.confidence))
    if measured.closes is not None:
        findings.append(measured.closes.finish(request.confidence))
    if measured.influence is not None:
        findings.append(measured.influence.finish(request.confidence))
    if measured.detail is not None:
        findings.append(measured.detail.finish())
    if measured.liquidations is not None:
        findings.append(measured.liquidations.finish())
    return findings


def _finished(job: Job, measured: Measured, mode: Mode) -> Findings:
    """Return the estimates of one world."""
    found: Findings = {}
    parts = [measured.worlds[mode].finish()]
    if mode in measured.cascade:
        parts.append(measured.cascade[mode].finish())
    if mode in measured.risk:
        parts.append(measured.risk[mode].finish())
    for part in parts:
        for group, variables in part.items():
            found.setdefault(group, {}).update(variables)
    return found


def _compared(job: Job, finished: dict[Mode, Findings]) -> list[Findings]:
    """Return the compared worlds under their prefixes.

    Where there are any, the main world stands under its own prefix too, so that cross and isolated
    can be looked up by name whichever is the main one.
    """
    compared = [prefixed(finished[job.alias[mode]], mode) for mode in job.scenario.book.compare]
    if compared:
        main = job.scenario.book.mode
        compared.append(prefixed(finished[job.alias[main]], main))
    return compared


def _start(job: Job) -> Findings:
    """Return what is known before the first step: the margin display, positions and market."""
    book, setting = job.book, job.setting
    shown = margin_display(book, setting, job.scenario.book.mode)
    net, gross = net_positions(book, setting)
    assets = np.array(setting.assets, object)
    return {
        "accounts": {
            "group": _text(np.array(book.groups, object)[book.account_group]),
            "initial_equity": shown.equity,
            "initial_margin_ratio": shown.margin_ratio,
            "effective_leverage": shown.effective_leverage,
        },
        "margin": {
            "equity": shown.equity,
            "maintenance_margin": shown.maintenance_margin,
            "margin_ratio": shown.margin_ratio,
            "margin_level": shown.margin_level,
            "excess": shown.excess,
            "gross_notional": shown.gross_notional,
            "effective_leverage": shown.effective_leverage,
            "hidden_distress": shown.hidden_distress,
            "in_breach": shown.in_breach,
        },
        "positions": {
            "account": _text(np.array(book.accounts, object)[book.position_account]),
            "asset": _text(assets[book.position_asset]),
            "quantity": book.quantity,
            "notional": shown.notional,
            "planned_risk": shown.planned_risk,
            "liquidation_price": shown.liquidation_price,
            "liquidation_distance": shown.liquidation_distance,
        },
        "assets": {
            "price": setting.price,
            "volatility": setting.volatility,
            "drift": setting.drift,
            "correlation": setting.correlation,
            "net_position": net,
            "gross_position": gross,
        },
    }


def _text(values: object) -> Array:
    return np.asarray(values, dtype=str)


def _limits(judged: tuple[Judgement, ...]) -> Findings:
    if not judged:
        return {}
    return {
        "limits": {
            "value": np.array([limit.value for limit in judged]),
            "value_interval": np.array([[limit.lower, limit.upper] for limit in judged]),
            "threshold": np.array([limit.threshold for limit in judged]),
            "breached": np.array([limit.breached for limit in judged]),
            "resolved": np.array([limit.resolved for limit in judged]),
            "where": _text([limit.where for limit in judged]),
        }
    }


def _times(job: Job, measured: Measured) -> dict[str, Array]:
    """Return the days of the groups that have times of their own."""
    schedule, step_days = job.fan_schedule, job.request.grid.step_days
    fan = np.minimum(np.arange(schedule.blocks + 1) * schedule.block, schedule.steps)
    times: dict[str, Array] = {"fan": fan * step_days}
    if measured.course is not None:
        times["course"] = measured.course.steps * step_days
    if measured.replay:
        times["replay"] = np.arange(schedule.steps + 1) * step_days
    return times


def _row_labels(measured: Measured) -> dict[str, dict[str, Array]]:
    """Return the labels of the rows of a history, where paths draw from one."""
    if measured.influence is None:
        return {}
    labels = {"row": measured.influence.rows.labels, "place": np.arange(1, PLACES + 1)}
    return {"influence": labels}


def _group_attributes(job: Job, measured: Measured) -> dict[str, dict[str, str | int | float]]:
    """Return what is said of whole groups."""
    fan = measured.fan
    attributes: dict[str, dict[str, str | int | float]] = {
        "fan": {"paths": fan.paths, "accounts": int(fan.grouping.accounts.sum())}
    }
    if measured.replay:
        attributes["replay"] = {"path": measured.replayed_path, "level": REPLAYED}
    if measured.laws is not None:
        attributes["impact"] = {"other_law": other_law(job.scenario)}
    return attributes


def _labels(job: Job, judged: tuple[Judgement, ...]) -> dict[str, Array]:
    book, grid = job.book, job.request.grid
    return {
        "step": grid.shown * grid.step_days,
        "account": _text(book.accounts),
        "position": _text(book.positions),
        "asset": _text(job.setting.assets),
        "other_asset": _text(job.setting.assets),
        "group": _text(book.groups),
        "other_group": _text(book.groups),
        "limit": _text([limit.name for limit in judged]),
        "law": _text(["linear", "square-root"]),
        "decision": _text(["leader", _decision_name(job)]),
        "move": MOVES,
        "level": np.array(job.request.levels),
        "quantile": np.array(job.request.quantiles),
        "share": np.array(SHARES),
    }


def _decision_name(job: Job) -> str:
    venue = job.setting.venue
    return "delayed leader" if venue.decision == "leader" and venue.latency else venue.decision


def _ran_out(main: Findings) -> tuple[str, ...]:
    """Return a sentence where rounds ran out: what should have been closed waited for a step."""
    steps = np.asarray(main["paths"].get("rounds_exhausted", np.zeros(0)))
    paths = int((steps > 0).sum())
    if not paths:
        return ()
    return (
        f"the rounds of a step ran out on {paths:,} of {len(steps):,} paths with a pool still in "
        "breach: raise venue.rounds_per_step or shorten simulation.step",
    )


def _few_draws(measured: Measured) -> tuple[str, ...]:
    """Return a sentence where the draws are too few for the confidence of their interval."""
    calibration = measured.calibration
    if calibration is None or calibration.draws >= draws_needed(calibration.confidence):
        return ()
    covered = (calibration.draws - 1) / (calibration.draws + 1)
    return (
        f"{calibration.draws} calibration draws give intervals that hold at most {covered:.0%} of "
        f"what calibrations would give: {draws_needed(calibration.confidence)} are needed for "
        f"{calibration.confidence:.4g}",
    )


def _attributes(job: Job, measured: Measured, main: Findings) -> dict[str, str | int | float]:
    scenario, grid = job.scenario, job.request.grid
    precision = precision_of(scenario.simulation.max_relative_error, main["book"])
    known = provenance(
        scenario,
        accounts=len(job.book.accounts),
        assets=len(job.setting.assets),
        steps=job.schedule.steps,
        step_days=grid.step_days,
    )
    pathwise = len(job.book.accounts) * measured.simulated_paths * job.schedule.steps
    return {
        **known,
        "assumptions": "\n".join((str(known["assumptions"]), *precision_words(precision))),
        **({"max_relative_error": precision.threshold} if precision else {}),
        "design_effect": design_effect(job.request.confidence),
        "platform": measured.platform,
        "device_kind": measured.device_kind,
        "compile_seconds": measured.compile_seconds,
        "duration_seconds": (
            measured.compile_seconds
            + measured.run_seconds
            + measured.calibration_seconds
            + measured.analysis_seconds
        ),
        "account_path_steps_per_second": (
            pathwise * len(job.worlds) / max(measured.run_seconds, 1e-9)
        ),
        "calibration_draws": measured.calibration.draws if measured.calibration else 0,
        "notices": "\n".join(
            (
                *job.notices,
                *_ran_out(main),
                *_few_draws(measured),
                *precision_notices(precision, scenario.simulation.paths),
            )
        ),
    }

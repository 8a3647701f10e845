"""From what was measured to the labelled result: names, coordinates, provenance."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import jax
import numpy as np
import xarray as xr

from stress import __version__
from stress.book.display import margin_display, net_positions
from stress.measure.limits import Judgement, judge
from stress.measure.world import SHARES, Findings
from stress.result.assemble import assemble, prefixed
from stress.result.distribution import loss_distribution
from stress.result.schema import SCHEMA_VERSION
from stress.runner.assumptions import assumptions
from stress.runner.measured import Measured
from stress.runner.prepare import Job
from stress.scenario.resolve import input_hashes, resolved_toml
from stress.scenario.schema import MarginLevel, Scenario
from stress.types import Array, Mode

__all__ = ["label"]


def label(job: Job, measured: Measured) -> xr.DataTree:
    """Return the result of a run as the labelled tree of ``result.schema``."""
    finished = {mode: world.finish() for mode, world in measured.worlds.items()}
    main = finished[job.alias[job.scenario.book.mode]]
    judged = judge(
        job.scenario.limits,
        measured.worlds[job.alias[job.scenario.book.mode]],
        main["book"],
        job.book.accounts,
        job.book.groups,
    )
    findings: list[Findings] = [main, *_compared(job, finished)]
    if measured.paired is not None:
        findings.append(measured.paired.finish(job.request.confidence))
    findings += [_start(job), loss_distribution(main["paths"]), _limits(judged)]
    findings.append({"fan": {"margin_ratio_quantile": measured.fan.finish(job.request.quantiles)}})
    if measured.detail is not None:
        findings.append(measured.detail.finish())
    return assemble(
        findings,
        _labels(job, judged),
        {"fan": {"step": _fan_days(job)}},
        _attributes(job, measured),
        {"fan": {"paths": measured.fan.paths}},
    )


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
            "group": _text([book.groups[group] for group in book.account_group]),
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
            "account": _text([book.accounts[owner] for owner in book.position_account]),
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


def _fan_days(job: Job) -> Array:
    schedule = job.fan_schedule
    steps = np.minimum(np.arange(schedule.blocks + 1) * schedule.block, schedule.steps)
    return steps * job.request.grid.step_days


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
        "level": np.array(job.request.levels),
        "quantile": np.array(job.request.quantiles),
        "share": np.array(SHARES),
    }


def _attributes(job: Job, measured: Measured) -> dict[str, str | int | float]:
    scenario, grid = job.scenario, job.request.grid
    toml = resolved_toml(scenario)
    pathwise = len(job.book.accounts) * scenario.simulation.paths * job.schedule.steps
    return {
        "Conventions": "CF-1.11",
        "title": scenario.name,
        "source": f"margin-stress {__version__}",
        "schema_version": SCHEMA_VERSION,
        "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "scenario_toml": toml,
        "scenario_sha256": hashlib.sha256(toml.encode()).hexdigest(),
        "input_sha256": "\n".join(f"{sha} {file}" for file, sha in input_hashes(scenario).items()),
        "seed": scenario.simulation.seed,
        "paths": scenario.simulation.paths,
        "accounts": len(job.book.accounts),
        "assets": len(job.setting.assets),
        "steps": job.schedule.steps,
        "horizon_days": job.schedule.steps * grid.step_days,
        "step_seconds": 86_400.0 * grid.step_days,
        "precision": scenario.simulation.precision,
        "monitoring": scenario.simulation.monitoring,
        "confidence": scenario.simulation.confidence,
        "mode": scenario.book.mode,
        "compare": ",".join(scenario.book.compare),
        "market_model": scenario.market.model,
        **_venue(scenario),
        "as_of": _moment(scenario),
        "jax_version": jax.__version__,
        "platform": measured.platform,
        "device_kind": measured.device_kind,
        "compile_seconds": measured.compile_seconds,
        "duration_seconds": measured.compile_seconds + measured.run_seconds,
        "account_path_steps_per_second": (
            pathwise * len(job.worlds) / max(measured.run_seconds, 1e-9)
        ),
        "notices": "\n".join(job.notices),
        "assumptions": "\n".join(assumptions(scenario)),
    }


def _venue(scenario: Scenario) -> dict[str, str | float]:
    trigger = scenario.venue.trigger
    shown = (
        f"margin level below {trigger.margin_level:g}"
        if isinstance(trigger, MarginLevel)
        else trigger
    )
    return {
        "trigger": shown,
        "amount": scenario.venue.amount,
        "fee": scenario.venue.fee,
        "warning": scenario.venue.warning,
    }


def _moment(scenario: Scenario) -> str:
    as_of = scenario.book.as_of or scenario.market.as_of
    return as_of.isoformat() if as_of else ""

"""What it takes to get the same digits again, and what was assumed: root attributes of a result."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import jax

from stress import __version__
from stress.result.schema import SCHEMA_VERSION
from stress.runner.assumptions import assumptions
from stress.runner.overlays import overlay_words
from stress.scenario.presets import load_preset
from stress.scenario.resolve import input_hashes, resolved_toml
from stress.scenario.schema import MarginLevel, Scenario

__all__ = ["provenance"]


def provenance(
    scenario: Scenario, *, accounts: int, assets: int, steps: int, step_days: float
) -> dict[str, str | int | float]:
    """Return root attributes that follow from the scenario, and the versions that made the result.

    Parameters
    ----------
    scenario
        Complete.
    accounts, assets, steps
        How many there are.
    step_days
        Length of a step, days.
    """
    toml = resolved_toml(scenario)
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
        "accounts": accounts,
        "assets": assets,
        "steps": steps,
        "horizon_days": steps * step_days,
        "step_seconds": 86_400.0 * step_days,
        "precision": scenario.simulation.precision,
        "monitoring": scenario.simulation.monitoring,
        "confidence": scenario.simulation.confidence,
        "mode": scenario.book.mode,
        "compare": ",".join(scenario.book.compare),
        "market_model": scenario.market.model,
        **_venue(scenario),
        "as_of": _moment(scenario),
        "market_as_of": _written(scenario.market.as_of),
        "book_as_of": _written(scenario.book.as_of),
        "jax_version": jax.__version__,
        "assumptions": "\n".join(assumptions(scenario)),
        "stress": "\n".join(overlay_words(scenario)),
    }


def _venue(scenario: Scenario) -> dict[str, str | float]:
    trigger = scenario.venue.trigger
    shown = (
        f"margin level below {trigger.margin_level:g}"
        if isinstance(trigger, MarginLevel)
        else trigger
    )
    venue = scenario.venue
    attributes: dict[str, str | float] = {
        "trigger": shown,
        "order": venue.order,
        "amount": venue.amount,
        "fee": venue.fee,
        "warning": venue.warning,
        "impact": venue.impact.kind,
        "fund": venue.fund.balance,
        "deleveraging": venue.deleveraging.kind,
        "decision": venue.decision.kind,
    }
    if venue.preset is not None:
        preset = load_preset(venue.preset)
        attributes |= {
            "preset": preset.name,
            "preset_title": preset.title,
            "preset_as_of": str(preset.as_of),
            "preset_approximates": "\n".join(preset.approximates),
        }
    return attributes


def _moment(scenario: Scenario) -> str:
    return _written(scenario.book.as_of or scenario.market.as_of)


def _written(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""

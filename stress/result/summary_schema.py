"""The written form of ``summary.json``: what a scheduler or a dashboard may rely on.

Keys are added, never taken away or given another meaning, without another ``schema_version``; a
reader ignores what it does not know.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stress.scenario.schema import drop_titles

__all__ = ["SUMMARY_VERSION", "Summary", "summary_schema"]

SUMMARY_VERSION = "1"


class _Part(BaseModel):
    """A JSON object: strict, and open for keys to come."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Three(_Part):
    """An estimate with its interval at the scenario's confidence."""

    estimate: float | None = Field(description="the estimate; null where the run has none")
    lower: float | None = Field(
        description="lower end of the sampling interval; null where the paths are too few for one"
    )
    upper: float | None = Field(description="upper end of the sampling interval, likewise")
    calibration_lower: float | None = Field(
        default=None, description="lower end of the calibration interval, with --calibration-draws"
    )
    calibration_upper: float | None = Field(
        default=None, description="upper end of the calibration interval, with --calibration-draws"
    )


class Limit(_Part):
    """A declared limit and its verdict."""

    name: str = Field(description="key of the limit in [limits], with its group if it has one")
    value: float | None = Field(description="the estimate that is judged")
    threshold: float | None = Field(description="what it is held against")
    lower: float | None = Field(description="lower end of the estimate's interval")
    upper: float | None = Field(description="upper end of the estimate's interval")
    breached: bool = Field(description="whether the estimate is over the threshold: exit code 3")
    resolved: bool = Field(
        description="whether interval and estimate lie on one side; exit code 4 if not"
    )
    where: str = Field(description="account, group or asset that attains a maximum; else empty")


class RelativeError(_Part):
    """Half-widths of intervals over their estimates, where the scenario limits them."""

    threshold: float = Field(description="simulation.max_relative_error")
    exceeded: bool = Field(description="whether one of them is larger: exit code 4")
    found: dict[str, float | None] = Field(
        description="by estimate; null: infinite, because nothing was seen of it on any path"
    )


class AsOf(_Part):
    """Moments that the inputs are of."""

    market: str | None = Field(description="of the prices, ISO 8601; null if nothing tells")
    book: str | None = Field(description="of the book, ISO 8601; null if nothing tells")


class Summary(_Part):
    """The headline numbers of one run of `margin-stress run`."""

    schema_version: str = Field(description='version of this form: "1"')
    name: str = Field(description="name of the scenario")
    mode: str = Field(description="the main world: as-booked, cross or isolated")
    created_at: str = Field(description="when the result was made, ISO 8601, UTC")
    as_of: AsOf = Field(description="moments that the inputs are of")
    versions: dict[str, str] = Field(description="version by program: margin-stress, jax")
    seed: int = Field(ge=0, description="seed of the random numbers")
    scenario_sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 of scenario.toml in the run folder"
    )
    input_sha256: dict[str, str] = Field(
        description="SHA-256 of every input file, by its absolute path"
    )
    paths: int = Field(ge=1, description="number of price paths")
    accounts: int = Field(ge=1, description="number of accounts")
    assets: int = Field(ge=1, description="number of assets")
    steps: int = Field(ge=1, description="number of steps")
    confidence: float = Field(gt=0, lt=1, description="coverage of the intervals")
    liquidation_probability: Three | None = Field(
        description="probability of liquidation by the horizon, mean over accounts"
    )
    any_liquidation_probability: Three | None = Field(
        description="probability that any account is liquidated"
    )
    expected_total_loss: Three | None = Field(description="mean of what losers lose, USD")
    expected_uncovered_loss: Three | None = Field(description="mean of what nobody pays, USD")
    expected_cascade_loss: Three | None = Field(
        description="mean loss that feedback adds, USD; null without feedback, as the next four"
    )
    cascade_loss_value_at_risk: Three | None = Field(
        description="of the loss that feedback adds, at the highest level, USD"
    )
    cascade_loss_expected_shortfall: Three | None = Field(
        description="of the loss that feedback adds, at the highest level, USD"
    )
    cascade_multiplier: Three | None = Field(
        description="dollars closed with feedback for each without"
    )
    fund_exhaustion_probability: Three | None = Field(
        description="probability that the insurance fund does not pay a deficit in full"
    )
    limits: list[Limit] = Field(description="the declared limits with their verdicts")
    relative_error: RelativeError | None = Field(
        description="null where the scenario states no simulation.max_relative_error"
    )
    notices: list[str] = Field(description="what a reader should know, one sentence each")
    files: dict[str, str] = Field(
        description="what the run folder holds by what it is; paths relative to the folder"
    )
    duration_seconds: float = Field(ge=0, description="time of the run, s")
    compile_seconds: float = Field(ge=0, description="of which compilation, s")
    account_path_steps_per_second: float = Field(
        ge=0, description="accounts times paths times steps times worlds a second of simulation"
    )
    exit_code: int = Field(
        description="0 every limit kept, 3 one breached, 4 one or a relative error not resolved"
    )


def summary_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``summary.json`` (draft 2020-12)."""
    schema = Summary.model_json_schema(mode="validation")
    drop_titles(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "margin-stress summary",
        **schema,
    }

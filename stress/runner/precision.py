"""Whether the headline numbers are known as well as the scenario asks, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, isfinite, log10

from stress.measure.moments import Estimate
from stress.measure.precision import JUDGED, Precision, Three, judge_precision, paths_needed
from stress.types import Array

__all__ = ["precision_notices", "precision_of", "precision_words"]


def precision_of(threshold: float | None, book: Mapping[str, Estimate | Array]) -> Precision | None:
    """Return the relative errors of the main world's estimates; None where none is asked for.

    Parameters
    ----------
    threshold
        ``simulation.max_relative_error``.
    book
        Finished estimates of the whole book.
    """
    if threshold is None:
        return None
    return judge_precision(threshold, {name: _three(book.get(name)) for name in JUDGED})


def _three(found: Estimate | Array | None) -> Three | None:
    if not isinstance(found, Estimate):
        return None
    lower, upper = found.interval.reshape(-1, 2)[-1]
    return float(found.value.reshape(-1)[-1]), float(lower), float(upper)


def precision_words(precision: Precision | None) -> tuple[str, ...]:
    """Return a sentence on what was asked for and what came of it; nothing if nothing was."""
    if precision is None:
        return ()
    found = ", ".join(f"{JUDGED[name]} {_percent(it)}" for name, it in precision.found.items())
    verdict = "not kept" if precision.exceeding else "kept"
    return (
        "simulation.max_relative_error asks that half an interval is at most "
        f"{precision.threshold:.3g} of its estimate ({_percent(precision.threshold)}), which is "
        f"{verdict}: {found}.",
    )


def precision_notices(precision: Precision | None, paths: int) -> tuple[str, ...]:
    """Return a sentence for each estimate that is not known well enough: the exit code is 4.

    Parameters
    ----------
    paths
        Number of paths of the run.
    """
    if precision is None:
        return ()
    return tuple(_said(precision, name, paths) for name in precision.exceeding)


def _said(precision: Precision, name: str, paths: int) -> str:
    error, most = precision.found[name], _percent(precision.threshold)
    if not isfinite(error):
        return (
            f"{JUDGED[name]} has no relative error, because nothing was seen of it on {paths:,} "
            f"paths; simulation.max_relative_error asks for {most}: raise simulation.paths, or "
            "see simulation.estimator for rare events"
        )
    needed = _rounded_up(paths_needed(paths, error, precision.threshold))
    return (
        f"{JUDGED[name]} is known to {_percent(error)}, half its interval over its value, and "
        f"simulation.max_relative_error asks for {most}: about {needed:,} paths would do"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if isfinite(share) else "unknown"


def _rounded_up(number: float) -> int:
    """Return a number of two digits and zeros that is not less."""
    unit = 10 ** max(int(log10(number)) - 1, 0)
    return ceil(number / unit) * unit

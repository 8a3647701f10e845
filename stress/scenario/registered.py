"""Price models of other distributions: entry points of one group, by name.

An entry point ``my-name = "package.module:build"`` of the group makes ``my-name`` a name of
``market.model``. Nothing is imported to know the names; ``build`` is when a run needs the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from stress.errors import closest
from stress.scenario.fields import quoted, refuse
from stress.types import ModelName

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "known_model", "registered_model"]

GROUP = "margin_stress.markets"
"""Group of entry points; each maps ``stress.market.registered.Numbers`` to a price model."""


def known_model(name: str) -> str:
    """Return the name of a model, or refuse it: one of the project's, or a registered one."""
    built_in = get_args(ModelName)
    if name in built_in:
        return name
    registered = _registered()
    if name in registered:
        return name
    rule = f"must be a price model, got {quoted(name)}"
    raise refuse(
        rule,
        f"{closest(name, [*built_in, *registered])} (or install the distribution that registers "
        f"it: entry points {GROUP})",
    )


def registered_model(name: str) -> EntryPoint | None:
    """Return the entry point that registers a name; None where none does."""
    return _registered().get(name)


def _registered() -> dict[str, EntryPoint]:
    # a scenario with a model of the project does not look through what is installed
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}

"""The page of all variables of a result."""

from __future__ import annotations

from collections.abc import Mapping

from made.cells import cell, code, described, grid
from stress.result.schema import DIMENSIONS, SCHEMA_VERSION, Variable

__all__ = ["result_variables"]


def result_variables(groups: Mapping[str, Mapping[str, Variable]]) -> str:
    """Return the page of all groups and variables of a result."""
    lines = [
        "# Result variables",
        "",
        f"Made from the specification when this page was built (schema version {SCHEMA_VERSION}). "
        '`stress.open_result("results/today")` reads a [run folder](run_folder.md) as one '
        '`xarray.DataTree`; `tree["accounts"]["liquidation_probability"]` is a variable. A group '
        "or variable is there where the scenario asks for it.",
        "",
        "**With interval**: beside the variable stands `<name>_interval` with the further "
        "dimension `bound` (`lower`, `upper`), at the scenario's `simulation.confidence`. It holds "
        "the error of finitely many paths and no other. **By world**: repeated for each compared "
        "world, as `cross_<name>`, `isolated_<name>` or `as_booked_<name>`.",
        "",
        f"Dimensions, in their order: {', '.join(f'`{name}`' for name in DIMENSIONS)}.",
        "",
    ]
    for group, variables in groups.items():
        lines += [f"## /{group} {{ #{group} }}", ""]
        rows = (_variable(group, *item) for item in variables.items())
        lines += grid(("variable", "dimensions", "unit", "what", "with"), rows)
    return "\n".join(lines)


def _variable(group: str, name: str, variable: Variable) -> tuple[str, ...]:
    beside = [
        word
        for word, there in (("interval", variable.estimate), ("by world", variable.compared))
        if there
    ]
    return (
        f'<a id="variable-{group}-{name}"></a>{code(name)}',
        ", ".join(variable.dims) or "one number",
        cell(variable.units) or "text or flag",
        described(variable.meaning, f"/{group}/{name}"),
        ", ".join(beside),
    )

"""Pages of the site that are made from the code when it is built.

Each function returns the Markdown of a page. What has no description is refused, so that nothing
can be built whose meaning nobody wrote down.
"""

from __future__ import annotations

from made.commands import commands, exit_codes
from made.keys import scenario_keys, summary_keys
from made.results import result_variables
from stress.cli import parsers
from stress.errors import EXIT_CODES
from stress.result.schema import GROUPS
from stress.result.summary_schema import summary_schema
from stress.scenario.schema import json_schema

__all__ = ["pages"]


def pages() -> dict[str, str]:
    """Return the Markdown of every page by its name on the site."""
    return {
        "commands.md": commands(parsers()),
        "scenario_keys.md": scenario_keys(json_schema()),
        "summary_keys.md": summary_keys(summary_schema()),
        "result_variables.md": result_variables(GROUPS),
        "exit_codes.md": exit_codes(EXIT_CODES),
    }

"""``margin-stress schema --summary``: the form of ``summary.json``."""

from __future__ import annotations

import json

from stress.result.summary_schema import summary_schema

__all__ = ["summary_schema_command"]


def summary_schema_command() -> int:
    """Print the JSON Schema of ``summary.json``; return the exit code."""
    print(json.dumps(summary_schema(), indent=2))
    return 0

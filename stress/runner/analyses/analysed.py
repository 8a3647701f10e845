"""What one analysis found, and the same as plain arrays to be stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stress.measure.kept import Arrays
from stress.measure.moments import Estimate
from stress.measure.world import Findings
from stress.result.assemble import Labels
from stress.types import Array

__all__ = ["Analysed", "packed", "unpacked"]

_VALUE, _INTERVAL = "value", "interval"


@dataclass(frozen=True)
class Analysed:
    """What one analysis found.

    Attributes
    ----------
    findings
        Estimates and arrays by result group and variable.
    labels
        Coordinates by result group, where they are the group's own.
    attributes
        What is said of whole groups.
    """

    findings: Findings
    labels: Mapping[str, Labels] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, str | int | float]] = field(default_factory=dict)


def packed(found: Sequence[Analysed]) -> Arrays:
    """Return all that was found as arrays by name; ``unpacked`` takes it back."""
    arrays: Arrays = {"said": np.array([json.dumps(of.attributes) for of in found])}
    for number, of in enumerate(found):
        for group, variables in of.findings.items():
            for name, value in variables.items():
                way = f"{number}/findings/{group}/{name}"
                if isinstance(value, Estimate):
                    arrays[f"{way}/{_VALUE}"] = np.asarray(value.value)
                    arrays[f"{way}/{_INTERVAL}"] = np.asarray(value.interval)
                else:
                    arrays[way] = _plain(value)
        for group, labels in of.labels.items():
            for dimension, values in labels.items():
                arrays[f"{number}/labels/{group}/{dimension}"] = _plain(values)
    return arrays


def unpacked(arrays: Arrays) -> list[Analysed]:
    """Return what was found from ``packed`` arrays, in its order."""
    found = []
    for number, said in enumerate(arrays["said"]):
        findings: Findings = {}
        labels: dict[str, dict[str, Array]] = {}
        for way, array in arrays.items():
            start, _, rest = way.partition("/")
            if start != str(number):
                continue
            kind, group, name, *part = rest.split("/")
            if kind == "labels":
                labels.setdefault(group, {})[name] = array
            elif part != [_INTERVAL]:
                interval = arrays.get(f"{way.removesuffix(_VALUE)}{_INTERVAL}") if part else None
                value = array if interval is None else Estimate(array, interval)
                findings.setdefault(group, {})[name] = value
        found.append(Analysed(findings, labels, json.loads(str(said))))
    return found


def _plain(values: object) -> Array:
    """Return an array without objects: labels are text."""
    array = np.asarray(values)
    return array.astype(str) if array.dtype == object else array

"""Interchangeable parts as pytrees: each class is a kind of node of its own.

``jax.tree_util.register_dataclass`` makes tree structures of different classes compare equal where
their fields are alike (JAX 0.10.2): ``jit`` may then run the kernel that was compiled for another
part. Registered as here the class itself stands in the structure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

import jax

__all__ = ["register_part"]

T = TypeVar("T")


def register_part(part: type[T]) -> type[T]:
    """Register a frozen dataclass; fields with the metadata ``static`` belong to the structure.

    For classes that stand in for one another, such as price models and orders.
    """
    stated = fields(part)  # type: ignore[arg-type]
    static = tuple(each.name for each in stated if each.metadata.get("static"))
    dynamic = tuple(each.name for each in stated if not each.metadata.get("static"))

    def flatten(one: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return (
            tuple(getattr(one, name) for name in dynamic),
            tuple(getattr(one, name) for name in static),
        )

    def flatten_with_keys(one: T) -> tuple[tuple[tuple[Any, Any], ...], tuple[Any, ...]]:
        leaves, structure = flatten(one)
        keys = (jax.tree_util.GetAttrKey(name) for name in dynamic)
        return tuple(zip(keys, leaves, strict=True)), structure

    def unflatten(structure: tuple[Any, ...], leaves: Iterable[Any]) -> T:
        # without __init__: JAX also rebuilds parts of placeholders
        one = object.__new__(part)
        for name, value in zip((*dynamic, *static), (*leaves, *structure), strict=True):
            object.__setattr__(one, name, value)
        return one

    jax.tree_util.register_pytree_with_keys(part, flatten_with_keys, unflatten, flatten)
    return part

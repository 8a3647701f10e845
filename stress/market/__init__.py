"""Price models: one a file, behind ``init`` and ``step`` (ARCHITECTURE.md, "A price model")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from stress.types import Integers

__all__ = [
    "Constant",
    "Inside",
    "ModelSource",
    "PriceModel",
    "VaryingInside",
    "WithExtremes",
    "inside",
    "knows_extremes",
]


class PriceModel(Protocol):
    """What the engine asks of a price model: a frozen dataclass registered as a pytree."""

    @property
    def assets(self) -> int:
        """Number of assets."""
        ...

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) root of the covariance of the log returns inside one step.

        Only bridge monitoring reads it; NaN where the model states no variance inside a step. A
        model whose covariance differs from step to step also has ``inside``.
        """
        ...

    def init(self, paths: jax.Array) -> Any:
        """Return the state at time 0 for (paths,) path numbers."""
        ...

    def step(self, state: Any, normals: jax.Array, keys: jax.Array) -> tuple[Any, jax.Array]:
        """Return the next state and the (assets, paths) log return of one step.

        ``normals`` is (assets, paths), independent and standard; ``keys`` is (paths,).
        """
        ...


class Inside(NamedTuple):
    """What the Brownian bridges of one step need to know.

    Attributes
    ----------
    root
        (assets, assets, paths) root of the covariance of the step's log return without its jump,
        or (assets, assets, 1) where it is that of all paths.
    jump
        (assets, paths) part of the step's log return that falls at its end, at once; (assets, 1)
        zeros where there is none.
    """

    root: jax.Array
    jump: jax.Array


@runtime_checkable
class VaryingInside(Protocol):
    """A price model whose steps are not all alike inside: stochastic variance, or jumps."""

    def inside(self, state: Any) -> Inside:
        """Return what the step was like inside, from the state that ``step`` returned."""
        ...


def inside(model: PriceModel, state: Any) -> Inside:
    """Return what the step that ended in this state was like inside, whatever the model."""
    if isinstance(model, VaryingInside):
        return model.inside(state)
    root = model.covariance_root
    return Inside(root[:, :, None], jnp.zeros((model.assets, 1), root.dtype))


@runtime_checkable
class WithExtremes(Protocol):
    """A price model that knows how far prices went inside a step, as bars of a history do.

    One that knows it only for some histories also has an attribute ``has_extremes``, False where
    it does not.
    """

    def extremes(self, state: Any) -> tuple[jax.Array, jax.Array]:
        """Return the logs of the step's low and high relative to the price at its end.

        From the state that ``step`` returned; (assets, paths) each, low at most 0, high at least 0.
        """
        ...


def knows_extremes(model: PriceModel) -> bool:
    """Return whether a model knows how far prices went inside its steps."""
    return isinstance(model, WithExtremes) and bool(getattr(model, "has_extremes", True))


@runtime_checkable
class ModelSource(Protocol):
    """Where the price model of a block of paths comes from.

    All its models have the same shapes and static parts, so that a kernel is compiled once; asked
    for the same paths again it gives the same model.
    """

    def block(self, numbers: Integers) -> PriceModel:
        """Return the model of the paths with these numbers, (paths,), for kernels of that width."""
        ...


@dataclass(frozen=True)
class Constant:
    """The source of a model that is the same for all paths."""

    model: PriceModel

    def block(self, numbers: Integers) -> PriceModel:
        """Return the model."""
        return self.model

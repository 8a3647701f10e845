"""Price models: one a file, behind ``init`` and ``step`` (ARCHITECTURE.md, "A price model")."""

from __future__ import annotations

from typing import Any, Protocol

import jax

__all__ = ["PriceModel"]


class PriceModel(Protocol):
    """What the engine asks of a price model: a frozen dataclass registered as a pytree."""

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) root of the covariance of the log returns inside one step."""
        ...

    def init(self, paths: jax.Array) -> Any:
        """Return the state at time 0 for (paths,) path numbers."""
        ...

    def step(self, state: Any, normals: jax.Array, keys: jax.Array) -> tuple[Any, jax.Array]:
        """Return the next state and the (assets, paths) log return of one step.

        ``normals`` is (assets, paths), independent and standard; ``keys`` is (paths,).
        """
        ...

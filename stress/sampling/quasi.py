"""Quasi-random paths: scrambled Sobol points where a path varies most, plain normals elsewhere.

The normals of a path, (steps, assets), are seen in an orthonormal basis: the principal components
of a random walk in time, times the principal axes of one step's covariance. In the coordinates that
carry most of the path's variance the normals come from scrambled Sobol points, in all others from
plain draws. An orthonormal change of coordinates leaves independent standard normals what they are,
whichever coordinates are replaced, so every replicate is unbiased (Caflisch, Morokoff and Owen
1997, "Valuation of mortgage-backed securities using Brownian bridges to reduce effective
dimension"; Acworth, Broadie and Glasserman 1998, "A comparison of some Monte Carlo and quasi Monte
Carlo techniques for option pricing").

Points of one scramble are not independent: the error is seen from independent scrambles (Owen 1997,
"Monte Carlo variance of scrambled net quadrature"; L'Ecuyer and Lemieux 2002).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from stress.sampling.splitting import Noise
from stress.types import Floats, Integers

__all__ = ["COORDINATES", "Directions", "antithetic_noise", "sobol_noise", "sobol_normals"]

COORDINATES = 256
"""Most coordinates that come from Sobol points. Behind them one carries less than a hundred
thousandth of a path's variance; scipy has direction numbers for 21,201."""

_TOGETHER = 512
"""Paths whose normals are made at once."""

_SOBOL, _ANTITHETIC = 0x736F626F, 0x616E7469
"""Set these random numbers apart from each other and from those of anything else with the seed."""

_KEYS = 1 << 31
"""First number of the keys of these paths: those of the plain run begin at 0."""


@dataclass(frozen=True)
class Directions:
    """The coordinates of a path's normals that carry most of its variance.

    Attributes
    ----------
    times
        (steps, components) orthonormal: principal components of a random walk, the largest first.
    axes
        (assets, assets) orthonormal: columns are principal axes of a step's covariance.
    component, axis
        (coordinates,) which of each a coordinate is, the one of most variance first.
    """

    times: Floats
    axes: Floats
    component: Integers
    axis: Integers

    @classmethod
    def of(cls, steps: int, root: Floats, most: int = COORDINATES) -> Directions:
        """Return the coordinates of most variance.

        Parameters
        ----------
        steps
            Number of steps.
        root
            (assets, assets) root of the covariance of one step's log returns, which are
            ``root @ normals``; the identity where a model states none.
        most
            How many coordinates.
        """
        _, deviation, axes = np.linalg.svd(root)
        variance = np.outer(_walk_variances(steps), deviation**2)
        order = np.argsort(-variance, axis=None, kind="stable")[:most]
        component, axis = np.unravel_index(order, variance.shape)
        return cls(_walk_components(steps, int(component.max()) + 1), axes.T, component, axis)

    def __len__(self) -> int:
        """Return the number of coordinates."""
        return len(self.component)

    def coordinates(self, normals: Floats) -> Floats:
        """Return (paths, coordinates) of (paths, steps, assets) normals."""
        return self._all(normals)[:, self.component, self.axis]

    def replaced(self, normals: Floats, coordinates: Floats) -> Floats:
        """Return (paths, steps, assets) normals with other coordinates; all others stay."""
        change = np.zeros((len(normals), self.times.shape[1], len(self.axes)))
        change[:, self.component, self.axis] = coordinates - self.coordinates(normals)
        return normals + self.times @ (change @ self.axes.T)

    def _all(self, normals: Floats) -> Floats:
        along: Floats = self.times.T @ normals @ self.axes
        return along


def _walk_variances(steps: int) -> Floats:
    """Return (steps,) eigenvalues of the covariance ``min(s, t)`` of a walk, largest first."""
    number = np.arange(1, steps + 1)
    return 1 / (4 * np.sin((2 * number - 1) * np.pi / (2 * (2 * steps + 1))) ** 2)


def _walk_components(steps: int, count: int) -> Floats:
    """Return (steps, count) the walk's principal components, as directions of its increments.

    The walk is ``L z`` with a triangle L of ones; these are the right singular vectors of L, known
    in closed form.
    """
    back = np.arange(steps, 0, -1)[:, None]
    number = np.arange(1, count + 1)[None]
    waves = np.sin((2 * number - 1) * back * np.pi / (2 * steps + 1))
    components: Floats = waves * np.sqrt(4 / (2 * steps + 1))
    return components


def sobol_normals(points: int, coordinates: int, seed: tuple[int, ...]) -> Floats:
    """Return (points, coordinates) standard normals of one scramble of the Sobol sequence.

    Parameters
    ----------
    points
        A power of two.
    seed
        Of the scramble: a linear matrix scramble and a digital shift (Matousek 1998).
    """
    engine = qmc.Sobol(coordinates, scramble=True, bits=32, rng=np.random.default_rng(seed))
    uniform = engine.random_base2(points.bit_length() - 1)
    # the middle of each cell: 0 has no normal
    normals: Floats = ndtri(uniform + 2.0**-33)
    return normals


def sobol_noise(
    directions: Directions, steps: int, *, seed: int, run: int, replicates: int, points: int
) -> Iterator[Noise]:
    """Yield the paths of independent scrambles, one replicate after the other.

    Parameters
    ----------
    directions
        The coordinates that are replaced.
    steps
        Number of steps.
    seed, run
        Seed of the scenario, and a number that sets runs of it apart.
    replicates, points
        Number of scrambles, and paths of each, a power of two.
    """
    pieces = (
        piece
        for replicate in range(replicates)
        for piece in _replicate(directions, steps, (seed, run, replicate), points)
    )
    # pieces of a large replicate, or several small replicates at once
    together = max(_TOGETHER // points, 1)
    first = 0
    while piece := list(islice(pieces, together)):
        normals = np.concatenate(piece)
        yield _noise(normals, run, first)
        first += len(normals)


def _replicate(
    directions: Directions, steps: int, seed: tuple[int, ...], points: int
) -> Iterator[Floats]:
    """Yield the (paths, steps, assets) normals of one replicate, some paths at a time."""
    chosen = sobol_normals(points, len(directions), (_SOBOL, *seed))
    rest = np.random.default_rng((_SOBOL, *seed, 1))
    for first in range(0, points, _TOGETHER):
        some = chosen[first : first + _TOGETHER]
        shape = (len(some), steps, len(directions.axes))
        plain = rest.standard_normal(shape, np.float32)
        yield directions.replaced(plain, some).astype(np.float32)


def antithetic_noise(
    steps: int, assets: int, *, seed: int, run: int, paths: int
) -> Iterator[Noise]:
    """Yield pairs of paths whose normals are each other's negatives, one behind the other.

    Parameters
    ----------
    steps, assets
        Of a path.
    seed, run
        Seed of the scenario, and a number that sets runs of it apart.
    paths
        How many in all, even.
    """
    random = np.random.default_rng((_ANTITHETIC, seed, run))
    for first in range(0, paths, _TOGETHER):
        pairs = (min(paths, first + _TOGETHER) - first) // 2
        one = random.standard_normal((pairs, steps, assets), np.float32)
        both = np.stack([one, -one], axis=1).reshape(2 * pairs, steps, assets)
        yield _noise(both, run, first)


def _noise(normals: Floats, run: int, first: int) -> Noise:
    """Return the noise of paths whose other draws are those of paths of their own."""
    number = (_KEYS + (run << 28) + first + np.arange(len(normals))).astype(np.uint32)
    steps = normals.shape[1]
    return Noise(normals, np.broadcast_to(number[:, None], (len(number), steps)), number)

"""Rotation of traces in the plane of activation and gradient.

For a trace a over sites, with its gradient g (central differences), the rotation count is the
signed number of turns of the tangent of the path (a, g):

    theta = atan2(diff g, diff a),    R = sum wrap(diff theta) / (2 pi),    wrap into (-pi, pi].

The winding number counts the turns of (a, g) about its own centroid. A move of length zero has no
direction: it keeps the previous one, and the first moves of a trace take the first that exists.
Cost: two arc tangents per point and trace, in blocks of traces, accumulated in float64. Known
answers and limits: docs/measures/orbits.rotation_counts.md. Source: arXiv 2502.12131.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.orbits.turns import (
    centroid_turns,
    over_traces,
    require_four_sites,
    tangent_turns,
    turns_of_moves,
)
from transformer_dynamics.numerics.arrays import Floats, warn_undefined

# Mean turns of a Gaussian random walk per point but two, from simulation.
RANDOM_WALK_TURNS = -0.1765
CONSTANT = "a trace is constant over depth"


def phase_gradient(traces: NDArray[Any]) -> Floats:
    """Compute the gradient of traces over depth: central differences, one-sided at both ends.

    Args:
        traces: `(..., site)`, in stream units.

    Returns:
        `(..., site)`, in stream units per site.

    Raises:
        InputError: fewer than four sites.

    >>> phase_gradient(np.array([0.0, 1.0, 4.0, 9.0]))
    array([1., 2., 4., 5.])
    """
    require_four_sites(traces)
    return np.asarray(np.gradient(traces.astype(np.float64), axis=-1))


def rotation_count(traces: NDArray[Any]) -> Floats:
    """Count the signed turns of the tangent of each path (activation, gradient).

    Args:
        traces: `(..., site)`, in any unit: the count changes with the ratio of the two axes, which
            one unit per site fixes.

    Returns:
        `(...)` in turns, negative for clockwise. NaN, with one `UndefinedWarning`, for a trace that
        is constant or not finite.

    Raises:
        InputError: fewer than four sites.

    >>> sites = np.arange(64)
    >>> rotation_count(np.sin(2 * np.pi * 3 * sites / 63)).round(1)
    np.float64(-3.0)
    """
    result = over_traces(tangent_turns, traces)
    warn_undefined({"rotation_count": result}, CONSTANT, stacklevel=2)
    return result


def winding_number(traces: NDArray[Any]) -> Floats:
    """Count the signed turns of each path (activation, gradient) about its own centroid.

    Args:
        traces: `(..., site)`, in any unit.

    Returns:
        `(...)` in turns, negative for clockwise. NaN, with one `UndefinedWarning`, for a trace that
        is constant or not finite.

    Raises:
        InputError: fewer than four sites.
    """
    result = over_traces(centroid_turns, traces)
    warn_undefined({"winding_number": result}, CONSTANT, stacklevel=2)
    return result


def permuted_points_rotation_count(traces: NDArray[Any], *, seed: int = 0) -> Floats:
    """Compute the rotation count after permuting the points (activation, gradient) over depth.

    This is the null model that arXiv 2502.12131 seems to have used: the gradient is not recomputed,
    so a point keeps its two coordinates and only the order of the points is lost. Its mean is zero
    for traces of any kind.

    Args:
        traces: `(..., site)`, in stream units.
        seed: seed of the permutations, one per trace.

    Returns:
        `(...)` in turns. NaN, with one `UndefinedWarning`, for a trace that is constant or not
        finite.

    Raises:
        InputError: fewer than four sites.
    """
    rng = np.random.default_rng(seed)

    def permuted(activation: Floats) -> Floats:
        order = rng.random(activation.shape).argsort(axis=0)
        gradient = np.gradient(activation, axis=0)
        return turns_of_moves(
            np.take_along_axis(activation, order, axis=0),
            np.take_along_axis(gradient, order, axis=0),
        )

    result = over_traces(permuted, traces)
    warn_undefined({"rotation_count": result}, CONSTANT, stacklevel=2)
    return result

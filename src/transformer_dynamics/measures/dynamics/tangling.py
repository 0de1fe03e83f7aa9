"""Tangling: whether states that are close together move in different directions.

For the points x and their steps dx of one or several paths,

    Q(t) = max over t' of |dx(t) - dx(t')|^2 / (|x(t) - x(t')|^2 + eps),    eps = 0.1 x variance

with the mean square distance of all points from their mean as variance. Steps are x[s+1] - x[s] at
the midpoint (x[s] + x[s+1])/2. Source: Russo et al. 2018, with central differences there. Cost: for
T steps in all, two products of T^2 times the number of axes, in blocks of rows. Not handled: flows
that change from step to step, as those of a model's layers do; this alone can make paths tangled.
Known answers: docs/measures/dynamics.rotation.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, warn_undefined

SOFTENING = 0.1
BLOCK_ROWS = 256


def tangling(paths: NDArray[Any], *, softening: float = SOFTENING) -> Floats:
    """Compute Q of every step, with the maximum over all steps of all paths.

    Args:
        paths: `(..., point, axis)`, at least two points per path.
        softening: eps over the variance of all points; positive.

    Returns:
        `(..., step)`, per step squared, float64; NaN, with one `UndefinedWarning`, where the points
        do not vary or are not finite.

    Raises:
        InputError: `paths` has fewer than two axes, a path fewer than two points, or `softening` is
            not positive.

    >>> cross = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [1.0, -1.0]])
    >>> tangling(cross).round(2)
    array([80.  , 16.67, 80.  ])
    """
    paths = np.asarray(paths, dtype=np.float64)
    if paths.ndim < 2 or paths.shape[-2] < 2 or 0 in paths.shape:
        raise InputError(
            f"got paths of shape {paths.shape}; a path is (..., point, axis) with at least two "
            "points, as in tangling(recording.values[:16])"
        )
    if not softening > 0:
        raise InputError(
            f"got softening={softening}; it keeps Q finite where paths meet and is positive: "
            f"softening={SOFTENING}"
        )
    result = tangling_of(paths, softening)
    warn_undefined({"tangling": result}, "the points do not vary", stacklevel=2)
    return result


def tangling_of(paths: Floats, softening: float) -> Floats:
    """Compute `tangling` of valid float64 paths, without checks and warning."""
    n_axes = paths.shape[-1]
    with np.errstate(invalid="ignore"):
        centered = paths - paths.reshape(-1, n_axes)[0]
        centered = centered - centered.reshape(-1, n_axes).mean(axis=0)
        variance = np.vdot(centered, centered) * n_axes / centered.size
        steps = np.diff(centered, axis=-2)
        midpoints = (centered[..., 1:, :] + centered[..., :-1, :]) / 2
    if not variance > 0 or not np.isfinite(variance):
        return np.full(steps.shape[:-1], np.nan)
    steps, midpoints = steps.reshape(-1, n_axes), midpoints.reshape(-1, n_axes)
    left, right = _squared_distance_factors(steps)
    below_left, below_right = _squared_distance_factors(midpoints, softening * variance)
    result = np.empty(len(steps))
    for start in range(0, len(steps), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        quotient = left[rows] @ right
        quotient /= np.maximum(below_left[rows] @ below_right, softening * variance)
        result[rows] = quotient.max(axis=1)
    # A step differs from itself by zero, which rounding can turn negative.
    return np.maximum(result, 0.0).reshape(*paths.shape[:-2], paths.shape[-2] - 1)


def _squared_distance_factors(points: Floats, added: float = 0.0) -> tuple[Floats, Floats]:
    """Matrices whose product holds |x - y|^2 + `added` for all pairs of `(point, axis)`."""
    squares = np.einsum("pa,pa->p", points, points)[:, np.newaxis]
    one = np.ones_like(squares)
    left = np.concatenate([points, squares, one], axis=1)
    right = np.concatenate([-2 * points, one, squares + added], axis=1)
    return left, np.ascontiguousarray(right.T)

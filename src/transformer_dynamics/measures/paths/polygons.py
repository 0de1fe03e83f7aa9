"""Length, straightness and turning of polygonal paths: array kernels.

The turning angle is 2 atan2(|u - v|, |u + v|) of the unit vectors u and v of two consecutive steps:
arccos loses half of the digits near 0 and pi, the angles of straight and reversing paths.
Cost: one pass over the states, a few sites in float64 at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import (
    Floats,
    lengths,
    ratio,
    require_sites,
    site_states,
    warn_undefined,
)


def tortuosity(points: NDArray[Any]) -> Floats:
    """Length of paths divided by their end-to-end distance.

    Args:
        points: `(..., point, axis)`, at least two points per path.

    Returns:
        `(...)`, dimensionless, at least 1, float64; NaN, with one `UndefinedWarning`, for a path
        that ends where it began.

    Raises:
        InputError: `points` has fewer than two axes, or a path fewer than two points.

    >>> tortuosity(np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]))
    array(1.4)
    """
    points = np.asarray(points)
    if points.ndim < 2 or points.shape[-2] < 2:
        raise InputError(
            f"got points of shape {points.shape}; a path is (..., point, axis) with at least two "
            "points, as in tortuosity(recording.values.mean(axis=0))"
        )
    with np.errstate(invalid="ignore"):
        steps = np.diff(points.astype(np.float64), axis=-2)
        displacement = np.linalg.norm(
            points[..., -1, :] - points[..., 0, :].astype(np.float64), axis=-1
        )
    result = np.asarray(ratio(np.linalg.norm(steps, axis=-1).sum(axis=-1), displacement))
    warn_undefined({"tortuosity": result}, "a path ends where it began", stacklevel=2)
    return result


def turning_angle(values: NDArray[Any]) -> Floats:
    """Angle between consecutive steps of each sample.

    Args:
        values: states `(sample, site, unit)`, at least three sites.

    Returns:
        `(sample, turn)` in radians from 0 to pi, float64; NaN, with one `UndefinedWarning`, where
        one of the two steps has length zero.

    Raises:
        InputError: `values` has another number of axes, or fewer than three sites.

    >>> turning_angle(np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 0.0]]])) / np.pi
    array([[0.5, 1. ]])
    """
    require_sites(values, 3)
    _, _, angles = _one_pass(values)
    warn_undefined({"turning_angle": angles}, "a step has length zero", stacklevel=2)
    return angles


def polygon_quantities(values: NDArray[Any]) -> dict[str, Floats]:
    """Compute length, displacement, tortuosity and turning angles in one pass.

    Args:
        values: paths `(sample, site, unit)`.

    Returns:
        `path_length`, `displacement`, `tortuosity` `(sample)`; `turning_angle` `(sample, turn)`;
        `path_length_to` `(sample, site)`.
    """
    step_lengths, displacement, angles = _one_pass(values)
    length_to = np.zeros(values.shape[:2])
    np.cumsum(step_lengths, axis=1, out=length_to[:, 1:])
    # A copy, since a view would keep the whole table in memory.
    path_length = length_to[:, -1].copy()
    return {
        "path_length": path_length,
        "displacement": displacement,
        "tortuosity": ratio(path_length, displacement),
        "turning_angle": angles,
        "path_length_to": length_to,
    }


def _one_pass(values: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Length of each step, end-to-end distance and turning angle, in one pass.

    Returns:
        Arrays `(sample, step)`, `(sample)` and `(sample, turn)`.
    """
    n_samples, n_sites, _ = values.shape
    step_lengths = np.empty((n_samples, n_sites - 1))
    angles = np.empty((n_samples, max(0, n_sites - 2)))
    states = site_states(values)
    first = before = next(states)
    last_direction = first
    with np.errstate(invalid="ignore"):
        for step, after in enumerate(states):
            direction = after - before
            step_lengths[:, step] = lengths(direction)
            direction /= np.where(step_lengths[:, step] == 0, np.nan, step_lengths[:, step])[
                :, None
            ]
            if step:
                angles[:, step - 1] = _angle(last_direction, direction)
            before, last_direction = after, direction
        displacement = lengths(before - first)
    return step_lengths, displacement, angles


def _angle(first: Floats, second: Floats) -> Floats:
    """Angle between unit vectors `(sample, unit)`, accurate near 0 and pi too."""
    return 2 * np.arctan2(lengths(first - second), lengths(first + second))

"""Null models of a set of points: a Gaussian cloud, and a path of right angles.

The Gaussian cloud has exactly the sample covariance of the points and no other structure. The path
of right angles has the step lengths of a given path; a random walk in many dimensions is such a
path. Source: ours. Cost: N min(N, D)^2 for a cloud.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from transformer_dynamics.measures.dimension.points.sets import centered
from transformer_dynamics.numerics.arrays import Floats, add_rows, row_pieces


def gaussian_cloud(points: NDArray[Any], *, seed: int = 0) -> Floats:
    """Draw a Gaussian cloud that has exactly the sample covariance of some points.

    The points are rotated by a random orthogonal matrix over the points that keeps their mean. The
    cloud of a Gaussian sample is another sample of the same law; otherwise each point of the cloud
    mixes all given points, and only their covariance is kept.

    Args:
        points: `(point, axis)`, finite.
        seed: seed of the matrix.

    Returns:
        `(point, axis)`, about zero, float64.

    >>> spread = gaussian_cloud(np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    >>> (spread.T @ spread).round(6) + 0.0
    array([[18.,  0.],
           [ 0.,  2.]])
    """
    return drawn_gaussian_cloud(np.asarray(points, dtype=np.float64), np.random.default_rng(seed))


def drawn_gaussian_cloud(points: Floats, rng: np.random.Generator) -> Floats:
    """Gaussian cloud `(point, axis)` from a given generator; see `gaussian_cloud`."""
    deviations = centered(points)
    n_points, n_axes = points.shape
    if n_points == 1 or not np.isfinite(deviations).all():
        return deviations
    # Fewer rows with the same products, F'F = X'X: the points in a basis without the mean, or R.
    if n_points - 1 <= n_axes:
        factor: Floats = linalg.helmert(n_points) @ deviations
    else:
        # The mode "raw" gives R without rows of zeros.
        upper = linalg.qr(deviations, mode="raw", overwrite_a=True)[1]
        factor = np.asarray(upper, dtype=np.float64)
    del deviations
    numbers = _normal_rows(n_points, len(factor), rng)
    frame, upper = linalg.qr(numbers, mode="economic", overwrite_a=True)
    # With these signs the frame is uniform among all orthonormal ones (Mezzadri).
    factor *= np.sign(np.diag(upper))[:, np.newaxis]
    return np.asarray(frame @ factor)


def _normal_rows(n_rows: int, n_columns: int, rng: np.random.Generator) -> Floats:
    """Draw normal numbers `(row, column)` less the mean of each column.

    They lie column by column in memory, so that LAPACK overwrites them and makes no copy.
    """
    numbers, total = np.empty((n_rows, n_columns), order="F"), np.zeros(n_columns)
    for rows in row_pieces(n_rows):
        numbers[rows] = piece = rng.standard_normal((rows.stop - rows.start, n_columns))
        add_rows(total, piece)
    numbers -= total / n_rows
    return numbers


def right_angled_paths(step_lengths: NDArray[Any]) -> Floats:
    """Build paths with given step lengths whose steps are all at right angles.

    Args:
        step_lengths: `(..., step)`.

    Returns:
        Points `(..., point, axis)`, one axis per step and one point more than steps, float64.

    >>> right_angled_paths(np.array([3.0, 4.0]))
    array([[0., 0.], [3., 0.], [3., 4.]])
    """
    n_steps = np.shape(step_lengths)[-1]
    covered = np.tri(n_steps + 1, n_steps, -1)
    return np.asarray(covered * np.asarray(step_lengths, dtype=np.float64)[..., np.newaxis, :])

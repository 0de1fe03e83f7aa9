"""Levels: histogram bins of a tenth of a unit's robust standard deviation.

`numpy.histogram` counts one array at a time; these counts cover all units, or all samples and
units, in one `bincount`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats

LEVEL_LIMIT = 3.0
N_LEVELS = 60
LEVEL_WIDTH = 2 * LEVEL_LIMIT / N_LEVELS


def level_centers() -> Floats:
    """Return the level centers `(level)`, in robust standard deviations from the median."""
    return np.asarray(-LEVEL_LIMIT + LEVEL_WIDTH * (np.arange(N_LEVELS) + 0.5))


def level_counts(
    points: Floats, keep: NDArray[np.bool_], *, per_sample: bool = False
) -> NDArray[np.int64]:
    """Count the points in each level.

    Args:
        points: `(sample, unit, window)`, in robust standard deviations from the median.
        keep: mask of the points that count, same shape.
        per_sample: whether to count each sample separately.

    Returns:
        `(sample, unit, level)`, of size 1 along `sample` where samples are counted together.
    """
    n_samples, n_units, _ = points.shape
    groups = n_samples if per_sample else 1
    with np.errstate(invalid="ignore"):
        level = np.floor((points + LEVEL_LIMIT) / LEVEL_WIDTH)
        keep = keep & (level >= 0) & (level < N_LEVELS)
    cell = np.arange(n_units)[:, np.newaxis]
    if per_sample:
        cell = cell + n_units * np.arange(n_samples)[:, np.newaxis, np.newaxis]
    index = np.broadcast_to(cell * N_LEVELS, points.shape)[keep] + level[keep].astype(np.int64)
    return np.bincount(index, minlength=groups * n_units * N_LEVELS).reshape(
        groups, n_units, N_LEVELS
    )

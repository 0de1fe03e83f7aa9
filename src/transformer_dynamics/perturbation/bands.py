"""Runs of layers in which displacements shrink."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A mean log ratio nearer to 0 than this does not count as contraction: one per cent.
MARGIN = 0.01


def band(
    log_ratio: ArrayLike, *, margin: float = MARGIN
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The run of starts with the largest total contraction.

    The run maximizes the sum of -(log ratio) - margin; where no start contracts by more than the
    margin it is the start with the lowest ratio.

    Args:
        log_ratio: ln of the distance left over the initial one, `(..., start)`; NaN where the
            horizon lies beyond the end.
        margin: contraction per start that counts as none.

    Returns:
        First and last index of the run, both inclusive, `(...)` each. Zeros where all are NaN.

    >>> band([0.1, -0.2, -0.3, 0.02, 0.0, float("nan")])
    (array(1), array(2))
    """
    values = np.asarray(log_ratio, dtype=np.float64)
    gains = np.where(np.isnan(values), -np.inf, -values - margin)
    flat = gains.reshape(-1, gains.shape[-1])
    runs = np.array([_best_run(row) for row in flat], dtype=np.int64).reshape(-1, 2)
    first, last = runs[:, 0], runs[:, 1]
    return first.reshape(values.shape[:-1]), last.reshape(values.shape[:-1])


def _best_run(gains: NDArray[np.float64]) -> tuple[int, int]:
    """The contiguous run of largest sum (Kadane), or the largest single gain."""
    lowest = int(np.argmax(gains))
    best, best_run = float(gains[lowest]), (lowest, lowest)
    total, first = 0.0, 0
    for place, gain in enumerate(gains.tolist()):
        if total <= 0:
            total, first = 0.0, place
        total += gain
        if total > best:
            best, best_run = total, (first, place)
    return best_run

"""Contracting bands: runs of neighboring starts from which displacements shrink."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Contraction by less than one percent does not extend a band.
MARGIN = 0.01
# Keeps sums finite if a displacement vanishes.
MOST = 1e3


def contracting_band(
    log_ratio: ArrayLike, *, margin: float = MARGIN
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the contiguous run of starts with the largest total contraction.

    The run maximizes the sum over its starts of -(log ratio) - margin. If no start contracts by
    more than the margin, it is the single start with the lowest log ratio.

    Args:
        log_ratio: ln of the final over the initial distance, `(..., start)`; NaN if the horizon
            lies beyond the last site, and no run includes it.
        margin: contraction below which a start does not count, in nats.

    Returns:
        Index of the first and of the last start of the run, both inclusive, each `(...)`; 0 if
        every start is NaN. Of equal runs the first.

    >>> contracting_band([0.1, -0.2, -0.3, 0.02, 0.0, float("nan")])
    (array(1), array(2))
    >>> contracting_band([[0.3, 0.2, 0.4], [-0.5, 0.1, -0.5]])
    (array([1, 0]), array([1, 2]))
    """
    values = np.asarray(log_ratio, dtype=np.float64)
    gains = np.where(np.isnan(values), -np.inf, np.minimum(-values - margin, MOST))
    best, total = np.full(values.shape[:-1], -np.inf), np.zeros(values.shape[:-1])
    first, last, begin = (np.zeros(values.shape[:-1], dtype=np.int64) for _ in range(3))
    for start in range(values.shape[-1]):
        # Kadane: a run without gain so far is dropped.
        restarts = total <= 0
        begin = np.where(restarts, start, begin)
        total = np.where(restarts, 0.0, total) + gains[..., start]
        better = total > best
        best = np.where(better, total, best)
        first, last = np.where(better, begin, first), np.where(better, start, last)
    return np.asarray(first), np.asarray(last)

"""Normal scores: the ranks of a sample as quantiles of the standard normal distribution.

`scipy.stats.rankdata` and `ndtri` take several times as long: `ndtri` evaluates the quantile for
every value instead of once per rank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from transformer_dynamics.numerics.arrays import Floats

# Values sorted at a time; their integers and positions stay in a core's cache.
BLOCK_VALUES = 2**15


def normal_scores(values: NDArray[Any]) -> Floats:
    """Compute normal scores ndtri(rank / (N + 1)) along the first axis.

    Args:
        values: `(sample, ..., unit)`; tied values share their average rank.

    Returns:
        The shape of `values`, in float64; a column that holds a NaN is NaN, a constant one is zero.

    >>> normal_scores(np.array([[30.0], [10.0], [10.0]])).round(3).ravel()
    array([ 0.674, -0.319, -0.319])
    """
    result = np.empty(values.shape)
    for index in np.ndindex(values.shape[1:-1]):
        chosen = (slice(None), *index)
        result[chosen] = site_scores(values[chosen])
    return result


def site_scores(columns: NDArray[Any]) -> Floats:
    """Compute normal scores of `(sample, unit)`, a transposed view of a `(unit, sample)` array."""
    n_samples, n_units = columns.shape
    # Average ranks of ties are multiples of one half: rank k is entry 2 k.
    table = ndtri(np.arange(2 * n_samples + 1) / (2 * n_samples + 2))
    result = np.empty((n_units, n_samples))
    size = max(1, BLOCK_VALUES // n_samples)
    for start in range(0, n_units, size):
        block = slice(start, start + size)
        rows = np.ascontiguousarray(columns[:, block].T)
        order, ascending = _ordered(rows)
        scores = np.broadcast_to(table[2::2], rows.shape)
        tied = np.flatnonzero((ascending[:, 1:] == ascending[:, :-1]).any(axis=1))
        if tied.size:
            scores = scores.copy()
            scores[tied] = table[_doubled_average_ranks(ascending[tied])]
        order += np.arange(len(rows))[:, np.newaxis] * n_samples
        result[block].reshape(-1)[order.ravel()] = scores.ravel()
        result[block][np.isnan(rows).any(axis=1)] = np.nan
    return result.T


def _ordered(rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Positions that sort each row, and its sorted values, or integers in their place.

    Values of 32 bits and their positions share one integer of 64 bits: sorting the integers takes
    half the time of finding the permutation. Positions decide between equal values.
    """
    if rows.dtype.itemsize > 4 or rows.dtype.kind != "f":
        order = np.argsort(rows, axis=1)
        return order, np.take_along_axis(rows, order, axis=1)
    # Adding zero turns -0 into 0, which is the same value in other bits.
    bits = (rows.astype(np.float32, copy=False) + np.float32(0)).view(np.int32)
    # Of negative numbers the larger ones have the smaller magnitude.
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    keys = bits.astype(np.int64) << 32
    keys |= np.arange(rows.shape[1])
    keys.sort(axis=1)
    ascending = keys >> 32
    keys &= 0xFFFFFFFF
    return keys, ascending


def _doubled_average_ranks(ascending: NDArray[Any]) -> NDArray[np.intp]:
    """Compute twice the average rank, from one, of each entry of sorted rows `(unit, sample)`."""
    n_samples = ascending.shape[1]
    begins = np.ones(ascending.shape, dtype=bool)
    begins[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=ascending.size)
    doubled = 2 * (starts % n_samples) + lengths + 1
    return np.repeat(doubled, lengths).reshape(ascending.shape)

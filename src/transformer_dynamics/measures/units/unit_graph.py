"""Graph of units by correlation: each unit joined with its nearest neighbors by |r|.

Two units are joined where either is among the `neighbors` units with the largest |r| of the other,
Pearson's r over samples at one site; the weight of an edge is |r|. Signs of correlations are not
used. Cost: one product (unit, sample) x (sample, unit).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats

LEAST_SAMPLES = 3
NEIGHBORS = 10
# Samples of a correlation; the random bases cost in proportion to them.
MOST_SAMPLES = 512


def zero_filled_z_scores(states: NDArray[Any]) -> Floats:
    """Scale units to mean 0 and variance 1 over samples, `(sample, unit)`, with zeros, not NaN.

    Constant units are 0, where `scipy.stats.zscore` gives NaN; so are all units of fewer than three
    samples, since any two units correlate perfectly over two samples.

    Raises:
        InputError: the states are not finite.
    """
    values = np.asarray(states, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(
            "got states that are not finite; a correlation of units needs at least 3 finite "
            "samples: recording.isel(sample=np.isfinite(recording.values).all(axis=(1, 2)))"
        )
    # By the range, since the deviation of equal numbers may round above zero.
    varies = (values.max(axis=0) > values.min(axis=0)) & (len(values) >= LEAST_SAMPLES)
    centered = np.where(varies, values - values.mean(axis=0), 0.0)
    scale = np.sqrt((centered**2).mean(axis=0))
    return centered / np.where(scale > 0, scale, 1.0)


def absolute_correlation(states: NDArray[Any]) -> Floats:
    """Compute Pearson's |r| of all pairs of units over samples, `(unit, unit)`, zero diagonal.

    Units that do not vary have correlation 0 with all others.
    """
    scores = zero_filled_z_scores(states)
    magnitude: Floats = np.minimum(np.abs(scores.T @ scores) / len(scores), 1.0)
    np.fill_diagonal(magnitude, 0.0)
    return magnitude


def strongest_neighbors(weights: Floats, neighbors: int) -> sparse.csr_array:
    """Keep the edges among the strongest of either of their units; the graph stays symmetric.

    `sklearn.neighbors.kneighbors_graph` takes distances of points, not a matrix of weights.

    Args:
        weights: `(unit, unit)`, symmetric, at least 0, with a zero diagonal.
        neighbors: number of strongest edges that each unit keeps; all where there are fewer.

    Raises:
        InputError: `neighbors` is below 1.
    """
    if neighbors < 1:
        raise InputError(
            f"got neighbors={neighbors}; each unit keeps at least 1 edge: "
            f"td.units.communities(recording, neighbors={NEIGHBORS})"
        )
    n_units = len(weights)
    kept = np.ones(weights.shape, dtype=bool)
    if neighbors < n_units - 1:
        strongest = np.argpartition(-weights, neighbors - 1, axis=1)[:, :neighbors]
        kept[:] = False
        np.put_along_axis(kept, strongest, True, axis=1)
    return sparse.csr_array(np.where(kept | kept.T, weights, 0.0))

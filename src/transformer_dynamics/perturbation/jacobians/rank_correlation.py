"""Spearman correlation, plain and partial, with a permutation null.

Values come from one matrix product of permuted and residual ranks, which `scipy.stats` has for
neither the partial correlation nor its permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy.stats import rankdata

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.stats.significance import monte_carlo_p

# With fewer pairs a rank correlation takes too few distinct values.
LEAST_PAIRS = 5
BAND = (2.5, 97.5)


class RankCorrelation(NamedTuple):
    """A rank correlation and its null.

    Attributes:
        value: from -1 to 1.
        p: two-sided p-value of the permutations.
        low: 2.5th percentile of the permutations.
        high: 97.5th percentile.
    """

    value: float
    p: float
    low: float
    high: float


def rank_correlation(
    first: Floats,
    second: Floats,
    given: Sequence[Floats] = (),
    *,
    n_permutations: int = 199,
    seed: int = 0,
) -> RankCorrelation:
    """Compute the Spearman correlation, or the partial correlation of ranks, and its null.

    Args:
        first: `(pair)`; its ranks, or their residuals, are permuted.
        second: `(pair)`.
        given: arrays `(pair)` whose ranks are regressed out of both, by least squares.
        n_permutations: number of draws of the null.
        seed: seed of the permutations.

    Returns:
        NaN for fewer than five pairs more than arrays in `given`, and if either has no variance
        or no residual; pairs with a NaN are left out.

    >>> rank_correlation(np.arange(6.0), np.arange(6.0) ** 3).value
    1.0
    """
    columns = np.stack([first, second, *given])
    columns = columns[:, np.isfinite(columns).all(axis=0)]
    undefined = RankCorrelation(np.nan, np.nan, np.nan, np.nan)
    if columns.shape[1] < LEAST_PAIRS + len(given):
        return undefined
    ranks = rankdata(columns, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    basis = scipy.linalg.orth(ranks[2:].T) if len(given) else np.empty((ranks.shape[1], 0))
    residuals = ranks[:2] - ranks[:2] @ basis @ basis.T
    before, after = ((each**2).sum(axis=1) for each in (ranks[:2], residuals))
    # The residual of ranks that the regression explains is a rounding error.
    if (after <= 1e-12 * before).any():
        return undefined
    rng = np.random.default_rng(seed)
    permuted = rng.permuted(np.tile(residuals[0], (n_permutations, 1)), axis=1)
    rows = np.vstack([residuals[0], permuted])
    rows -= rows @ basis @ basis.T
    values = np.clip(rows @ residuals[1] / np.sqrt((rows**2).sum(axis=1) * after[1]), -1.0, 1.0)
    low, high = np.percentile(values[1:], BAND)
    # Equal correlations may differ by a rounding error.
    value, *draws = values.round(12)
    p = monte_carlo_p(value, draws, direction="two-sided")
    return RankCorrelation(float(value), float(p), float(low), float(high))

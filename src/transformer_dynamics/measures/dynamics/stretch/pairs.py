"""Statistics of all pairs of sites under each fit of the law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transformer_dynamics.measures.dynamics.singular_bases import Matching
from transformer_dynamics.measures.dynamics.stretch.law import (
    MOST_AGREED,
    PREDICTORS,
    FittedLaw,
    PairStatistics,
)
from transformer_dynamics.measures.dynamics.stretch.residuals import AVERAGES, SHAPES
from transformer_dynamics.numerics.splits import text_folds
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import text_weights

FITS: dict[str, Matching] = {"published": "order", "held_out": "order", "followed": "followed"}
N_BOOTSTRAP = 199


class AllPairs:
    """Statistics of all pairs of one fit, NaN where a lag reaches before the first site.

    Args:
        lags: lags in sites.
        n_sites: number of sites.
        n_draws: number of bootstrap draws.
    """

    def __init__(self, lags: Sequence[int], n_sites: int, n_draws: int) -> None:
        shape = (len(lags), n_sites)
        self.square, self.variance = np.full((2, *shape, len(PREDICTORS)), np.nan)
        self.log_variance = np.full((*shape, len(AVERAGES)), np.nan)
        self.drawn = np.full((*shape, n_draws, len(AVERAGES)), np.nan)
        self.shape = np.full((*shape, len(SHAPES)), np.nan)
        self.agreement = np.full((*shape, MOST_AGREED), np.nan)

    def fill(self, index: tuple[int, int], statistics: PairStatistics) -> None:
        """Store the statistics of one pair, given the indices of its lag and its later site."""
        for name in ("square", "variance", "log_variance", "drawn", "shape"):
            getattr(self, name)[index] = getattr(statistics, name)
        self.agreement[index][: statistics.agreement.size] = statistics.agreement


def pair_statistics(
    recording: Recording, fit: str, lags: Sequence[int], n_components: int | None, seed: int
) -> tuple[AllPairs, dict[str, int]]:
    """Compute the statistics of all pairs under one fit.

    Args:
        recording: the states.
        fit: one of `FITS`.
        lags: lags in sites.
        n_components: largest number of components, or `None` for the largest possible one.
        seed: seed of the halves and of the bootstrap.

    Returns:
        The statistics, and the numbers `scored_samples` and `components`.
    """
    n_samples, n_sites, n_units = recording.shape
    training = scored = np.ones(n_samples, dtype=bool)
    n_largest = min(n_samples, n_units)
    if fit != "published":
        training = text_folds(recording.groups, 2, seed=seed) == 0
        scored = ~training
        n_largest = max(1, min(int(training.sum()) // 4, n_units))
    pairs = AllPairs(lags, n_sites, N_BOOTSTRAP)
    counts = {"scored_samples": int(scored.sum()), "components": 0}
    if min(int(training.sum()), int(scored.sum())) < 2:
        return pairs, counts
    law = FittedLaw(
        recording.values,
        training,
        scored,
        n_components=min(n_largest, n_components or n_largest),
        matching=FITS[fit],
    )
    weights = text_weights(recording.groups[scored], N_BOOTSTRAP, seed=seed)
    for row, lag in enumerate(lags):
        for after in range(lag, n_sites):
            pairs.fill((row, after), law.pair(after - lag, after, weights))
    return pairs, {**counts, "components": law.bases[-1].values.size}

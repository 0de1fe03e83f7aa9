"""Statistics of all pairs of sites under each fit of the law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.singular_bases import (
    Matching,
    SingularBasis,
    singular_bases,
)
from transformer_dynamics.measures.dynamics.stretch.law import (
    MOST_AGREED,
    PREDICTORS,
    LawOnPairs,
    PairStatistics,
)
from transformer_dynamics.measures.dynamics.stretch.residuals import AVERAGES, SHAPES
from transformer_dynamics.numerics.by_site import SiteStates
from transformer_dynamics.numerics.splits import text_folds
from transformer_dynamics.stats.bootstrap import text_counts

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
    states: SiteStates,
    groups: NDArray[Any],
    fit: str,
    lags: Sequence[int],
    *,
    n_components: int | None = None,
    seed: int = 0,
) -> tuple[AllPairs, dict[str, int]]:
    """Compute the statistics of all pairs under one fit.

    The bases of the largest lag's sites are held at a time.

    Args:
        states: the states.
        groups: text, or group of texts, of each sample, `(sample)`.
        fit: one of `FITS`.
        lags: lags in sites.
        n_components: largest number of components, or `None` for the largest possible one.
        seed: seed of the halves and of the bootstrap.

    Returns:
        The statistics, and the numbers `scored_samples` and `components`.
    """
    n_samples, n_sites, n_units = states.shape
    training = scored = np.ones(n_samples, dtype=bool)
    n_largest = min(n_samples, n_units)
    if fit != "published":
        training = text_folds(groups, 2, seed=seed) == 0
        scored = ~training
        n_largest = max(1, min(int(training.sum()) // 4, n_units))
    pairs = AllPairs(lags, n_sites, N_BOOTSTRAP)
    counts = {"scored_samples": int(scored.sum()), "components": 0}
    if min(int(training.sum()), int(scored.sum())) < 2:
        return pairs, counts
    texts, text_of_sample = np.unique(groups[scored], return_inverse=True)
    drawn = text_counts(texts.size, N_BOOTSTRAP, seed=seed)[:, text_of_sample]
    law = LawOnPairs(states, training, scored, drawn)
    trained = (states.site(site)[training] for site in range(n_sites))
    n_kept = min(n_largest, n_components or n_largest)
    bases: dict[int, SingularBasis] = {}
    for after, basis in enumerate(singular_bases(trained, n_kept, matching=FITS[fit])):
        bases[after] = basis
        for row, lag in enumerate(lags):
            if lag <= after:
                statistics = law.pair(after - lag, after, (bases[after - lag], basis))
                pairs.fill((row, after), statistics)
        bases.pop(after - max(lags, default=0), None)
        counts["components"] = basis.values.size
    return pairs, counts

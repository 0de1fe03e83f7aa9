"""Jackknife interval of the Procrustes distance over groups of texts.

    value +- t sqrt((g-1)/g sum_j (d_j - mean d)^2),

with d_j the distance without group j of g groups of texts (20, or one text each). A bootstrap would
bias the distance, since it depends on the number of distinct samples.

Source: ours. Cost: one Procrustes distance per group and pair of sets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from transformer_dynamics.measures.similarity.cka_procrustes import procrustes_of_pairs
from transformer_dynamics.measures.similarity.state_sets import StateSets
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.parallel import thread_pool

N_GROUPS = 20


def procrustes_without_groups(
    first: StateSets, second: StateSets, text_index: NDArray[np.int64], seed: int
) -> Floats:
    """Procrustes distance of pairs of sets without one group of texts, `(group, pair)`.

    Args:
        first: sets of one recording.
        second: sets of the other, as many, of the same samples.
        text_index: text of each sample, `(sample)`.
        seed: seed of the grouping of texts.
    """
    texts = np.random.default_rng(seed).permutation(np.unique(text_index))
    groups = [group for group in np.array_split(texts, N_GROUPS) if group.size]
    distance = np.full((len(groups), len(first.scores)), np.nan)

    def fill(group: int) -> None:
        kept = ~np.isin(text_index, groups[group])
        pair = [_unit_norm(sets.scores[:, kept]) for sets in (first, second)]
        distance[group] = procrustes_of_pairs(*pair)

    if len(groups) > 1:
        with thread_pool() as pool:
            list(pool.map(fill, range(len(groups))))
    return distance


def _unit_norm(scores: Floats) -> Floats:
    """Center scores `(pair, sample, component)` over samples and scale each set to unit norm."""
    centered = scores - scores.mean(axis=1, keepdims=True)
    return ratio(centered, np.linalg.norm(centered, axis=(1, 2))[:, None, None])


def jackknife_interval(value: Floats, without: Floats, *, level: float) -> tuple[Floats, Floats]:
    """Ends of the interval of a Procrustes distance, cut to its range from 0 to sqrt(2).

    Args:
        value: `(pair)`.
        without: distances without each group, `(group, pair)`.
        level: coverage, between 0 and 1.

    Returns:
        Two arrays `(pair)`; NaN for fewer than two groups.
    """
    n_groups = len(without)
    if n_groups < 2:
        return np.full_like(value, np.nan), np.full_like(value, np.nan)
    spread = np.sqrt((n_groups - 1) * without.var(axis=0))
    reach = stats.t.ppf((1 + level) / 2, n_groups - 1) * spread
    return np.maximum(value - reach, 0.0), np.minimum(value + reach, np.sqrt(2.0))

"""Unbiased HSIC of weighted samples, and the bootstrap of CKA over texts.

A bootstrap draw weights the samples, w_i, and the U-statistic leaves out every pair of a sample
with itself, also where the sample was drawn twice; copies counted as pairs would increase CKA.
Over all i, j, k, l that are distinct,

    HSIC = sum w_i w_j w_k w_l K_ij (L_ij - 2 L_ik + L_kl) / sum w_i w_j w_k w_l

Source: Song et al. (2012, JMLR 13, 1393); the weighted form is ours.
Cost: ten products of (draw, n) x (n, n) per pair of sets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.similarity.cka_procrustes import above_rounding
from transformer_dynamics.measures.similarity.state_sets import FEWEST_SAMPLES, StateSets
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.parallel import thread_pool
from transformer_dynamics.stats.bootstrap import text_weights


def weighted_hsic(first: Floats, second: Floats, weights: Floats) -> Floats:
    """Compute the unbiased HSIC of weighted samples.

    Args:
        first: Gram matrix with a zero diagonal, `(sample, sample)`, U-centered or not.
        second: other Gram matrix.
        weights: `(draw, sample)`, not negative; equal ones give the estimator of Song et al.

    Returns:
        `(draw)`; NaN in a draw with fewer than four samples of positive weight.
    """
    return _hsic(first * second, (_weighted(first, weights), _weighted(second, weights)), weights)


def _weighted(gram: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """A Gram matrix times the weights and times their squares, `(draw, sample)` each."""
    return weights @ gram, weights**2 @ gram


def _hsic(
    both: Floats, weighted: tuple[tuple[Floats, Floats], tuple[Floats, Floats]], weights: Floats
) -> Floats:
    """HSIC from the elementwise product of two Gram matrices and each times the weights.

    Sums over distinct indices are sums over all, minus those in which indices coincide.
    """
    (first, first_squared), (second, second_squared) = weighted
    w, w2, w3 = weights, weights**2, weights**3
    p1, p2, p3, p4 = ((weights**power).sum(axis=1) for power in (1, 2, 3, 4))
    pairs, rows = w @ both, first * second
    s11, s21, s31 = ((each * pairs).sum(axis=1) for each in (w, w2, w3))
    s22 = (w2 * (w2 @ both)).sum(axis=1)
    r1, r2 = ((each * rows).sum(axis=1) for each in (w, w2))
    r3 = (w * (first_squared * second + first * second_squared)).sum(axis=1)
    two = (p1**2 - p2) * s11 - 4 * p1 * s21 + 2 * s22 + 4 * s31
    three = p1 * (r1 - s21) - (r2 - s22) - (r3 - 2 * s31)
    four = (w * first).sum(axis=1) * (w * second).sum(axis=1) - 4 * r2 + 2 * s22
    quadruples = p1**4 - 6 * p1**2 * p2 + 3 * p2**2 + 8 * p1 * p3 - 6 * p4
    enough = np.count_nonzero(weights, axis=1) >= FEWEST_SAMPLES
    return ratio(two - 2 * three + four, np.where(enough, quadruples, 0.0))


def resampled_cka(
    first: StateSets, second: StateSets, text_index: NDArray[np.int64], n_draws: int, seed: int
) -> Floats:
    """CKA of pairs of sets in bootstrap draws of texts, `(draw, pair)`; NaN for a single text.

    Args:
        first: sets of one recording.
        second: sets of the other, as many, of the same samples.
        text_index: text of each sample, `(sample)`.
        n_draws: number of bootstrap draws.
        seed: seed of the draws.
    """
    weights = text_weights(text_index, n_draws, seed=seed)
    draws = np.full((n_draws, len(first.grams)), np.nan)

    def fill(pair: int) -> None:
        gram, other = first.grams[pair], second.grams[pair]
        weighted = _weighted(gram, weights), _weighted(other, weights)
        own = _hsic(gram**2, (weighted[0],) * 2, weights)
        own_other = _hsic(other**2, (weighted[1],) * 2, weights)
        norms = [np.sqrt(above_rounding(hsic)) for hsic in (own, own_other)]
        draws[:, pair] = _hsic(gram * other, weighted, weights) / norms[0] / norms[1]

    if np.unique(text_index).size > 1:
        with thread_pool() as pool:
            list(pool.map(fill, range(len(first.grams))))
    return draws

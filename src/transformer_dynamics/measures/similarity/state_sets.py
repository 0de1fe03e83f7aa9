"""Sets of states, reduced to Gram matrices and leading components.

A set is the states of the same samples at one site, X `(sample, unit)`, centered on its mean over
samples and scaled to unit Frobenius norm. Neither changes CKA or the Procrustes distance. Kept are
the U-centered Gram matrix of X X^T (Szekely and Rizzo 2014, arXiv 1310.2926) and the scores on the
leading principal components, scaled to unit norm again. The CKA of all pairs of sets is then one
matrix product, and the Procrustes distance of a pair the nuclear norm of one small matrix.

Cost per set: one product of n x n x D and the leading eigenvectors of a matrix of size min(n, D);
n^2 numbers are kept. Limits: sets of more than a few thousand samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, unit_frobenius
from transformer_dynamics.numerics.linalg.lapack import top_eigh
from transformer_dynamics.numerics.parallel import thread_pool

FEWEST_SAMPLES = 4


@dataclass(frozen=True)
class StateSets:
    """Sets of states of the same samples, one per site.

    Attributes:
        grams: U-centered Gram matrices, `(site, sample, sample)`; NaN where the set does not vary,
            is not finite, or has fewer than four samples.
        scores: `(site, sample, component)`, of unit norm; NaN where the set does not vary or is
            not finite.
        held: share of each set's variance in the components, `(site)`.
    """

    grams: Floats
    scores: Floats
    held: Floats

    def chosen(self, sites: slice | NDArray[np.int64]) -> StateSets:
        """Return the sets of some sites."""
        return StateSets(self.grams[sites], self.scores[sites], self.held[sites])


def require_draws(n_components: int, n_null: int, n_samples: int) -> None:
    """Refuse parameters that leave nothing to compute.

    Raises:
        InputError: no component, fewer than two draws of the null, or fewer than four samples.
    """
    if n_components < 1 or n_null < 2 or n_samples < FEWEST_SAMPLES:
        raise InputError(
            f"got n_components={n_components}, n_null={n_null}, n_samples={n_samples}; at least 1 "
            f"component, 2 draws of the null for their deviation, and {FEWEST_SAMPLES} samples are "
            "needed: n_components=100, n_null=20, n_samples=512"
        )


def state_sets(values: NDArray[Any], n_components: int) -> StateSets:
    """Reduce the states of every site of `(sample, site, unit)`.

    Args:
        values: states `(sample, site, unit)`.
        n_components: number of leading components, at most min(samples, units).
    """
    n_samples, n_sites, n_units = values.shape
    n_components = min(n_components, n_samples, n_units)
    sets = StateSets(
        np.empty((n_sites, n_samples, n_samples)),
        np.empty((n_sites, n_samples, n_components)),
        np.empty(n_sites),
    )

    def fill(site: int) -> None:
        one = one_set(values[:, site], n_components)
        sets.grams[site], sets.scores[site], sets.held[site] = one

    with thread_pool() as pool:
        list(pool.map(fill, range(n_sites)))
    return sets


def one_set(states: NDArray[Any], n_components: int) -> tuple[Floats, Floats, float]:
    """U-centered Gram matrix, scores and share of variance in the components.

    Args:
        states: `(sample, unit)`.
        n_components: number of leading components.
    """
    n_samples, n_units = states.shape
    unit = unit_frobenius(states)
    gram = unit @ unit.T
    if not np.isfinite(gram).all():
        return gram * np.nan, np.full((n_samples, n_components), np.nan), np.nan
    product = gram if n_samples <= n_units else unit.T @ unit
    variance, vectors = top_eigh(product, n_components)
    variance = np.maximum(variance, 0.0)
    scores = vectors * np.sqrt(variance) if n_samples <= n_units else unit @ vectors
    return u_centered(gram), scores / np.linalg.norm(scores), float(min(1.0, variance.sum()))


def u_centered(gram: Floats) -> Floats:
    """U-center a Gram matrix `(sample, sample)`; NaN for fewer than four samples.

    With K the matrix without its diagonal and n samples, for i other than j

        A_ij = K_ij - sum_l K_il/(n-2) - sum_l K_lj/(n-2) + sum_lm K_lm/((n-1)(n-2)),

    and A_ii = 0, so that sum_ij A_ij B_ij / (n (n-3)) is the unbiased HSIC of Song et al. (2012).
    """
    n_samples = len(gram)
    if n_samples < FEWEST_SAMPLES:
        return np.full_like(gram, np.nan)
    centered = gram.copy()
    np.fill_diagonal(centered, 0.0)
    row = centered.sum(axis=0) / (n_samples - 2)
    centered -= row
    centered -= row[:, np.newaxis]
    centered += row.sum() / (n_samples - 1)
    np.fill_diagonal(centered, 0.0)
    return centered

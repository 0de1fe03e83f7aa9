"""Debiased CKA and Procrustes distance of many pairs of sets, from their Gram matrices and scores.

CKA is HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with U-centered Gram matrices; the Procrustes
distance of sets of unit norm is sqrt(2 - 2 nuc(X^T Y)), nuc being the sum of the singular values.

Sources: arXiv 1905.00414, 2010.15327, 2110.14739; Song et al. (2012, JMLR 13, 1393).
Cost: CKA of all pairs is one product of (site, n^2); the Procrustes distance takes the singular
values of one matrix `(component, component)` per pair of sites.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.parallel import thread_pool

# Sums of squares of Gram matrices with trace 1 below the square of their rounding are zero.
ROUNDING = 1e-26


def cka_of_pairs(first: Floats, second: Floats) -> Floats:
    """CKA of pairs of matrices, twice `(pair, sample, sample)` to `(pair)`; NaN for a zero one."""
    products = _summed(first, second)
    squares = above_rounding(_summed(first, first)), above_rounding(_summed(second, second))
    return ratio(products, np.sqrt(squares[0]) * np.sqrt(squares[1]))


def cka_of_all(first: Floats, second: Floats) -> Floats:
    """CKA of all pairs of matrices, `(site, sample, sample)` twice to `(site, other_site)`."""
    flat, other = first.reshape(len(first), -1), second.reshape(len(second), -1)
    norms = [
        np.sqrt(above_rounding(np.einsum("si,si->s", matrices, matrices, optimize=True)))
        for matrices in (flat, other)
    ]
    return ratio(flat @ other.T, np.outer(*norms))


def _summed(first: Floats, second: Floats) -> Floats:
    sums: Floats = np.einsum("pij,pij->p", first, second)
    return sums


def above_rounding(squares: Floats) -> Floats:
    """Return sums of squares, NaN where they are no more than rounding."""
    with np.errstate(invalid="ignore"):
        return np.where(squares > ROUNDING, squares, np.nan)


def procrustes_of_pairs(first: Floats, second: Floats) -> Floats:
    """Procrustes distance of pairs of scores, twice `(pair, sample, component)` to `(pair)`."""
    crossed = np.matmul(first.transpose(0, 2, 1), second)
    defined = np.isfinite(crossed).all(axis=(1, 2))
    overlap = np.full(len(crossed), np.nan)
    overlap[defined] = np.linalg.svd(crossed[defined], compute_uv=False).sum(axis=1)
    distance: Floats = np.sqrt(np.maximum(2 - 2 * overlap, 0.0))
    return distance


def procrustes_of_all(first: Floats, second: Floats) -> Floats:
    """Procrustes distance of all pairs of scores, `(site, other_site)`.

    Between the sets of one array the upper half is computed, and the diagonal is zero by
    definition.
    """
    same_sets = first is second
    distance = np.zeros((len(first), len(second)))

    def fill(site: int) -> None:
        start = site if same_sets else 0
        row = procrustes_of_pairs(first[[site]], second[start:])
        if same_sets:
            row[0] *= 0.0
            distance[site:, site] = row
        distance[site, start:] = row

    with thread_pool() as pool:
        list(pool.map(fill, range(len(first))))
    return distance

"""Singular vectors of the states of each site, matched over depth, and the law built on them.

Per site, uncentered, X(t) = U(t) Sigma(t) V(t)', with the samples in columns; the law is

    x(t + tau) ~ U(t + tau) diag(sigma(t + tau) / sigma(t)) U(t)' x(t)

Vectors are matched between sites in the order of their singular values, as published, or followed
by the assignment with the largest sum of |u_i . u_j| (Hungarian). The sign of a vector gives a
positive product with its partner one site before. Source: arXiv 2410.01545; the alignment after its
published code, with an optimal assignment in place of a greedy one. Cost: per site one
decomposition of (sample, sample) or (unit, unit).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.linalg.lapack import top_eigh

Matching = Literal["order", "followed"]


@dataclass(frozen=True)
class SingularBasis:
    """Left singular vectors and singular values of a site's states.

    Attributes:
        vectors: orthonormal, `(unit, component)`.
        values: root mean square over samples along each vector, `(component)`, in stream units:
            singular values over the root of the number of samples.
    """

    vectors: Floats
    values: Floats


def singular_basis(states: Floats, n_components: int) -> SingularBasis:
    """Compute the leading singular vectors of `(sample, unit)`, uncentered, in descending order.

    Directions along which the states are zero up to rounding are left out.

    >>> singular_basis(np.array([[3.0, 0.0], [0.0, 1.0]]), 2).values * np.sqrt(2)
    array([3., 1.])
    """
    n_samples, n_units = states.shape
    wide = n_samples < n_units
    product = states @ states.T if wide else states.T @ states
    squares, vectors = top_eigh(product, min(n_components, len(product)))
    squares, vectors = squares[::-1], vectors[:, ::-1]
    above_rounding = squares > len(product) * np.finfo(np.float64).eps * max(squares[0], 0.0)
    values, vectors = np.sqrt(squares[above_rounding]), vectors[:, above_rounding]
    if wide:
        vectors = states.T @ (vectors / values)
    return SingularBasis(vectors, values / np.sqrt(n_samples))


def singular_bases(
    sites: Iterable[NDArray[Any]], n_components: int, *, matching: Matching = "order"
) -> Iterator[SingularBasis]:
    """Iterate over the singular bases of all sites, aligned from site to site.

    Args:
        sites: states `(sample, unit)` of each site.
        n_components: largest number of components per site; a site may have fewer, as the
            embedding does with few different tokens.
        matching: `order` of singular values, or `followed` by overlap.
    """

    def basis(states: NDArray[Any]) -> SingularBasis:
        return singular_basis(states.astype(np.float64), n_components)

    # No generator expression, which would hold the states of a site while its basis is used.
    return aligned(map(basis, sites), matching)


def aligned(bases: Iterable[SingularBasis], matching: Matching) -> Iterator[SingularBasis]:
    """Order the bases so that partners have the same index, with agreeing signs.

    Vectors without a partner at the site before come last.
    """
    before: SingularBasis | None = None
    for basis in bases:
        before = basis if before is None else _aligned_with(before, basis, matching)
        yield before


def _aligned_with(before: SingularBasis, basis: SingularBasis, matching: Matching) -> SingularBasis:
    overlap = before.vectors.T @ basis.vectors
    order = np.arange(basis.values.size)
    if matching == "followed":
        partners = scipy.optimize.linear_sum_assignment(np.abs(overlap), maximize=True)[1]
        order = np.concatenate([partners, np.setdiff1d(order, partners)])
    paired = np.arange(min(overlap.shape))
    signs = np.ones(order.size)
    signs[paired] = np.where(overlap[paired, order[paired]] < 0, -1.0, 1.0)
    return SingularBasis(basis.vectors[:, order] * signs, basis.values[order])


def extrapolated(states: Floats, before: SingularBasis, after: SingularBasis) -> Floats:
    """Predict states by the law, `(sample, unit)`, from the vectors that both sites have."""
    shared = min(before.values.size, after.values.size)
    stretch = after.values[:shared] / before.values[:shared]
    carried: Floats = ((states @ before.vectors[:, :shared]) * stretch) @ after.vectors[
        :, :shared
    ].T
    return carried

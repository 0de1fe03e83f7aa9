"""Leading eigenvectors of symmetric matrices, and leading directions of states.

One orientation everywhere: unit vectors are rows, `(direction, unit)`, in descending order of
variance. Only the leading eigenvectors are computed: 3 of 576 take a third of the time of all (24
against 74 ms). `sklearn.decomposition.PCA` takes states, not product matrices, and could not sum
them over sites.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.linalg.lapack import top_eigh

# Eigenvalues below this share of the largest are rounding errors, and their vectors arbitrary.
RANK_TOLERANCE = 1e-12


def leading_eigenvectors(matrix: Floats, n_vectors: int) -> tuple[Floats, Floats]:
    """Compute the largest eigenvalues of a symmetric matrix and their eigenvectors.

    Args:
        matrix: symmetric matrix `(unit, unit)`.
        n_vectors: number of eigenvectors, at most the number of units.

    Returns:
        Eigenvalues `(direction)` in descending order, and eigenvectors `(direction, unit)`.

    >>> leading_eigenvectors(np.diag([1.0, 9.0, 4.0]), 2)[0]
    array([9., 4.])
    """
    values, vectors = top_eigh(matrix, n_vectors)
    return values[::-1], vectors.T[::-1]


def leading_directions(deviations: Floats, n_directions: int) -> tuple[Floats, Floats]:
    """Compute the directions along which centered states vary most.

    The eigenvectors come from the smaller of the two product matrices, of units or of samples.

    Args:
        deviations: centered states `(sample, unit)`.
        n_directions: number of directions; fewer where samples or units are fewer.

    Returns:
        Sums of squares `(direction)` in descending order, and orthonormal directions
        `(direction, unit)`. Where samples repeat each other the last directions are arbitrary and
        their sums of squares are zero up to rounding.
    """
    n_samples, n_units = deviations.shape
    n_directions = min(n_directions, n_samples, n_units)
    if n_samples >= n_units:
        return leading_eigenvectors(deviations.T @ deviations, n_directions)
    squares, combinations = leading_eigenvectors(deviations @ deviations.T, n_directions)
    return squares, np.linalg.qr(deviations.T @ combinations.T)[0].T


def zero_where_constant(squares: Floats, directions: Floats) -> Floats:
    """Replace directions without variance, which are arbitrary, by zeros.

    Args:
        squares: sums of squares `(direction)` in descending order.
        directions: unit vectors `(direction, unit)`.
    """
    varies = squares > RANK_TOLERANCE * max(squares[0], 0.0)
    return np.where(varies[:, np.newaxis], directions, 0.0)

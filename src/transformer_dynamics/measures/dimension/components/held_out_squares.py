"""Held-out explained variance of principal components: array kernels.

With the K leading components P and the mean c of fitted rows, the explained variance of scored rows
x is sum |P (x - c)|^2 / sum |x - c|^2. Both sums are returned row by row, for bootstrap weights.

Cost: n D min(n, D) and the leading eigenvectors of a matrix of size min(n, D). scikit-learn's PCA
computes all singular vectors, which is slower for few components of many units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.eigenvectors import leading_directions, zero_where_constant
from transformer_dynamics.numerics.principal_axes import require_finite
from transformer_dynamics.numerics.standardize import standardization


def varying_directions(deviations: Floats, n_directions: int) -> Floats:
    """Unit vectors of largest variance in descending order, `(direction, unit)`.

    Args:
        deviations: `(row, unit)`, centered already.
        n_directions: number of directions, at most min(rows, units).

    Returns:
        `(direction, unit)`, dimensionless; zeros for directions without variance.

    Raises:
        InputError: there are fewer directions than `n_directions`.

    >>> varying_directions(np.array([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), 2) ** 2
    array([[1., 0., 0.], [0., 0., 0.]])
    """
    n_rows, n_units = deviations.shape
    if not 1 <= n_directions <= min(n_rows, n_units):
        raise InputError(
            f"got n_directions={n_directions}; {n_rows} rows of {n_units} units have 1 to "
            f"{min(n_rows, n_units)}: varying_directions(deviations, 1)"
        )
    return zero_where_constant(*leading_directions(deviations, n_directions))


def captured_squares(
    deviations: Floats, directions: Floats, counts: Sequence[int]
) -> tuple[Floats, Floats]:
    """Squared length of each row within the first K directions, and in total.

    Args:
        deviations: `(row, unit)`.
        directions: orthogonal unit vectors `(direction, unit)`.
        counts: numbers K of directions, each at least 1.

    Returns:
        `(row, count)`, NaN where there are fewer than K directions, and `(row)`; in squares of the
        rows' units.

    >>> captured_squares(np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]]), (1, 2))
    (array([[ 9., nan]]), array([25.]))
    """
    cumulative = np.cumsum((deviations @ directions.T) ** 2, axis=1)
    captured = np.full((len(deviations), len(counts)), np.nan)
    for index, count in enumerate(counts):
        if count <= len(directions):
            captured[:, index] = cumulative[:, count - 1]
    return captured, np.einsum("nu,nu->n", deviations, deviations)


def held_out_squares(
    fitted: NDArray[Any], scored: NDArray[Any], counts: Sequence[int], *, standardize: bool = False
) -> tuple[Floats, Floats]:
    """Squared deviations of scored rows within the K leading components of fitted rows, and total.

    Deviations are from the mean of the fitted rows. The explained variance is the sum of the first
    over the sum of the second, or the weighted sums for bootstrap weights.

    Args:
        fitted: rows that determine mean and components, `(row, unit)`.
        scored: other rows, `(row, unit)`.
        counts: numbers K of components, each at least 1.
        standardize: whether to scale the massive units of the fitted rows (variance above 100
            times the median unit's) to the median unit's deviation first.

    Returns:
        `(row, count)`, NaN where the fitted rows have fewer than K components (rows - 1 or units,
        whichever is less), and `(row)`; both in stream units squared.

    >>> line = np.outer(np.arange(4.0), [3.0, 4.0])
    >>> captured, whole = held_out_squares(line[:3], line[3:], (1, 2, 3))
    >>> captured / whole[:, np.newaxis]
    array([[ 1.,  1., nan]])
    """
    return held_out_scoring(fitted, counts, standardize=standardize)(scored)


def held_out_scoring(
    fitted: NDArray[Any], counts: Sequence[int], *, standardize: bool = False
) -> Callable[[NDArray[Any]], tuple[Floats, Floats]]:
    """Fit components once; the returned function gives `held_out_squares` of any scored rows.

    Args:
        fitted: see `held_out_squares`.
        counts: see `held_out_squares`.
        standardize: see `held_out_squares`.
    """
    first = fitted[0].astype(np.float64)
    deviations = fitted - first
    offset = deviations.mean(axis=0)
    deviations -= offset
    require_finite(deviations.sum(axis=0))
    scale = None
    if standardize:
        _, scale = standardization(np.einsum("nu,nu->u", deviations, deviations) / len(deviations))
        deviations = deviations * scale
    most = min(len(deviations) - 1, deviations.shape[1])
    wanted = [count for count in counts if count <= most]
    directions = varying_directions(deviations, max(wanted)) if wanted else None

    def score(scored: NDArray[Any]) -> tuple[Floats, Floats]:
        offsets = scored - first - offset
        if scale is not None:
            offsets = offsets * scale
        if directions is not None:
            return captured_squares(offsets, directions, counts)
        squares: Floats = np.einsum("nu,nu->n", offsets, offsets)
        return np.full((len(offsets), len(counts)), np.nan), squares

    return score

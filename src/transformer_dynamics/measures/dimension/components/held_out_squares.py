"""Held-out explained variance of principal components: array kernels.

With the K leading components P and the mean c of fitted rows, the explained variance of scored rows
x is sum |P (x - c)|^2 / sum |x - c|^2. Both sums are returned row by row, for bootstrap weights.

Cost: n D min(n, D) and the leading eigenvectors of a matrix of size min(n, D). scikit-learn's PCA
computes all singular vectors, which is slower for few components of many units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import PIECE_ROWS, Floats, add_rows, row_pieces
from transformer_dynamics.numerics.linalg.eigenvectors import (
    leading_directions,
    leading_eigenvectors,
    zero_where_constant,
)
from transformer_dynamics.numerics.principal_axes import require_finite
from transformer_dynamics.numerics.standardize import standardization

Scoring = Callable[[NDArray[Any]], tuple[Floats, Floats]]
"""Function from scored rows `(row, unit)` to their `held_out_squares`."""


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
) -> Scoring:
    """Fit components once; the returned function gives `held_out_squares` of any scored rows.

    Args:
        fitted: see `held_out_squares`.
        counts: see `held_out_squares`.
        standardize: see `held_out_squares`.
    """
    center, variance = _moments(fitted)
    scale = standardization(variance)[1] if standardize else np.ones_like(variance)
    return scoring_about(fitted, counts, center, scale)


def scoring_about(
    fitted: NDArray[Any], counts: Sequence[int], center: Floats, scale: Floats
) -> Scoring:
    """Fit components about a given center; see `held_out_scoring`.

    Args:
        fitted: see `held_out_squares`.
        counts: see `held_out_squares`.
        center: mean of the fitted rows, `(unit)`.
        scale: factor of each unit, `(unit)`.
    """
    n_rows, n_units = fitted.shape
    wanted = [count for count in counts if count <= min(n_rows - 1, n_units)]
    directions = np.empty((0, n_units))
    if wanted and n_rows < n_units:
        directions = varying_directions((fitted - center) * scale, max(wanted))
    elif wanted:
        products = np.zeros((n_units, n_units))
        # As many rows as units at a time: no more numbers than the products.
        for rows in row_pieces(n_rows, max(n_units, PIECE_ROWS)):
            deviations = (fitted[rows] - center) * scale
            products += deviations.T @ deviations
        directions = zero_where_constant(*leading_eigenvectors(products, max(wanted)))
    return partial(squares_within, center=center, scale=scale, directions=directions, counts=counts)


def squares_within(
    rows: NDArray[Any],
    *,
    center: Floats,
    scale: Floats,
    directions: Floats,
    counts: Sequence[int],
) -> tuple[Floats, Floats]:
    """Compute `captured_squares` of (row - center) * scale, some rows at a time."""
    inside, whole = np.empty((len(rows), len(counts))), np.empty(len(rows))
    for piece in row_pieces(len(rows)):
        deviations = (rows[piece] - center) * scale
        inside[piece], whole[piece] = captured_squares(deviations, directions, counts)
    return inside, whole


def _moments(rows: NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean and variance of rows, `(unit)` each; equal rows have a variance of exactly zero."""
    first = rows[0].astype(np.float64)
    offset, variance = np.zeros((2, first.size))
    with np.errstate(invalid="ignore"):
        for piece in row_pieces(len(rows)):
            add_rows(offset, rows[piece] - first)
        offset /= len(rows)
        for piece in row_pieces(len(rows)):
            add_rows(variance, (rows[piece] - first - offset) ** 2)
    require_finite(variance)
    return first + offset, variance / len(rows)

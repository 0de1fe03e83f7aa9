"""TwoNN: local dimension of a set of points from the distances to the two nearest neighbors.

With r1 and r2 the distances of a point to its nearest and second nearest other point, P(r2/r1 > m)
= m^-d wherever the density is constant within r2. The dimension d is the slope, through the origin,
of -ln(1 - i/N) on the i-th smallest ln(r2/r1), without the largest tenth of the N ratios.

Source: Facco et al. 2017 (arXiv 1803.06992). Cost: N^2 D + 2 N^2, 1 MiB of distances at a time.
Limits: noise below the distance of neighbors counts as dimensions; points on a lattice. Ours, since
scikit-dimension (the oracle of the tests) has the same fit but no decimation, drops every copy of a
repeated point, and its distances lose digits in clusters far from the mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.points.sets import as_points, centered, distinct
from transformer_dynamics.numerics.arrays import Floats, ratio, row_pieces, warn_undefined

MIN_POINTS = 10
DISCARD = 0.1
N_PARTS = (1, 2, 4, 8)
# Distances that are held at a time (1 MiB), and the least number of rows of their matrix.
DISTANCES = 2**17
LEAST_ROWS = 32
# Squared distances come from |x|^2 + |y|^2 - 2 x y. Those below this share of |x|^2 have lost
# digits to cancellation and are computed again as |x - y|^2.
CANCELED = 1e-6
# Ratios of distances that all differ from 1 by rounding alone have no slope.
ROUNDING = 1e-9

UNDEFINED = f"there are fewer than {MIN_POINTS} distinct points, or neighbors at equal distances"


def two_nn(points: NDArray[Any], *, discard: float = DISCARD) -> Floats:
    """Intrinsic dimension from the ratio of the distances to the two nearest neighbors.

    Args:
        points: `(..., point, axis)`; repeated points count once.
        discard: share of the largest ratios left out of the fit, between 0 and 1.

    Returns:
        `(...)`, dimensionless, float64; NaN, with one `UndefinedWarning`, for fewer than 10
        distinct points, points that are not finite, or neighbors all at equal distances.

    Raises:
        InputError: `points` has fewer than two axes, or `discard` is out of its range.

    >>> square = np.random.default_rng(0).random((2000, 2))
    >>> two_nn(square).round(1), two_nn(square @ np.ones((2, 30))).round(1)
    (np.float64(2.0), np.float64(1.0))
    """
    points = as_points(points, "two_nn")
    require_discard(discard)
    clouds = points.reshape(-1, *points.shape[-2:])
    slopes = np.array([distinct_two_nn(distinct(cloud), discard) for cloud in clouds])
    result = slopes.reshape(points.shape[:-2])
    warn_undefined({"two_nn": result}, UNDEFINED, stacklevel=2)
    return result


def decimated_two_nn(
    points: NDArray[Any],
    *,
    n_parts: tuple[int, ...] = N_PARTS,
    discard: float = DISCARD,
    seed: int = 0,
) -> Floats:
    """TwoNN on smaller and smaller shares of the points, averaged over disjoint random subsets.

    Args:
        points: `(point, axis)`; repeated points count once.
        n_parts: numbers of subsets of equal size; points that remain are left out.
        discard: as in `two_nn`.
        seed: seed of the division.

    Returns:
        `(n_parts)`, dimensionless, float64; NaN, with one `UndefinedWarning`, where a subset has
        fewer than 10 points.

    Raises:
        InputError: `points` does not have two axes, or an option is out of its range.

    >>> decimated_two_nn(np.random.default_rng(0).random((4000, 2)), n_parts=(1, 4)).round()
    array([2., 2.])
    """
    points = as_points(points, "decimated_two_nn")
    if points.ndim != 2:
        raise InputError(
            f"got points of shape {points.shape}; decimation takes one set (point, axis): "
            "decimated_two_nn(recording.values[:, 0])"
        )
    require_discard(discard)
    require_parts(n_parts)
    rng = np.random.default_rng(seed)
    result = distinct_decimated_two_nn(distinct(points), n_parts, discard, rng)
    warn_undefined({"decimated_two_nn": result}, UNDEFINED, stacklevel=2)
    return result


def require_discard(discard: float) -> None:
    """Refuse a discarded share of ratios that is not between 0 and 1."""
    if not 0 < discard < 1:
        raise InputError(
            f"got discard={discard}; the share of ratios to leave out lies above 0 and below 1: "
            f"discard={DISCARD}"
        )


def require_parts(n_parts: tuple[int, ...]) -> None:
    """Refuse numbers of subsets below one."""
    if not n_parts or min(n_parts) < 1:
        raise InputError(
            f"got n_parts={n_parts}; points are divided into one or more subsets: n_parts={N_PARTS}"
        )


def distinct_two_nn(points: Floats, discard: float) -> float:
    """Slope of the fit for distinct points `(point, axis)`; NaN without a warning."""
    n_points = len(points)
    n_kept = int(n_points * (1 - discard))
    if n_points < MIN_POINTS or n_kept < 1 or not np.isfinite(points).all():
        return np.nan
    first, second = _nearest_two(points)
    logs = np.sort(np.log(ratio(second, first)))[:n_kept]
    if not logs[-1] > ROUNDING:
        return np.nan
    exponents = -np.log1p(-np.arange(1, n_kept + 1) / n_points)
    return float(logs @ exponents / (logs @ logs))


def distinct_decimated_two_nn(
    points: Floats, n_parts: tuple[int, ...], discard: float, rng: np.random.Generator
) -> Floats:
    """Mean over disjoint subsets of distinct points, `(n_parts)`; NaN without a warning."""
    order = rng.permutation(len(points))
    means = np.empty(len(n_parts))
    for index, parts in enumerate(n_parts):
        size = len(points) // parts
        subsets = order[: size * parts].reshape(parts, size)
        means[index] = np.mean([distinct_two_nn(points[subset], discard) for subset in subsets])
    return means


def _nearest_two(points: Floats) -> tuple[Floats, Floats]:
    """Distances of each of `(point, axis)` to its nearest and second nearest other point."""
    deviations = centered(points)
    squares = np.einsum("pa,pa->p", deviations, deviations)
    nearest = np.empty((len(points), 2))
    n_rows = max(LEAST_ROWS, DISTANCES // len(points))
    held = np.empty((min(n_rows, len(points)), len(points)))
    for block in row_pieces(len(points), n_rows):
        distances = held[: block.stop - block.start]
        np.matmul(deviations[block], deviations.T, out=distances)
        distances *= -2
        distances += squares
        distances += squares[block, np.newaxis]
        rows = np.arange(len(distances))
        distances[rows, block.start + rows] = np.inf
        distances.partition(1, axis=1)
        nearest[block] = np.sort(distances[:, :2], axis=1)
    for row in np.flatnonzero(nearest[:, 0] < CANCELED * squares):
        offsets = np.delete(deviations, row, axis=0) - deviations[row]
        nearest[row] = np.sort(np.einsum("pa,pa->p", offsets, offsets))[:2]
    np.sqrt(nearest, out=nearest)
    return nearest[:, 0], nearest[:, 1]

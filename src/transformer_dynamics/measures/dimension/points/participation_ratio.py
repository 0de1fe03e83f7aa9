"""Participation ratio of sets of points, plain and corrected for the finite number of points.

With the eigenvalues l of the covariance C, (tr C)^2 / tr C^2 = (sum l)^2 / sum l^2. From N points
it is biased low, to about 1 / (1/true + 1/N). The corrected ratio divides the unbiased estimates of
(tr C)^2 and tr C^2 (U-statistics over four distinct points, in closed form); the ratio of two
unbiased estimates keeps a bias of order 1/N. It assumes independent points.

Source: Himeno and Yamada (2014) for the closed forms; compare arXiv 2509.26560.
Cost: N D min(N, D). scikit-dimension has the plain ratio only, by way of all eigenvalues.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dimension.points.sets import as_points, centered
from transformer_dynamics.numerics.arrays import Floats, ratio, warn_undefined


def participation_ratio(points: NDArray[Any]) -> Floats:
    """Participation ratio (sum l)^2 / sum l^2 of the eigenvalues l of the sample covariance.

    It is biased low for few points, and at most their number minus one.

    Args:
        points: `(..., point, axis)`.

    Returns:
        `(...)`, from 1 to min(points - 1, axes), float64; NaN, with one `UndefinedWarning`, where
        the points do not vary or are not finite.

    Raises:
        InputError: `points` has fewer than two axes.

    >>> participation_ratio(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    array(2.)
    """
    trace, squared, _ = scatter_traces(as_points(points, "participation_ratio"))
    result = np.asarray(ratio(trace**2, squared))
    warn_undefined({"participation_ratio": result}, "the points do not vary", stacklevel=2)
    return result


def corrected_participation_ratio(points: NDArray[Any]) -> Floats:
    """Participation ratio of the distribution from which the points were drawn.

    It is the ratio of unbiased estimates of (tr C)^2 and tr C^2, for independent points of any
    distribution with finite fourth moments; its own bias is of order 1 / points.

    Args:
        points: `(..., point, axis)`.

    Returns:
        `(...)`, float64; it may exceed the number of axes or points by chance. NaN, with one
        `UndefinedWarning`, for fewer than four points, or where the estimate of tr C^2 is not
        positive.

    Raises:
        InputError: `points` has fewer than two axes.

    >>> cloud = np.random.default_rng(0).standard_normal((40, 30))
    >>> participation_ratio(cloud).round(1), corrected_participation_ratio(cloud).round(1)
    (np.float64(16.1), np.float64(28.5))
    """
    points = as_points(points, "corrected_participation_ratio")
    result = np.asarray(corrected_ratio(*scatter_traces(points), points.shape[-2]))
    warn_undefined(
        {"corrected_participation_ratio": result},
        "there are fewer than four points, or the estimate of tr C^2 is not positive",
        stacklevel=2,
    )
    return result


def scatter_traces(points: Floats) -> tuple[Floats, Floats, Floats]:
    """With the scatter G of `(..., point, axis)`: tr G, tr G^2 and sum |x|^4, each `(...)`."""
    deviations = centered(points)
    n_points, n_axes = points.shape[-2:]
    transposed = np.swapaxes(deviations, -1, -2)
    with np.errstate(invalid="ignore", over="ignore"):
        product = deviations @ transposed if n_points < n_axes else transposed @ deviations
        squares = np.einsum("...pa,...pa->...p", deviations, deviations)
        squared = np.einsum("...ij,...ij->...", product, product)
        return squares.sum(axis=-1), squared, (squares**2).sum(axis=-1)


def corrected_ratio(trace: Floats, squared: Floats, fourth: Floats, n: int) -> Floats:
    """Unbiased (tr C)^2 over unbiased tr C^2, from the `scatter_traces` of n points."""
    if n < 4:
        return np.full(np.shape(trace), np.nan)
    of_trace, of_square = trace**2 / (n - 1) ** 2, squared / (n - 1) ** 2
    excess = n * fourth / (n - 1)
    above = 2 * of_square + (n**2 - 3 * n + 1) * of_trace - excess
    below = (n - 1) * (n - 2) * of_square + of_trace - excess
    return np.asarray(ratio(above, np.where(below > 0, below, np.nan)))

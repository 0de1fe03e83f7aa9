"""Sets of points `(..., point, axis)`: checks, centering, distinct points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats


def as_points(points: NDArray[Any], name: str) -> Floats:
    """Convert sets of points to float64.

    Args:
        points: `(..., point, axis)`.
        name: name of the calling function, for the error message.

    Raises:
        InputError: `points` has fewer than two axes, or is empty.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim < 2 or 0 in points.shape:
        raise InputError(
            f"got points of shape {points.shape}; a set of points is (..., point, axis) with at "
            f"least one of each: {name}(recording.values[:, 0])"
        )
    return points


def centered(points: Floats) -> Floats:
    """Subtract the mean from points `(..., point, axis)`; exactly zero where all are equal."""
    # The first point is subtracted first, so that equal points become zero and not rounding errors.
    with np.errstate(invalid="ignore"):
        shifted = np.asarray(points - points[..., :1, :])
        shifted -= shifted.mean(axis=-2, keepdims=True)
        return shifted


def distinct(points: NDArray[Any]) -> NDArray[Any]:
    """Remove repeated rows of `(point, axis)`; the first of equal rows is kept, in order.

    Without repeated rows the points are returned themselves and not copied. For 61 to 2048 rows of
    576 axes this is 1.3 to 100 times faster than `numpy.unique` over rows.

    >>> distinct(np.array([[2.0, 1.0], [0.0, 1.0], [2.0, 1.0], [-0.0, 1.0]]))
    array([[2., 1.],
           [0., 1.]])
    """
    # Rows of one hash are compared, so that no copy of every row is held.
    kept: dict[int, list[int]] = {}
    for index in range(len(points)):
        content = _bytes(points[index])
        others = kept.setdefault(hash(content), [])
        if not any(content == _bytes(points[other]) for other in others):
            others.append(index)
    first = sorted(index for indices in kept.values() for index in indices)
    return points if len(first) == len(points) else np.asarray(points[first])


def _bytes(row: NDArray[Any]) -> bytes:
    # Adding zero turns -0 into 0, so that equal numbers have equal bytes.
    content: bytes = (row + 0.0).tobytes()
    return content

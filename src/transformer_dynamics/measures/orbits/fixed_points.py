"""Transform of So et al.: every window of a trace replaced by its local fixed point.

A trace x over sites is read as the orbit of a map x[s+1] = f(x[s], ..., x[s-d+1]) of embedding d.
From 2d + 1 values follow the slopes a of the linear part of the map, and its fixed point; kappa is
uniform in [-K, K]:

    a     solves  x[s+1-i] - x[s-i] = sum over j of a[j] (x[s+1-i-j] - x[s-i-j]),  i = 0..d-1
    a'    = a + kappa |z[s+1] - z[s]|,       z[s] = (x[s], ..., x[s-d+1])
    point = (x[s+1] - sum of a'[j] x[s+1-j]) / (1 - sum of a'[j])

Sources: So et al. (PRL 76, 4705, 1996; PRE 55, 5398, 1997). Embeddings above 2 are not handled.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats

# Half range of kappa for traces whose standard deviation is one; of the order of a map's curvature.
KAPPA = 2.0


class Transformed(NamedTuple):
    """Transformed points of traces.

    Attributes:
        points: `(..., window)`, in the unit of the traces; not finite where the differences vanish.
        multiplier: `(..., window)`, spectral radius of the local linear map (dimensionless).
    """

    points: Floats
    multiplier: Floats


def window_sites(period: int, embedding: int) -> int:
    """Return the number of sites in a window: 2 embedding period + 1."""
    return 2 * embedding * period + 1


def transformed_points(
    traces: NDArray[Any],
    *,
    period: int = 1,
    embedding: int = 1,
    kappa: float = KAPPA,
    seed: int = 0,
) -> Transformed:
    """Replace every window of a trace by the fixed point of its local linear map.

    Near a fixed point of the map the error is quadratic in the distance to it, so points accumulate
    there; kappa scatters them everywhere else. Each point has its own kappa. A multiplier above 1
    means that the linear map moves away from its fixed point.

    Args:
        traces: `(..., site)`, in any unit.
        period: number of sites from one value of a window to the next; the points are fixed points
            of this iterate of the map.
        embedding: number of past values on which the map depends, 1 or 2.
        kappa: half range of the random term, per unit of the traces; 0 for none.
        seed: seed of the random term.

    Returns:
        Points and multipliers, `(..., window)`, one window for each site from which
        `window_sites(period, embedding)` sites remain.

    Raises:
        InputError: the period is below 1, or the embedding is neither 1 nor 2.

    >>> x = 0.75 + 0.01 * (-2.0) ** np.arange(4)
    >>> transformed_points(x, kappa=0)
    Transformed(points=array([0.75, 0.75]), multiplier=array([2., 2.]))
    """
    if period < 1 or embedding not in (1, 2):
        raise InputError(
            f"got period={period} and embedding={embedding}; a period is at least 1 and the "
            "embedding 1 or 2: transformed_points(traces, period=1, embedding=2)"
        )
    rng = np.random.default_rng(seed)
    n_windows = max(0, traces.shape[-1] - window_sites(period, embedding) + 1)
    starts = range(0, window_sites(period, embedding), period)
    window = [traces[..., start : start + n_windows].astype(np.float64) for start in starts]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return (_line if embedding == 1 else _plane)(window, kappa, rng)


def _line(window: list[Floats], kappa: float, rng: np.random.Generator) -> Transformed:
    first, second, third = window
    before, after = second - first, third - second
    slope = after / before
    bent = slope + rng.uniform(-kappa, kappa, slope.shape) * np.abs(before)
    return Transformed(first + before / (1 - bent), np.abs(slope))


def _plane(window: list[Floats], kappa: float, rng: np.random.Generator) -> Transformed:
    steps = [after - before for before, after in pairwise(window)]
    # Rows (steps[2], steps[1]) and (steps[1], steps[0]) times the slopes give steps[3], steps[2].
    determinant = steps[2] * steps[0] - steps[1] ** 2
    one = (steps[3] * steps[0] - steps[1] * steps[2]) / determinant
    two = (steps[2] ** 2 - steps[1] * steps[3]) / determinant
    root = one**2 / 4 + two
    multiplier = np.where(root >= 0, np.abs(one) / 2 + np.sqrt(np.abs(root)), np.sqrt(np.abs(two)))
    moved = np.hypot(steps[3], steps[2])
    one = one + rng.uniform(-kappa, kappa, one.shape) * moved
    two = two + rng.uniform(-kappa, kappa, two.shape) * moved
    # x[s+1] - a1 x[s] - a2 x[s-1] over 1 - a1 - a2, written as a distance from x[s].
    distance = (steps[3] + two * steps[2]) / (1 - one - two)
    return Transformed(window[3] + distance, multiplier)

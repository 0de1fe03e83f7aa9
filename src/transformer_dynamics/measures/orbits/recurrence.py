"""Recurrence of traces: the marks that unstable periodic orbits leave in a series of values.

A trace x over sites is read as the orbit of a map, x[s+1] = f(x[s], ..., x[s-d+1]), d being the
embedding; period-p points are fixed points of the p-th iterate, so they are looked for with p
sites between one value and the next.

Transform (So, Ott, Schiff, Kaplan, Sauer and Grebogi, PRL 76, 4705, 1996; PRE 55, 5398, 1997).
From 2d + 1 values the linear part of the map is solved for, and the point is replaced by that
linear map's fixed point; with the slopes a[1..d] and a random kappa[1..d] in [-K, K],

    a     solves  x[s+1-i] - x[s-i] = sum over j of a[j] (x[s+1-i-j] - x[s-i-j]),  i = 0..d-1
    a'    = a + kappa |z[s+1] - z[s]|,       z[s] = (x[s], ..., x[s-d+1])
    point = (x[s+1] - sum of a'[j] x[s+1-j]) / (1 - sum of a'[j])

Near a fixed point the error is quadratic in the distance to it, so that points pile up there;
elsewhere kappa scatters them. Each point has its own kappa: a density of thousands of pooled points
is the average over kappa. The multiplier of a point is the spectral radius of a's companion matrix:
above 1 the linear map moves away from its fixed point.

Encounter (after Pierson and Moss, PRL 75, 2124, 1995). In the delay plane (x[s], x[s+1]) the
distance from the diagonal is that of x from staying where it is. An encounter is five points in a
row that come nearer to the diagonal twice and then go away from it twice, each time on along the
same side or each time across it: with the increments d[1..5],

    |d1| > |d2| > |d3| < |d4| < |d5|,   d1 d2 and d2 d3 of one sign,   d3 d4 and d4 d5 of one sign.

Close return (Lathrop and Kostelich, PRA 40, 4028, 1989): |x[s+p] - x[s]| < radius.

Outward growth: slope of ln radius over the angle covered clockwise, about a center.

Known answers: logistic map x -> 4 x (1 - x): fixed point 3/4, period two at (5 -+ sqrt 5)/8; Henon
map (1.4, 0.3): fixed point 0.6314; the share of close returns of the tent map on [0, 1] at period p
within a small r is 2 r (1/2 + 2^(p-1)/(2^p + 1)), of independent values 2 r; a logarithmic spiral
grows at its own rate.

Cost: some ten operations per value, sixty for the transform with an embedding of 2.

Not handled: embeddings above 2; encounters in more than one dimension, where staying in place for
one step need not be a fixed point (the Henon map also has encounters at 0.46). A smooth path slows
down where it turns, and an embedding of 1 reads its turning points as fixed points; none of these
numbers means anything without its null.
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
ENCOUNTER_SITES = 6


class Transformed(NamedTuple):
    """Transformed points of traces.

    Attributes:
        points: `(..., window)`, in the unit of the traces; not finite where the differences vanish.
        multiplier: `(..., window)`, spectral radius of the local linear map (1).
    """

    points: Floats
    multiplier: Floats


def window_sites(period: int, embedding: int) -> int:
    """Number of sites that a transformed point is made of: 2 embedding period + 1."""
    return 2 * embedding * period + 1


def transformed_points(
    traces: NDArray[Any],
    *,
    period: int = 1,
    embedding: int = 1,
    kappa: float = KAPPA,
    seed: int = 0,
) -> Transformed:
    """The transform of So et al.: every window of a trace replaced by its local fixed point.

    Args:
        traces: `(..., site)`, in any unit.
        period: sites from one value of a window to the next; fixed points of this iterate.
        embedding: number of past values the map is taken to depend on, 1 or 2.
        kappa: half range of the random term, per unit of the traces; 0 for none.
        seed: of the random term.

    Returns:
        Points and multipliers, `(..., window)`, one window per site that has
        `window_sites(period, embedding)` sites from it on.

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


def encounters(traces: NDArray[Any], *, radius: float = np.inf) -> Floats:
    """Encounters: traces approach a point of the delay plane along one direction and leave it.

    Args:
        traces: `(..., site)`, in any unit.
        radius: how near to staying where it is a trace must come, in the unit of the traces; the
            nearer, the nearer the level to the periodic point, and the fewer the encounters.

    Returns:
        `(..., window)`: the level at which the trace comes nearest to staying where it is, in the
        unit of the traces, and NaN for windows of six sites that hold no encounter.

    >>> approach_and_leave = np.array([0.0, 8.0, 4.0, 5.0, 3.0, 9.0])
    >>> encounters(approach_and_leave), encounters(np.arange(6.0))
    (array([4.5]), array([nan]))
    """
    n_windows = max(0, traces.shape[-1] - ENCOUNTER_SITES + 1)
    values = traces.astype(np.float64)
    increments = np.diff(values, axis=-1)
    sizes, signs = np.abs(increments), np.sign(increments)
    on = [slice(start, start + n_windows) for start in range(ENCOUNTER_SITES)]
    found = sizes[..., on[2]] < radius
    for step, nearer in enumerate((True, True, False, False)):
        first, second = sizes[..., on[step]], sizes[..., on[step + 1]]
        found &= first > second if nearer else first < second
    for step in (0, 2):
        found &= signs[..., on[step]] == signs[..., on[step + 2]]
    nearest = (values[..., on[2]] + values[..., on[3]]) / 2
    return np.where(found, nearest, np.nan)


def close_returns(traces: NDArray[Any], max_period: int, *, radius: float) -> NDArray[np.int64]:
    """Count close returns of traces by the number of sites in between.

    Args:
        traces: `(..., site)`, in any unit.
        max_period: the longest time of return, in sites.
        radius: how near counts, in the unit of the traces.

    Returns:
        Counts `(period, ...)` of the sites s with |x[s + period] - x[s]| < `radius`, periods from 1
        on, of `site - period` possible ones each.

    Raises:
        InputError: the longest period is below 1.

    >>> close_returns(np.array([0.0, 1.0, 0.0, 1.0, 0.0]), 3, radius=0.1)
    array([0, 3, 0])
    """
    if max_period < 1:
        raise InputError(
            f"got max_period={max_period}; it is at least 1: close_returns(traces, 8, radius=0.1)"
        )
    counts = np.zeros((max_period, *traces.shape[:-1]), dtype=np.int64)
    for period in range(1, min(max_period, traces.shape[-1] - 1) + 1):
        gap = np.abs(traces[..., period:] - traces[..., :-period])
        counts[period - 1] = np.count_nonzero(gap < radius, axis=-1)
    return counts


def outward_growth(points: NDArray[Any], *, center: NDArray[Any] | None = None) -> Floats:
    """Slope of ln radius over the angle covered, by least squares.

    The angle counts clockwise, the way paths in the plane of activation and gradient go: a path
    that goes clockwise and outwards has a positive slope.

    Args:
        points: paths in a plane, `(..., site, axis)` with two axes.
        center: `(..., axis)`; by default each path's centroid.

    Returns:
        `(...)`, per radian; NaN for a path that meets its center, does not turn or is not finite.

    >>> angle = np.linspace(0, 20, 200)
    >>> spiral = np.exp(0.1 * angle)[:, None] * np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    >>> outward_growth(spiral, center=np.zeros(2)).round(6)
    np.float64(0.1)
    """
    paths = points.astype(np.float64)
    middle = paths.mean(axis=-2) if center is None else np.asarray(center, dtype=np.float64)
    x, y = np.moveaxis(paths - middle[..., np.newaxis, :], -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = np.log(np.hypot(x, y))
        angle = -np.unwrap(np.arctan2(y, x), axis=-1)
        radius -= radius.mean(axis=-1, keepdims=True)
        angle -= angle.mean(axis=-1, keepdims=True)
        slope: Floats = np.sum(angle * radius, axis=-1) / np.sum(angle**2, axis=-1)
    return np.where(np.isfinite(slope), slope, np.nan)[()]

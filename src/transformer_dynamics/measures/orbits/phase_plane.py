"""Orbits of single units: how often a unit's trace turns in the plane of activation and gradient.

For a trace a over sites, with its gradient g (central differences), the rotation count is the
signed number of turns of the tangent of the path (a, g):

    theta = atan2(diff g, diff a),    R = sum wrap(diff theta) / (2 pi),    wrap into (-pi, pi].

Motion in this plane is clockwise, so R is negative. The winding number counts the turns of (a, g)
about its own centroid instead. A move of length zero has no direction: it keeps the one before it,
and the first of a trace take the first that exists. A trace that never moves has no count.

Known answers at 64 points: sine of k cycles -k; white noise -14.9; Gaussian random walk -10.94 with
standard deviation 1.68, in general about -0.1765 (points - 2). So a count near 11 is what a trace
without any dynamics has, and the null of the paper cannot show it: permuting the points (a, g)
jointly makes every turn as likely to the left as to the right, and the mean count zero.

Source: arXiv 2502.12131, which applies the count to traces averaged over samples, and leaves out
the final site (`recording.sublayers`).

Cost: two arc tangents per point and trace; 1000 x 61 x 576 states take a second or two, in blocks
of traces. Accumulated in float64.

Not handled: whether an orbit is periodic or unstable. A rotation count cannot say so; see
`periodic_orbits`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

SOURCE = "arXiv 2502.12131"
MIN_SITES = 4
# Mean turns of a Gaussian random walk per point but two, from simulation.
RANDOM_WALK_TURNS = -0.1765
# Points held at a time: the few temporary arrays of a block stay in the processor's cache.
BLOCK_POINTS = 2**16


def phase_gradient(traces: NDArray[Any]) -> Floats:
    """Gradient of traces over depth: central differences, one-sided at both ends.

    Args:
        traces: `(..., site)`, in the units of the stream.

    Returns:
        `(..., site)`, in units of the stream per site.

    Raises:
        InputError: fewer than four sites.

    >>> phase_gradient(np.array([0.0, 1.0, 4.0, 9.0]))
    array([1., 2., 4., 5.])
    """
    _check_sites(traces)
    return np.asarray(np.gradient(traces.astype(np.float64), axis=-1))


def rotation_count(traces: NDArray[Any]) -> Floats:
    """Signed turns of the tangent of each trace's path in the plane of activation and gradient.

    Args:
        traces: `(..., site)`, in any unit: the count changes with the ratio of the two axes, which
            one unit per site fixes.

    Returns:
        `(...)` in turns, negative for clockwise. NaN, with one `UndefinedWarning`, for a trace that
        is constant or not finite.

    Raises:
        InputError: fewer than four sites.

    >>> sites = np.arange(64)
    >>> rotation_count(np.sin(2 * np.pi * 3 * sites / 63)).round(1)
    np.float64(-3.0)
    """
    result = _in_blocks(_rotation, traces)
    _warn_where_undefined(result, stacklevel=2)
    return result


def winding_number(traces: NDArray[Any]) -> Floats:
    """Signed turns of each trace's path (activation, gradient) about its own centroid.

    Args:
        traces: `(..., site)`, in any unit.

    Returns:
        `(...)` in turns, negative for clockwise. NaN, with one `UndefinedWarning`, for a trace that
        is constant or not finite.

    Raises:
        InputError: fewer than four sites.
    """
    result = _in_blocks(_winding, traces)
    _warn_where_undefined(result, stacklevel=2)
    return result


def permuted_points_rotation_count(traces: NDArray[Any], *, seed: int = 0) -> Floats:
    """Rotation count after permuting the points (activation, gradient) of each trace over depth.

    This is the null that arXiv 2502.12131 seems to have used: the gradient is not recomputed, so a
    point keeps its two coordinates and only the order of the points is lost. Its mean is zero for
    traces of any kind.

    Args:
        traces: `(..., site)`, in the units of the stream.
        seed: of the permutations, one per trace.

    Returns:
        `(...)` in turns. NaN, with one `UndefinedWarning`, for a trace that is constant or not
        finite.

    Raises:
        InputError: fewer than four sites.
    """
    rng = np.random.default_rng(seed)

    def permuted(activation: Floats) -> Floats:
        order = rng.random(activation.shape).argsort(axis=0)
        gradient = np.gradient(activation, axis=0)
        return _tangent_turns(
            np.take_along_axis(activation, order, axis=0),
            np.take_along_axis(gradient, order, axis=0),
        )

    result = _in_blocks(permuted, traces)
    _warn_where_undefined(result, stacklevel=2)
    return result


def _check_sites(traces: NDArray[Any]) -> None:
    n_sites = traces.shape[-1] if traces.ndim else 0
    if n_sites < MIN_SITES:
        raise InputError(
            f"got traces of shape {traces.shape}, so {n_sites} sites; a turn needs at least "
            f"{MIN_SITES} along the last axis: rotation_count(recording.values.swapaxes(1, 2))"
        )


def _in_blocks(kernel: Callable[[Floats], Floats], traces: NDArray[Any]) -> Floats:
    """Apply a kernel `(site, trace) -> (trace)` to traces `(..., site)`, a block at a time.

    Blocks are cut along the first axis, so that traces which are a view of another layout, as
    `values.swapaxes(1, 2)` is, are never copied as a whole.
    """
    _check_sites(traces)
    n_sites = traces.shape[-1]
    stacked = traces if traces.ndim > 2 else traces.reshape(-1, 1, n_sites)
    result = np.empty(stacked.shape[:-1])
    rows = max(1, BLOCK_POINTS // max(1, stacked[:1].size))
    for start in range(0, len(stacked), rows):
        block = stacked[start : start + rows]
        columns = block.reshape(-1, n_sites).T.astype(np.float64, order="C")
        with np.errstate(invalid="ignore", over="ignore"):
            result[start : start + rows] = kernel(columns).reshape(block.shape[:-1])
    return result.reshape(traces.shape[:-1])[()]


def _rotation(activation: Floats) -> Floats:
    return _tangent_turns(activation, np.gradient(activation, axis=0))


def _tangent_turns(activation: Floats, gradient: Floats) -> Floats:
    return _turns(np.diff(activation, axis=0), np.diff(gradient, axis=0))


def _winding(activation: Floats) -> Floats:
    # From the first site on, so that a constant trace is exactly zero and not a rounding error.
    shifted = activation - activation[0]
    gradient = np.gradient(shifted, axis=0)
    return _turns(shifted - shifted.mean(axis=0), gradient - gradient.mean(axis=0))


def _turns(x: Floats, y: Floats) -> Floats:
    """Turns of vectors (x, y) of shape `(vector, trace)` from the first to the last, `(trace)`."""
    theta = np.arctan2(y, x)
    still = (x == 0) & (y == 0)
    affected = np.flatnonzero(still.any(axis=0))
    if affected.size:
        theta[:, affected] = _carried(theta[:, affected], still[:, affected])
    change = np.diff(theta, axis=0)
    change -= 2 * np.pi * np.ceil((change - np.pi) / (2 * np.pi))
    return np.asarray(change.sum(axis=0) / (2 * np.pi))


def _carried(theta: Floats, still: NDArray[np.bool_]) -> Floats:
    """Angles `(vector, trace)`, those of vectors of length zero replaced by the one before.

    The first of a trace take the first that exists; where none does, all are NaN.
    """
    index = np.where(still, -1, np.arange(len(theta))[:, np.newaxis])
    source = np.maximum.accumulate(index, axis=0)
    source = np.where(source < 0, np.argmin(still, axis=0), source)
    carried = np.take_along_axis(theta, source, axis=0)
    carried[:, still.all(axis=0)] = np.nan
    return carried


def _warn_where_undefined(*results: NDArray[Any], stacklevel: int) -> None:
    undefined = sum(int(np.count_nonzero(np.isnan(result))) for result in results)
    if undefined:
        warnings.warn(
            f"{undefined} of {sum(map(np.size, results))} traces have no rotation count (NaN): "
            "they are constant over depth, or not finite",
            UndefinedWarning,
            stacklevel=stacklevel + 1,
        )


@measure("orbits.rotation_counts", title="Rotation counts of units", source=SOURCE)
def rotation_counts(recording: Recording) -> xr.Dataset:
    """Rotation count of each unit over depth, in the plane of activation and gradient.

    Returns:
        `rotation_count` and `winding` `(unit)`, of the trace averaged over samples;
        `rotation_count_per_sample` `(sample, unit)`, float32; all signed, in turns, negative for
        clockwise. `random_walk_count`, what a Gaussian random walk of as many sites makes on
        average. NaN, with one `UndefinedWarning`, for traces that are constant or not finite.

    Raises:
        InputError: the recording has fewer than four sites.

    >>> steps = np.random.default_rng(0).standard_normal((200, 64, 50))
    >>> result = rotation_counts(Recording.from_array(steps.cumsum(axis=1)))
    >>> result["rotation_count_per_sample"].mean().item(), result["random_walk_count"].item()
    (-10.9..., -10.94...)
    """
    n_samples, n_sites, n_units = recording.shape
    mean_traces = _mean_traces(recording).T
    counts = np.empty((n_samples, n_units), dtype=np.float32)
    for rows, states in recording.blocks():
        counts[rows] = _in_blocks(_rotation, states.swapaxes(1, 2))
    count, winding = _in_blocks(_rotation, mean_traces), _in_blocks(_winding, mean_traces)
    _warn_where_undefined(count, counts, stacklevel=3)
    turns = {"units": "turns", "denominator": "none"}
    mean_attrs = {**turns, "trace": f"mean over {n_samples} samples"}
    walk = RANDOM_WALK_TURNS * (n_sites - 2)
    return xr.Dataset(
        {
            "rotation_count": ("unit", count, mean_attrs),
            "winding": ("unit", winding, mean_attrs),
            "rotation_count_per_sample": (("sample", "unit"), counts, {**turns, "trace": "single"}),
            "random_walk_count": ((), walk, turns),
        }
    )


def _mean_traces(recording: Recording) -> Floats:
    """Traces averaged over samples, `(site, unit)`."""
    total = np.zeros(recording.shape[1:])
    with np.errstate(invalid="ignore"):
        for _, states in recording.blocks():
            total += states.sum(axis=0, dtype=np.float64)
        return total / recording.shape[0]


@measure(
    "orbits.phase_portrait",
    title="Phase portraits of units",
    source=SOURCE,
)
def phase_portrait(recording: Recording) -> xr.Dataset:
    """Trace of each unit averaged over samples, and its gradient over depth.

    Returns:
        `activation` `(site, unit)`, in the units of the stream, and `gradient` `(site, unit)`, in
        those per site.

    Raises:
        InputError: the recording has fewer than four sites.
    """
    activation = _mean_traces(recording)
    gradient = phase_gradient(activation.T).T
    trace = f"mean over {recording.shape[0]} samples"
    return xr.Dataset(
        {
            "activation": (("site", "unit"), activation, {"units": "stream units", "trace": trace}),
            "gradient": (
                ("site", "unit"),
                gradient,
                {"units": "stream units per site", "trace": trace},
            ),
        },
        coords=recording.site_coords,
    )

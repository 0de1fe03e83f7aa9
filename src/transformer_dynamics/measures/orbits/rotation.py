"""Rotation of traces in the plane of activation and gradient.

For a trace a over sites, with its gradient g (central differences), the rotation count is the
signed number of turns of the tangent of the path (a, g):

    theta = atan2(diff g, diff a),    R = sum wrap(diff theta) / (2 pi),    wrap into (-pi, pi].

The winding number counts the turns of (a, g) about its own centroid. A move of length zero has no
direction: it keeps the previous one, and the first moves of a trace take the first that exists.
Cost: two arc tangents per point and trace, in blocks of traces, accumulated in float64. Known
answers and limits: docs/measures/orbits.rotation_counts.md. Source: arXiv 2502.12131.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, warn_undefined

MIN_SITES = 4
# Mean turns of a Gaussian random walk per point but two, from simulation.
RANDOM_WALK_TURNS = -0.1765
# Points per block: its few temporary arrays stay in the processor's cache.
BLOCK_POINTS = 2**16
CONSTANT = "a trace is constant over depth"


def phase_gradient(traces: NDArray[Any]) -> Floats:
    """Compute the gradient of traces over depth: central differences, one-sided at both ends.

    Args:
        traces: `(..., site)`, in stream units.

    Returns:
        `(..., site)`, in stream units per site.

    Raises:
        InputError: fewer than four sites.

    >>> phase_gradient(np.array([0.0, 1.0, 4.0, 9.0]))
    array([1., 2., 4., 5.])
    """
    _require_sites(traces)
    return np.asarray(np.gradient(traces.astype(np.float64), axis=-1))


def rotation_count(traces: NDArray[Any]) -> Floats:
    """Count the signed turns of the tangent of each path (activation, gradient).

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
    result = over_traces(tangent_turns, traces)
    warn_undefined({"rotation_count": result}, CONSTANT, stacklevel=2)
    return result


def winding_number(traces: NDArray[Any]) -> Floats:
    """Count the signed turns of each path (activation, gradient) about its own centroid.

    Args:
        traces: `(..., site)`, in any unit.

    Returns:
        `(...)` in turns, negative for clockwise. NaN, with one `UndefinedWarning`, for a trace that
        is constant or not finite.

    Raises:
        InputError: fewer than four sites.
    """
    result = over_traces(centroid_turns, traces)
    warn_undefined({"winding_number": result}, CONSTANT, stacklevel=2)
    return result


def permuted_points_rotation_count(traces: NDArray[Any], *, seed: int = 0) -> Floats:
    """Compute the rotation count after permuting the points (activation, gradient) over depth.

    This is the null model that arXiv 2502.12131 seems to have used: the gradient is not recomputed,
    so a point keeps its two coordinates and only the order of the points is lost. Its mean is zero
    for traces of any kind.

    Args:
        traces: `(..., site)`, in stream units.
        seed: seed of the permutations, one per trace.

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
        return _turns_of_moves(
            np.take_along_axis(activation, order, axis=0),
            np.take_along_axis(gradient, order, axis=0),
        )

    result = over_traces(permuted, traces)
    warn_undefined({"rotation_count": result}, CONSTANT, stacklevel=2)
    return result


def over_traces(kernel: Callable[[Floats], Floats], traces: NDArray[Any]) -> Floats:
    """Apply a kernel `(site, trace) -> (trace)` to traces `(..., site)`, block by block.

    Blocks are cut along the first axis, so that traces which are a view of another layout, as
    `values.swapaxes(1, 2)` is, are never copied as a whole.

    Raises:
        InputError: fewer than four sites.
    """
    _require_sites(traces)
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


def tangent_turns(activation: Floats) -> Floats:
    """Count the turns of the tangent of paths, `(site, trace)` to `(trace)`."""
    return _turns_of_moves(activation, np.gradient(activation, axis=0))


def centroid_turns(activation: Floats) -> Floats:
    """Count the turns of paths about their centroids, `(site, trace)` to `(trace)`."""
    # Relative to the first site, a constant trace is exactly zero, not a rounding error.
    shifted = activation - activation[0]
    gradient = np.gradient(shifted, axis=0)
    return _turns(shifted - shifted.mean(axis=0), gradient - gradient.mean(axis=0))


def _require_sites(traces: NDArray[Any]) -> None:
    n_sites = traces.shape[-1] if traces.ndim else 0
    if n_sites < MIN_SITES:
        raise InputError(
            f"got traces of shape {traces.shape}, so {n_sites} sites; a turn needs at least "
            f"{MIN_SITES} along the last axis: rotation_count(recording.values.swapaxes(1, 2))"
        )


def _turns_of_moves(activation: Floats, gradient: Floats) -> Floats:
    return _turns(np.diff(activation, axis=0), np.diff(gradient, axis=0))


def _turns(x: Floats, y: Floats) -> Floats:
    """Count the turns of vectors (x, y), each `(vector, trace)`, from first to last, `(trace)`."""
    theta = np.arctan2(y, x)
    still = (x == 0) & (y == 0)
    affected = np.flatnonzero(still.any(axis=0))
    if affected.size:
        theta[:, affected] = _carried(theta[:, affected], still[:, affected])
    change = np.diff(theta, axis=0)
    change -= 2 * np.pi * np.ceil((change - np.pi) / (2 * np.pi))
    return np.asarray(change.sum(axis=0) / (2 * np.pi))


def _carried(theta: Floats, still: NDArray[np.bool_]) -> Floats:
    """Replace the angles `(vector, trace)` of vectors of length zero by the previous angle.

    The first vectors of a trace take the first angle that exists; without any, all are NaN.
    """
    index = np.where(still, -1, np.arange(len(theta))[:, np.newaxis])
    source = np.maximum.accumulate(index, axis=0)
    source = np.where(source < 0, np.argmin(still, axis=0), source)
    carried = np.take_along_axis(theta, source, axis=0)
    carried[:, still.all(axis=0)] = np.nan
    return carried

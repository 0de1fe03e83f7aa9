"""Turns of paths in a plane, for many traces at once.

A vector of length zero has no direction: it keeps the previous one, and the first vectors of a
trace take the first direction that exists. `numpy.unwrap` would map a change of exactly pi by its
sign; here wrap(x) lies in (-pi, pi].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats

MIN_SITES = 4
# Points per block: its few temporary arrays stay in the processor's cache.
BLOCK_POINTS = 2**16


def over_traces(kernel: Callable[[Floats], Floats], traces: NDArray[Any]) -> Floats:
    """Apply a kernel `(site, trace) -> (trace)` to traces `(..., site)`, block by block.

    Blocks are cut along the first axis, so that traces which are a view of another layout, as
    `values.swapaxes(1, 2)` is, are never copied as a whole.

    Raises:
        InputError: fewer than four sites.
    """
    require_four_sites(traces)
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
    return turns_of_moves(activation, np.gradient(activation, axis=0))


def centroid_turns(activation: Floats) -> Floats:
    """Count the turns of paths about their centroids, `(site, trace)` to `(trace)`."""
    # Relative to the first site, a constant trace is exactly zero, not a rounding error.
    shifted = activation - activation[0]
    gradient = np.gradient(shifted, axis=0)
    return _turns(shifted - shifted.mean(axis=0), gradient - gradient.mean(axis=0))


def require_four_sites(traces: NDArray[Any]) -> None:
    """Raise an `InputError` for traces `(..., site)` of fewer than four sites."""
    n_sites = traces.shape[-1] if traces.ndim else 0
    if n_sites < MIN_SITES:
        raise InputError(
            f"got traces of shape {traces.shape}, so {n_sites} sites; a turn needs at least "
            f"{MIN_SITES} along the last axis: rotation_count(recording.values.swapaxes(1, 2))"
        )


def turns_of_moves(activation: Floats, gradient: Floats) -> Floats:
    """Count the turns of the moves between points, `(site, trace)` to `(trace)`."""
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

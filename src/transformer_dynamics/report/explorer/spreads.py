"""Distribution of every unit at every site over all samples, in blocks of units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.standardize import UnitMoments
from transformer_dynamics.recording.recording import Recording

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NULL_QUANTILES = (0.05, 0.5, 0.95)
N_EXTREMES = 5
# Sites at which extreme samples are listed, evenly over depth.
N_EXTREME_SITES = 6
# States that are sorted at a time, and states of a store that are in memory at a time.
BLOCK_BYTES = 16 * 2**20
LOADED_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Spreads:
    """Distribution of every unit over samples.

    Attributes:
        quantiles: `(quantile, unit, site)`, in stream units, float32; linear interpolation.
        variance: over samples and sites about one mean, `(unit)`.
        extreme_sites: indices of the sites of `extremes`.
        extremes: samples `(site, unit, rank)`: the largest values first, then the smallest, the
            most extreme first in both.
        extreme_values: their values, `(site, unit, rank)`, float32.
    """

    quantiles: NDArray[np.float32]
    variance: Floats
    extreme_sites: NDArray[np.int64]
    extremes: NDArray[np.int64]
    extreme_values: NDArray[np.float32]


def spreads(recording: Recording) -> Spreads:
    """Compute quantiles, variance and extreme samples of every unit in one pass over blocks."""
    n_samples, n_sites, n_units = recording.shape
    sites = np.unique(np.linspace(0, n_sites - 1, N_EXTREME_SITES).round().astype(np.int64))
    n_kept = min(N_EXTREMES, n_samples)
    quantiles = np.empty((len(QUANTILES), n_units, n_sites), dtype=np.float32)
    extremes = np.empty((len(sites), n_units, 2 * n_kept), dtype=np.int64)
    values = np.empty(extremes.shape, dtype=np.float32)
    means, variances = np.empty((2, n_sites, n_units))
    for units, states in unit_blocks(recording):
        # (unit, site, sample), so that samples lie side by side.
        columns = np.ascontiguousarray(states.transpose(2, 1, 0))
        exact = columns.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            means[:, units] = exact.mean(axis=2).T
            variances[:, units] = exact.var(axis=2).T
        del exact
        at_sites = columns[:, sites]
        order = np.argsort(at_sites, axis=2, kind="stable")
        kept = np.concatenate([order[..., ::-1][..., :n_kept], order[..., :n_kept]], axis=2)
        extremes[:, units] = kept.transpose(1, 0, 2)
        values[:, units] = np.take_along_axis(at_sites, kept, axis=2).transpose(1, 0, 2)
        quantiles[:, units] = sorted_quantiles(np.sort(columns, axis=2), QUANTILES)
    variance = UnitMoments(means, variances).pooled_variance
    return Spreads(quantiles, variance, sites, extremes, values)


def null_quantiles(states: NDArray[Any]) -> NDArray[np.float32]:
    """Quantiles 5 %, 50 % and 95 % over samples of `(sample, site, unit)`.

    Returns:
        `(quantile, unit, site)`, in stream units.
    """
    result = np.empty((len(NULL_QUANTILES), *states.shape[:0:-1]), dtype=np.float32)
    for units in _slices(states):
        columns = np.sort(np.ascontiguousarray(states[:, :, units].transpose(2, 1, 0)), axis=2)
        result[:, units] = sorted_quantiles(columns, NULL_QUANTILES)
    return result


def unit_blocks(recording: Recording) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Blocks of units, `(sample, site, unit)`; a store is read once for every `LOADED_BYTES`.

    `Recording.unit_blocks` holds less memory and reads a store up to 16 times.
    """
    n_passes = -(-recording.activation.nbytes // LOADED_BYTES)
    width = -(-recording.shape[2] // (1 if recording.in_memory else n_passes))
    for start in range(0, recording.shape[2], width):
        part = slice(start, min(start + width, recording.shape[2]))
        states = _gathered(recording, part)
        for units in _slices(states):
            yield slice(start + units.start, start + units.stop), states[:, :, units]


def _gathered(recording: Recording, units: slice) -> NDArray[Any]:
    if recording.in_memory:
        return recording.values[:, :, units]
    shape = (*recording.shape[:2], units.stop - units.start)
    gathered = np.empty(shape, dtype=recording.activation.dtype)
    for rows, states in recording.blocks():
        gathered[rows] = states[:, :, units]
    return gathered


def sorted_quantiles(ordered: NDArray[Any], quantiles: tuple[float, ...]) -> NDArray[np.float32]:
    """Quantiles of values in ascending order, `(..., sample)` to `(quantile, ...)`.

    `np.quantile` sorts once more and takes three times as long.

    >>> sorted_quantiles(np.array([0.0, 1.0, 4.0]), (0.0, 0.5, 0.75))
    array([0. , 1. , 2.5], dtype=float32)
    """
    last = ordered.shape[-1] - 1
    result = np.empty((len(quantiles), *ordered.shape[:-1]), dtype=np.float32)
    for index, quantile in enumerate(quantiles):
        place = quantile * last
        low = int(place)
        high = min(low + 1, last)
        below = ordered[..., low].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            result[index] = below + (place - low) * (ordered[..., high] - below)
    return result


def _slices(states: NDArray[Any]) -> Iterator[slice]:
    """Slices of units of about `BLOCK_BYTES` in float64."""
    n_samples, n_sites, n_units = states.shape
    width = max(1, BLOCK_BYTES // max(1, 8 * n_samples * n_sites))
    for start in range(0, n_units, width):
        yield slice(start, min(start + width, n_units))

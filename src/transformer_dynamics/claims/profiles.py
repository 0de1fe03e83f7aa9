"""Parts of profiles and statistics that several claims share: mean paths, thirds of the depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.blocks import block_means, unit_sets
from transformer_dynamics.numerics.weighting import SampleWeights
from transformer_dynamics.recording import recording as recordings
from transformer_dynamics.recording.disk.states import MOST_PASSES
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import uniform_weights

# Values of a block of units, 32 MB.
BLOCK_VALUES = 2**22


def mean_path(recording: Recording, weights: Floats) -> Floats:
    """Weighted mean of the states over samples, `(draw, site, unit)`, site by site in float64."""
    if not recording.in_memory:
        return block_means(recording, weights)
    values = recording.values
    path, average = np.empty((len(weights), *values.shape[1:])), SampleWeights(weights)
    for site in range(values.shape[1]):
        path[:, site] = average.means(values[:, site].astype(np.float64))
    return path


def mean_traces_of_units(recording: Recording, weights: Floats) -> Iterator[tuple[slice, Floats]]:
    """Iterate over blocks of units: the units, and their mean traces `(draw, unit, site)`.

    Hundreds of draws of all units together would need several times the memory of the recording.
    """
    if not recording.in_memory:
        for units in unit_sets(recording.shape[2], 8 * len(weights) * recording.shape[1]):
            yield units, np.swapaxes(block_means(recording, weights, units), 1, 2)
        return
    values, average = recording.values, SampleWeights(weights)
    n_samples, n_sites, n_units = values.shape
    size = max(1, BLOCK_VALUES // (len(weights) * n_sites))
    for start in range(0, n_units, size):
        units = slice(start, start + size)
        states = values[:, :, units].astype(np.float64)
        means = average.means(states.reshape(n_samples, -1))
        yield units, np.swapaxes(means.reshape(len(weights), n_sites, -1), 1, 2)


def unit_blocks(recording: Recording, claim: str) -> Iterator[NDArray[Any]]:
    """Iterate over the states of some units of all samples, for a claim that ranks samples.

    A recording on disk is read once per block, at most 16 times.

    Raises:
        InputError: a sixteenth of the recording is larger than the memory for a recording.
    """
    largest = MOST_PASSES * recordings.LOADED_BYTES
    if recording.activation.nbytes > largest:
        raise InputError(
            f"{claim} ranks all samples of a unit, and takes recordings of at most "
            f"{largest / 2**30:.3g} GiB; this one has {recording.activation.nbytes / 2**30:.3g} "
            "GiB. Leave the claim out (claims=[...]), or take fewer samples: "
            "recording.isel(sample=slice(0, 1000))"
        )
    for _, states in recording.unit_blocks():
        yield states
        del states


def text_mean(recording: Recording) -> Recording:
    """The mean over samples, as a recording of one sample."""
    path = mean_path(recording, uniform_weights(recording.shape[0]))
    return Recording.from_array(path, sites=recording.sites, provenance=recording.provenance)


def mean_traces(recording: Recording) -> xr.DataArray:
    """Traces of all units averaged over samples, `(site, unit)`."""
    path = mean_path(recording, uniform_weights(recording.shape[0]))[0]
    return xr.DataArray(path, dims=("site", "unit"))


def mean_over_depth(profile: Floats) -> Floats:
    """Mean over the last axis, `(draw)`."""
    mean: Floats = profile.mean(axis=-1)
    return mean


def mean_over_middle(profile: Floats) -> Floats:
    """Mean over the middle half of the last axis, `(draw)`."""
    quarter = profile.shape[-1] // 4
    mean: Floats = profile[..., quarter : profile.shape[-1] - quarter].mean(axis=-1)
    return mean


def thirds(profile: Floats) -> Floats:
    """Mean over the last third of the last axis minus mean over the first third, `(draw)`."""
    third = max(1, profile.shape[-1] // 3)
    change: Floats = profile[..., -third:].mean(axis=-1) - profile[..., :third].mean(axis=-1)
    return change

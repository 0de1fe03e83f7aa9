"""Parts of profiles and statistics that several claims share: mean paths, thirds of the depth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.weighting import SampleWeights
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import uniform_weights

# Values of a block of units, 32 MB.
BLOCK_VALUES = 2**22


def mean_path(recording: Recording, weights: Floats) -> Floats:
    """Weighted mean of the states over samples, `(draw, site, unit)`, site by site in float64."""
    values = recording.values
    path, average = np.empty((len(weights), *values.shape[1:])), SampleWeights(weights)
    for site in range(values.shape[1]):
        path[:, site] = average.means(values[:, site].astype(np.float64))
    return path


def mean_traces_of_units(recording: Recording, weights: Floats) -> Iterator[tuple[slice, Floats]]:
    """Iterate over blocks of units: the units, and their mean traces `(draw, unit, site)`.

    Hundreds of draws of all units together would need several times the memory of the recording.
    """
    values, average = recording.values, SampleWeights(weights)
    n_samples, n_sites, n_units = values.shape
    size = max(1, BLOCK_VALUES // (len(weights) * n_sites))
    for start in range(0, n_units, size):
        units = slice(start, start + size)
        states = values[:, :, units].astype(np.float64)
        means = average.means(states.reshape(n_samples, -1))
        yield units, np.swapaxes(means.reshape(len(weights), n_sites, -1), 1, 2)


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

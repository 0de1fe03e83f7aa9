"""Paths over depth reduced to a few principal components, deviations and states.

Source: ours. Cost, for N samples, S sites, D units: 2 N S D^2 for the covariances, one site in
float64 at a time, three passes for the paths, and the leading eigenvectors of three D x D matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from transformer_dynamics.numerics.arrays import Floats, ratio, site_states
from transformer_dynamics.numerics.principal_axes import leading_axes, require_finite
from transformer_dynamics.recording.recording import Recording


@dataclass(frozen=True)
class ReducedPaths:
    """Paths in a few dimensions.

    Attributes:
        components: axes, `(component, unit)`.
        share: share of the variance within the axes.
        paths: `(sample, site, axis)`.
    """

    components: Floats
    share: float
    paths: Floats


def _site_moments(recording: Recording) -> tuple[Floats, Floats]:
    """Mean `(site, unit)` and variance over samples summed over units `(site)`."""
    n_samples, n_sites, n_units = recording.shape
    first: Floats | None = None
    offset, squares = np.zeros((n_sites, n_units)), np.zeros(n_sites)
    with np.errstate(invalid="ignore", over="ignore"):
        for _, values in recording.blocks():
            if first is None:
                first = values[0].astype(np.float64)
            for site, states in enumerate(site_states(values)):
                # The first sample is subtracted first: samples that agree deviate by exactly zero.
                states -= first[site]
                offset[site] += states.sum(axis=0)
                squares[site] += np.vdot(states, states)
    assert first is not None  # a recording has at least one sample
    require_finite(offset)
    offset /= n_samples
    variance = squares / n_samples - np.einsum("su,su->s", offset, offset)
    return first + offset, np.where(squares > 0, np.maximum(variance, 0.0), 0.0)


def reduced_paths(recording: Recording, n_components: int) -> Iterator[ReducedPaths]:
    """Reduce the deviations as recorded, over each site's spread, and the states.

    Paths are computed when the iterator comes to them, in one pass each.

    Args:
        recording: the states.
        n_components: number of principal components.

    Returns:
        Deviations from the mean path as recorded, the same over the root of the site's variance,
        and the states about one mean, each in its own principal components.
    """
    n_samples, n_sites, n_units = recording.shape
    mean, variance = _site_moments(recording)
    scale = 1 / np.sqrt(np.where(variance > 0, variance, np.inf))
    recorded, equal = np.zeros((2, n_units, n_units))
    for _, values in recording.blocks():
        for site, states in enumerate(site_states(values)):
            states -= mean[site]
            products = states.T @ states
            recorded += products
            products *= scale[site] ** 2
            equal += products
    between = mean - mean.mean(axis=0)
    origin, unscaled = np.zeros(n_units), np.ones(n_sites)
    axes = [leading_axes(matrix, origin, n_components) for matrix in (recorded, equal)]
    recorded += n_samples * between.T @ between
    axes.append(leading_axes(recorded, origin, n_components))
    del recorded, equal, products
    no_shift = np.zeros((n_sites, n_components))
    shifts = (no_shift, no_shift, between @ axes[2].components.T)
    for each, scales, shift in zip(axes, (unscaled, scale, unscaled), shifts, strict=True):
        paths = np.empty((n_samples, n_sites, n_components))
        for rows, values in recording.blocks():
            for site, states in enumerate(site_states(values)):
                states -= mean[site]
                paths[rows, site] = states @ each.components.T
            del values, states
        paths *= scales[:, np.newaxis]
        paths += shift
        share = ratio(np.asarray(each.variance.sum()), np.asarray(each.total_variance))
        yield ReducedPaths(each.components, float(share), paths)
        del paths

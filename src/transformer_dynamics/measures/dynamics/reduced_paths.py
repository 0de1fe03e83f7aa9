"""Paths over depth reduced to a few principal components, deviations and states.

Source: ours. Cost, for N samples, S sites, D units: 2 N S D^2 for the covariances, one site in
float64 at a time, and the leading eigenvectors of three D x D matrices.
"""

from __future__ import annotations

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


def reduced_paths(recording: Recording, n_components: int) -> list[ReducedPaths]:
    """Reduce the deviations as recorded, over each site's spread, and the states.

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
            equal += products * scale[site] ** 2
    between = mean - mean.mean(axis=0)
    covariances = [recorded, equal, recorded + n_samples * between.T @ between]
    origin = np.zeros(n_units)
    axes = [leading_axes(matrix, origin, n_components) for matrix in covariances]
    basis = np.concatenate([each.components for each in axes])
    scores = np.empty((n_samples, n_sites, len(basis)))
    for rows, values in recording.blocks():
        for site, states in enumerate(site_states(values)):
            states -= mean[site]
            scores[rows, site] = states @ basis.T
    recorded_paths, equal_paths, state_paths = np.split(scores, 3, axis=2)
    equal_paths *= scale[:, np.newaxis]
    state_paths += between @ axes[2].components.T
    return [
        ReducedPaths(
            each.components,
            float(ratio(np.asarray(each.variance.sum()), np.asarray(each.total_variance))),
            np.ascontiguousarray(paths),
        )
        for each, paths in zip(axes, (recorded_paths, equal_paths, state_paths), strict=True)
    ]

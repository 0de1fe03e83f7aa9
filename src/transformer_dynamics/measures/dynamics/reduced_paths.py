"""Paths over depth reduced to a few principal components, deviations and states.

Source: ours. Cost, for N samples, S sites, D units, K components: N S D^2 for the covariances and
3 N S K D for the paths, one site in float64 at a time, and the leading eigenvectors of three D x D
matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.by_site import SiteStates
from transformer_dynamics.numerics.principal_axes import leading_axes, require_finite


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


def _site_moments(states: SiteStates) -> tuple[Floats, Floats]:
    """Mean `(site, unit)` and variance over samples summed over units `(site)`."""
    n_samples, n_sites, n_units = states.shape
    mean, variance = np.zeros((n_sites, n_units)), np.zeros(n_sites)
    with np.errstate(invalid="ignore", over="ignore"):
        for site, of_site in enumerate(states):
            # The first sample is subtracted first: samples that agree deviate by exactly zero.
            deviations = of_site.astype(np.float64)
            first = deviations[0].copy()
            deviations -= first
            offset = deviations.sum(axis=0) / n_samples
            require_finite(offset)
            mean[site] = first + offset
            squares = float(np.vdot(deviations, deviations))
            left = squares / n_samples - float(np.einsum("u,u->", offset, offset))
            variance[site] = max(left, 0.0) if squares > 0 else 0.0
    return mean, variance


def reduced_paths(states: SiteStates, n_components: int) -> Iterator[ReducedPaths]:
    """Reduce the deviations as recorded, over each site's spread, and the states.

    Paths are computed when the iterator comes to them, and only those are held.

    Args:
        states: the states.
        n_components: number of principal components.

    Returns:
        Deviations from the mean path as recorded, the same over the root of the site's variance,
        and the states about one mean, each in its own principal components.
    """
    n_samples, n_sites, n_units = states.shape
    mean, variance = _site_moments(states)
    scale = 1 / np.sqrt(np.where(variance > 0, variance, np.inf))
    recorded, equal = np.zeros((2, n_units, n_units))
    for site, of_site in enumerate(states):
        deviations = of_site - mean[site]
        products = deviations.T @ deviations
        recorded += products
        products *= scale[site] ** 2
        equal += products
    del of_site, deviations, products
    between = mean - mean.mean(axis=0)
    origin, unscaled = np.zeros(n_units), np.ones(n_sites)
    axes = [leading_axes(matrix, origin, n_components) for matrix in (recorded, equal)]
    recorded += n_samples * between.T @ between
    axes.append(leading_axes(recorded, origin, n_components))
    del recorded, equal
    no_shift = np.zeros((n_sites, n_components))
    shifts = (no_shift, no_shift, between @ axes[2].components.T)
    for each, scales, shift in zip(axes, (unscaled, scale, unscaled), shifts, strict=True):
        paths = np.empty((n_samples, n_sites, n_components))
        for site in range(n_sites):
            paths[:, site] = (states.site(site) - mean[site]) @ each.components.T
        paths *= scales[:, np.newaxis]
        paths += shift
        share = ratio(np.asarray(each.variance.sum()), np.asarray(each.total_variance))
        yield ReducedPaths(each.components, float(share), paths)
        del paths

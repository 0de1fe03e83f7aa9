"""Sums behind PCA of all sites: means, pooled covariance, and shares of each site's variance.

With P the projection on the components, the share of the variance of one site has two readings:

    about the global mean       sum_n |P (x[n, s] - mu)|^2   / sum_n |x[n, s] - mu|^2
    about the site's own mean   sum_n |P (x[n, s] - m[s])|^2 / sum_n |x[n, s] - m[s]|^2

Cost: one pass each for the means, the covariance (N S D^2) and the shares, a site in float64 at a
time. Moments with full covariances need no pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, ratio, site_states
from transformer_dynamics.numerics.principal_axes import (
    PrincipalAxes,
    require_finite,
    summed_products,
)
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.moments.products import Products
from transformer_dynamics.recording.recording import Recording

# The mean is known to about 1e-13 of the spread; a sum of squares below the square of that is
# rounding, and no denominator.
ROUNDING = 1e-26


@dataclass(frozen=True)
class Centers:
    """Mean of each site, as the state of the first sample plus an offset.

    The two are stored separately, so that equal samples deviate by exactly zero.

    Attributes:
        first: state of the first sample, `(site, unit)`.
        offset: mean deviation of the samples from it, `(site, unit)`.
    """

    first: Floats
    offset: Floats

    @property
    def mean(self) -> Floats:
        """Mean over samples, `(site, unit)`."""
        mean: Floats = self.first + self.offset
        return mean

    @property
    def pooled(self) -> Floats:
        """Mean over samples and sites, `(unit)`."""
        common = self.first[0]
        mean: Floats = common + (self.first - common + self.offset).mean(axis=0)
        return mean


def site_centers(recording: Recording | Moments) -> Centers:
    """Compute the mean of each site in one pass.

    Raises:
        InputError: states are not finite.
    """
    if isinstance(recording, Moments):
        means = recording.products.mean
        return Centers(means, np.zeros_like(means))
    first: Floats | None = None
    with np.errstate(invalid="ignore"):
        for _, values in recording.blocks():
            if first is None:
                first, offset = values[0].astype(np.float64), np.zeros(values.shape[1:])
            for site, states in enumerate(site_states(values)):
                offset[site] += (states - first[site]).sum(axis=0)
    assert first is not None  # a recording has a sample
    require_finite(offset)
    return Centers(first, offset / recording.shape[0])


def pooled_covariance(recording: Recording | Moments, mean: Floats) -> Floats:
    """Mean product of deviations over samples and sites, `(unit, unit)`."""
    n_samples, n_sites, _ = recording.shape
    if isinstance(recording, Moments):
        products = _full_products(recording)
        between_sites = products.mean - mean
        within = products.within.sum(axis=0) / n_samples
        covariance: Floats = (within + between_sites.T @ between_sites) / n_sites
        return covariance
    total = np.zeros((mean.size, mean.size))
    for _, values in recording.blocks():
        total += summed_products(values, mean)
    total /= n_samples * n_sites
    return total


def _full_products(moments: Moments) -> Products:
    if not moments.products.full:
        raise InputError(
            "got moments with the variances of units only; principal components need all pairs: "
            "td.record(..., keep='moments', options=td.RecordingOptions(covariance='full'))"
        )
    return moments.products


def site_shares(
    recording: Recording | Moments, axes: PrincipalAxes, centers: Centers, scale: Floats
) -> tuple[NDArray[np.float32] | None, Floats, Floats]:
    """Scores and the two shares of each site's variance in the components.

    Args:
        recording: states, or their moments.
        axes: principal components of the scaled states.
        centers: mean of each site.
        scale: factor of each unit, `(unit)`.

    Returns:
        Scores `(sample, site, component)`, None for moments, and the shares about the global mean
        and about the mean of the site, `(site)` each.
    """
    scores: NDArray[np.float32] | None = None
    if isinstance(recording, Moments):
        parts, wholes = _sums_of_moments(recording, axes, scale)
    else:
        scores, (parts, wholes) = _sums_of_states(recording, axes, centers, scale)
    wholes[wholes <= ROUNDING * wholes[0].sum()] = 0
    about_global, about_site = np.minimum(ratio(parts, wholes), 1.0)
    return scores, about_global, about_site


def _sums_of_states(
    recording: Recording, axes: PrincipalAxes, centers: Centers, scale: Floats
) -> tuple[NDArray[np.float32], Floats]:
    """Scores, and projected and whole sums of squares `(part, center, site)`."""
    n_samples, n_sites, _ = recording.shape
    scores = np.empty((n_samples, n_sites, len(axes.components)), dtype=np.float32)
    sums = np.zeros((2, 2, n_sites))
    for rows, values in recording.blocks():
        for site, states in enumerate(site_states(values)):
            deviations = (states - axes.mean) * scale
            projected = deviations @ axes.components.T
            scores[rows, site] = projected
            sums[:, 0, site] += np.vdot(projected, projected), np.vdot(deviations, deviations)
            deviations = (states - centers.first[site] - centers.offset[site]) * scale
            projected = deviations @ axes.components.T
            sums[:, 1, site] += np.vdot(projected, projected), np.vdot(deviations, deviations)
    return scores, sums


def _sums_of_moments(moments: Moments, axes: PrincipalAxes, scale: Floats) -> Floats:
    """Projected and whole sums of squares `(part, center, site)`."""
    products = _full_products(moments)
    weighted = axes.components * scale
    within = np.stack(
        [
            np.einsum("ku,suv,kv->s", weighted, products.within, weighted, optimize=True),
            np.einsum("suu,u->s", products.within, scale**2),
        ]
    )
    offsets = (products.mean - axes.mean) * scale
    projected = offsets @ axes.components.T
    shift = np.stack([(projected**2).sum(axis=1), (offsets**2).sum(axis=1)])
    return np.stack([within + moments.n_samples * shift, within], axis=1)

"""Squared deviations of scored samples in the three readings of held-out explained variance.

    pooled, about the global mean      components of all sites together, center: one mean of all
    pooled, about the site's own mean  the same components, center: the mean of the site
    own components of the site         components of the site alone about its own mean

Cost: N S D^2 for the pooled covariance, N S D min(N, D) for the sites; twice with massive units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dimension.components.held_out_squares import (
    Scoring,
    scoring_about,
    squares_within,
)
from transformer_dynamics.measures.dimension.components.shares import ROUNDING
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.linalg.eigenvectors import (
    leading_eigenvectors,
    zero_where_constant,
)
from transformer_dynamics.numerics.principal_axes import (
    require_finite,
    summed_products,
)
from transformer_dynamics.numerics.standardize import standardization, unit_moments
from transformer_dynamics.recording.recording import Recording


@dataclass(frozen=True)
class ReadingSquares:
    """Squared deviations of the scored samples, as recorded and standardized, for each reading.

    Without massive units both versions are the same, and `version` has one entry.

    Attributes:
        of_samples: within the components, sum over sites, `(version, reading, sample, count)`.
        of_sites: within the components, sum over samples, `(version, reading, site, count)`.
        whole: total, `(version, reading, sample, site)`.
        massive: indices of the massive units.
    """

    of_samples: Floats
    of_sites: Floats
    whole: Floats
    massive: NDArray[np.int64]


def reading_squares(
    recording: Recording,
    fitted: NDArray[np.int64],
    scored: NDArray[np.int64],
    counts: Sequence[int],
) -> ReadingSquares:
    """Compute the squared deviations of all readings, a site at a time.

    Args:
        recording: states `(sample, site, unit)`.
        fitted: samples of the texts that determine means and components.
        scored: samples of other texts.
        counts: numbers K of components, each at least 1.

    Raises:
        InputError: the fitted states are not finite.
    """
    known = recording.isel(sample=fitted)
    moments = unit_moments(known)
    require_finite(moments.variance)
    center = moments.mean[0] + (moments.mean - moments.mean[0]).mean(axis=0)
    massive, factors = standardization(moments.pooled_variance)
    scales = [np.ones_like(factors), factors][: 2 if massive.size else 1]
    pooled = _pooled_directions(known, center, scales, counts)
    shape = len(scales), 3, len(scored), recording.shape[1]
    of_samples, whole = np.zeros((*shape[:3], len(counts))), np.empty(shape)
    of_sites = np.empty((*shape[:2], shape[3], len(counts)))
    for site, values in _by_site(recording):
        states, rows = values[fitted], values[scored]
        mean = moments.mean[site]
        for version, (scale, directions) in enumerate(zip(scales, pooled, strict=True)):
            within = partial(squares_within, scale=scale, directions=directions, counts=counts)
            readings: tuple[Scoring, ...] = (
                partial(within, center=center),
                partial(within, center=mean),
                scoring_about(states, counts, mean, scale),
            )
            for reading, score in enumerate(readings):
                inside, whole[version, reading, :, site] = score(rows)
                of_samples[version, reading] += inside
                of_sites[version, reading, site] = inside.sum(axis=0)
    # Smaller sums of squares are rounding errors of the states, and no denominator.
    whole[whole <= ROUNDING * whole[:, :1].mean(axis=(2, 3), keepdims=True)] = 0
    return ReadingSquares(of_samples, of_sites, whole, massive)


def _by_site(recording: Recording) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the number and the states of one site after the other, `(sample, unit)`."""
    for sites, values in recording.site_blocks():
        for site in range(sites.start, sites.stop):
            yield site, values[:, site - sites.start]
        del values


def _pooled_directions(
    fitted: Recording, center: Floats, scales: Sequence[Floats], counts: Sequence[int]
) -> list[Floats]:
    """Leading directions of all sites stacked, `(direction, unit)`, for each scale of the units."""
    n_samples, n_sites, n_units = fitted.shape
    scatter = np.zeros((n_units, n_units))
    for _, values in fitted.blocks():
        scatter += summed_products(values, center)
    most = min(n_samples * n_sites - 1, n_units)
    n_directions = max((count for count in counts if count <= most), default=1)
    return [
        zero_where_constant(*leading_eigenvectors(scatter * scale[:, None] * scale, n_directions))
        for scale in scales
    ]

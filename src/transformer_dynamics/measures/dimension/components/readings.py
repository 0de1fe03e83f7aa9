"""Squared deviations of scored samples in the three readings of held-out explained variance.

    pooled, about the global mean      components of all sites together, center: one mean of all
    pooled, about the site's own mean  the same components, center: the mean of the site
    own components of the site         components of the site alone about its own mean

Cost: N S D^2 for the pooled covariance, N S D min(N, D) for the sites; twice with massive units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dimension.components.held_out_squares import (
    captured_squares,
    held_out_squares,
)
from transformer_dynamics.measures.dimension.components.shares import ROUNDING
from transformer_dynamics.numerics.arrays import Floats, site_states
from transformer_dynamics.numerics.eigenvectors import leading_eigenvectors, zero_where_constant
from transformer_dynamics.numerics.principal_axes import (
    require_finite,
    summed_products,
)
from transformer_dynamics.numerics.standardize import standardization, unit_moments
from transformer_dynamics.recording.recording import Recording


@dataclass(frozen=True)
class ReadingSquares:
    """Squared deviations of the scored samples, as recorded and standardized, for each reading.

    Attributes:
        captured: within the components, `(massive, reading, sample, site, count)`.
        whole: total, `(massive, reading, sample, site)`.
        massive: indices of the massive units.
    """

    captured: Floats
    whole: Floats
    massive: NDArray[np.int64]


def reading_squares(fitted: Recording, scored: Recording, counts: Sequence[int]) -> ReadingSquares:
    """Compute the squared deviations of all readings, a site at a time.

    Args:
        fitted: recording of the texts that determine means and components.
        scored: recording of other texts.
        counts: numbers K of components, each at least 1.

    Raises:
        InputError: the fitted states are not finite.
    """
    moments = unit_moments(fitted)
    require_finite(moments.variance)
    center = moments.mean[0] + (moments.mean - moments.mean[0]).mean(axis=0)
    massive, factors = standardization(moments.pooled_variance)
    scales = [np.ones_like(factors), factors][: 2 if massive.size else 1]
    pooled = _pooled_directions(fitted, center, scales, counts)
    shape = (len(scales), 3, scored.shape[0], scored.shape[1])
    captured, whole = np.empty((*shape, len(counts))), np.empty(shape)
    for site, (states, rows) in enumerate(zip(_by_site(fitted), _by_site(scored), strict=True)):
        for version, (scale, directions) in enumerate(zip(scales, pooled, strict=True)):
            readings = (
                captured_squares((rows - center) * scale, directions, counts),
                captured_squares((rows - moments.mean[site]) * scale, directions, counts),
                held_out_squares(states * scale, rows * scale, counts),
            )
            for reading, (inside, full) in enumerate(readings):
                captured[version, reading, :, site], whole[version, reading, :, site] = inside, full
    # Smaller sums of squares are rounding errors of the states, and no denominator.
    whole[whole <= ROUNDING * whole[:, :1].mean(axis=(2, 3), keepdims=True)] = 0
    # Without massive units both versions are the same.
    both = [0, len(scales) - 1]
    return ReadingSquares(captured[both], whole[both], massive)


def _by_site(recording: Recording) -> Iterator[Floats]:
    """Yield the states of one site after the other, `(sample, unit)`, in float64."""
    for _, values in recording.site_blocks():
        yield from site_states(values)
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

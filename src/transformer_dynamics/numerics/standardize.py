"""Massive units brought down to the size of the others.

A unit is massive where its variance, pooled over samples and sites about one mean, is more than
100 times the median variance of the units that vary. Standardized, its values are multiplied by

    sqrt(median variance / its variance),

so that its deviation is the median unit's. They are scaled about zero and not about their mean: the
origin of the stream means something (norms and cosines are about it), and a large mean kept as it
is would leave the unit massive in both. What compares states with each other (steps, turns,
principal components, covariances) does not see the difference.

Cost: one pass over the states for the variances, a site in float64 at a time; a recording on disk
is scaled when it is read.

Source: ours; massive activations are those of arXiv 2402.17762.

Not handled: units that are large and hardly vary, which have no deviation to standardize.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats, site_states

if TYPE_CHECKING:
    from transformer_dynamics.recording.recording import Recording

MASSIVE_FACTOR = 100


@dataclass(frozen=True)
class UnitMoments:
    """Means and variances over samples, `(site, unit)`; the denominator is the number of samples.

    Attributes:
        mean: in stream units.
        variance: about that mean, in stream units squared.
    """

    mean: Floats
    variance: Floats

    @property
    def pooled_variance(self) -> Floats:
        """Variance over samples and sites about one mean, `(unit)`."""
        # From the first site on, so that a unit that never changes has no variance at all.
        away = self.mean - self.mean[0]
        pooled: Floats = self.variance.mean(axis=0) + away.var(axis=0)
        return pooled


def moments_of_states(states: Floats) -> tuple[Floats, Floats]:
    """Mean and variance over samples of one site, `(sample, unit)` to `(unit)` each."""
    # The first sample goes first: samples that agree have variance zero, not a rounding error.
    with np.errstate(invalid="ignore"):
        away = states - states[0]
        return states[0] + away.mean(axis=0), away.var(axis=0)


def unit_moments(recording: Recording) -> UnitMoments:
    """Mean and variance over samples of every unit at every site.

    Args:
        recording: states `(sample, site, unit)`.
    """
    means, variances = np.empty((2, *recording.shape[1:]))
    for sites, values in recording.site_blocks():
        for site, states in enumerate(site_states(values), start=sites.start):
            means[site], variances[site] = moments_of_states(states)
        del values
    return UnitMoments(means, variances)


def standardization(variance: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The massive units, and what to multiply each unit by to standardize them.

    Args:
        variance: pooled over samples and sites, `(unit)`.

    Returns:
        Indices of the massive units, ascending, `(massive)`, and factors `(unit)`, without unit: 1
        for the others.

    >>> standardization(np.array([1.0, 4.0, 10000.0, 0.0, 5.0]))
    (array([2]), array([1.       , 1.       , 0.0212132, 1.       , 1.       ]))
    """
    varying = variance[variance > 0]
    median = float(np.median(varying)) if varying.size else 0.0
    massive = np.flatnonzero(variance > MASSIVE_FACTOR * median)
    scale = np.ones_like(variance)
    scale[massive] = np.sqrt(median / variance[massive])
    return massive, scale


def standardized(recording: Recording) -> Recording:
    """The same states with the massive units scaled to the median unit's deviation.

    Every measure of the population is thereby available with massive units standardized:
    `td.paths.kinematics(td.massive.standardized(recording))`.

    Args:
        recording: states `(sample, site, unit)`.

    Returns:
        A recording of the same shape and dtype; one on disk stays there and is scaled when it is
        read. Units that are not massive keep their bits. The provenance lists the units under
        `standardized_unit` and their factors under `standardized_factor`.

    >>> from transformer_dynamics import Recording
    >>> states = np.random.default_rng(0).standard_normal((20, 5, 8)) * [1, 1, 1, 300, 1, 1, 1, 1]
    >>> standardized(Recording.from_array(states)).provenance["standardized_unit"]
    [3]
    """
    massive, scale = standardization(unit_moments(recording).pooled_variance)
    dtype = recording.activation.dtype
    working = np.result_type(dtype, np.float32)
    values = recording.values if recording.in_memory else recording.activation.data
    if massive.size:
        values = (values * scale.astype(working)).astype(dtype)
    result = recording.with_values(
        values,
        standardized_unit=massive.tolist(),
        standardized_factor=scale[massive].tolist(),
    )
    if "source" in recording.activation.encoding:
        # Where a chunk that turns out to be altered is looked for.
        result.activation.encoding["source"] = recording.activation.encoding["source"]
    return result

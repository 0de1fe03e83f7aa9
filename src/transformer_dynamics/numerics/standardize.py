"""Standardization of massive units: scaling down to the deviation of the median unit.

A unit is massive where its variance, pooled over samples and sites about one mean, exceeds 100
times the median variance of the units that vary. `standardize` multiplies its values by

    sqrt(median variance / its variance).

Values are scaled about zero, not about the unit's mean: norms and cosines refer to the origin, and
a large mean would leave the unit massive in both. Differences of states (steps, turns, principal
components, covariances) do not depend on that choice. Units that are large and hardly vary have no
deviation to standardize and stay as they are.
Cost: two passes over the states. Source: ours; massive activations: arXiv 2402.17762.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats, add_rows, site_pieces

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
        # Relative to the first site: a unit that never changes has a variance of exactly zero.
        shifted = self.mean - self.mean[0]
        pooled: Floats = self.variance.mean(axis=0) + shifted.var(axis=0)
        return pooled


def unit_moments(recording: Recording) -> UnitMoments:
    """Compute mean and variance over samples of every unit at every site, in two passes.

    Args:
        recording: states `(sample, site, unit)`.
    """
    n_samples, *shape = recording.shape
    # Relative to the first sample: equal samples have a variance of exactly zero.
    first: Floats | None = None
    offsets, variances = np.zeros((2, *shape))
    with np.errstate(invalid="ignore"):
        for _, values in recording.blocks():
            first = values[0].astype(np.float64) if first is None else first
            for site, _, states in site_pieces(values):
                states -= first[site]
                add_rows(offsets[site], states)
        assert first is not None  # a recording has a sample
        offsets /= n_samples
        for _, values in recording.blocks():
            for site, _, states in site_pieces(values):
                states -= first[site]
                states -= offsets[site]
                states *= states
                add_rows(variances[site], states)
    return UnitMoments(first + offsets, variances / n_samples)


def standardization(variance: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Find the massive units and the factors that standardize them.

    Args:
        variance: variance pooled over samples and sites, `(unit)`.

    Returns:
        Indices of the massive units in ascending order, `(massive)`, and factors `(unit)`,
        dimensionless, 1 for all other units.

    >>> standardization(np.array([1.0, 4.0, 10000.0, 0.0, 5.0]))
    (array([2]), array([1.       , 1.       , 0.0212132, 1.       , 1.       ]))
    """
    varying = variance[variance > 0]
    median = float(np.median(varying)) if varying.size else 0.0
    massive = np.flatnonzero(variance > MASSIVE_FACTOR * median)
    scale = np.ones_like(variance)
    scale[massive] = np.sqrt(median / variance[massive])
    return massive, scale


def standardize(recording: Recording) -> Recording:
    """Scale the massive units of a recording to the deviation of the median unit.

    Any measure of the population then runs without the dominance of massive units:
    `td.paths.kinematics(td.massive.standardize(recording))`.

    Args:
        recording: states `(sample, site, unit)`.

    Returns:
        A recording of the same shape and dtype; one on disk stays on disk and is scaled when it is
        read. Other units keep their bits. The provenance lists the massive units under
        `standardized_unit` and their factors under `standardized_factor`.

    >>> from transformer_dynamics import Recording
    >>> states = np.random.default_rng(0).standard_normal((20, 5, 8)) * [1, 1, 1, 300, 1, 1, 1, 1]
    >>> standardize(Recording.from_array(states)).provenance["standardized_unit"]
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
        # Errors about damaged chunks name this path.
        result.activation.encoding["source"] = recording.activation.encoding["source"]
    return result

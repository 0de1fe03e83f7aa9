"""Massive activations by magnitude, and the moments of all units, in one pass over a recording.

An activation is massive if |x| > 100 and |x| > 1000 times the median over units of |x| of the same
state (Sun et al., arXiv 2402.17762).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats, ratio, site_states
from transformer_dynamics.numerics.principal_axes import require_finite
from transformer_dynamics.numerics.standardize import UnitMoments, moments_of_states
from transformer_dynamics.recording.recording import Recording

LEAST_MAGNITUDE = 100.0
LEAST_RATIO = 1000.0


@dataclass(frozen=True)
class Profile:
    """Moments from one pass over a recording, in the basis of its units.

    Attributes:
        moments: means and variances of every unit at every site.
        count: number of massive activations of each state, `(sample, site)`.
        carrying: share of samples in which a unit is massive, `(site, unit)`.
        largest: largest |x| over its state's median |x|, over samples, `(site)`.
    """

    moments: UnitMoments
    count: NDArray[np.int64]
    carrying: Floats
    largest: Floats

    @property
    def energy(self) -> Floats:
        """Mean square over samples of each unit, `(site, unit)`."""
        return np.asarray(self.moments.variance + self.moments.mean**2)


def massive_activations(states: NDArray[Any]) -> NDArray[np.bool_]:
    """Find massive activations by their magnitude (arXiv 2402.17762).

    Args:
        states: `(..., unit)`, in stream units.

    Returns:
        `(..., unit)`: |x| > 100 and > 1000 times the median of |x| over the units of its state.

    >>> massive_activations(np.array([[0.1, -2000.0, 0.2], [0.1, 99.0, 0.2], [1.0, 500.0, 1.0]]))
    array([[False,  True, False],
           [False, False, False],
           [False, False, False]])
    """
    magnitude = np.abs(np.asarray(states))
    return _massive(magnitude, np.median(magnitude, axis=-1))


def _massive(magnitude: NDArray[Any], median: NDArray[Any]) -> NDArray[np.bool_]:
    exceeds = magnitude > LEAST_RATIO * median[..., np.newaxis]
    return np.asarray((magnitude > LEAST_MAGNITUDE) & exceeds)


def profile(recording: Recording) -> Profile:
    """Compute the `Profile` of a recording `(sample, site, unit)`.

    Raises:
        InputError: the states are not finite.
    """
    n_samples, n_sites, n_units = recording.shape
    means, variances, carrying = np.empty((3, n_sites, n_units))
    count = np.empty((n_samples, n_sites), dtype=np.int64)
    largest = np.empty(n_sites)
    for sites, values in recording.site_blocks():
        for site, states in enumerate(site_states(values), start=sites.start):
            means[site], variances[site] = moments_of_states(states)
            require_finite(means[site] + variances[site])
            magnitude = np.abs(states)
            median = np.median(magnitude, axis=1)
            activations = _massive(magnitude, median)
            count[:, site], carrying[site] = activations.sum(axis=1), activations.mean(axis=0)
            largest[site] = np.fmax.reduce(ratio(magnitude.max(axis=1), median))
        del values, states
    return Profile(UnitMoments(means, variances), count, carrying, largest)

"""Massive activations by magnitude, and the moments of all units, in three passes over a recording.

An activation is massive if |x| > 100 and |x| > 1000 times the median over units of |x| of the same
state (Sun et al., arXiv 2402.17762).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats, ratio, site_pieces
from transformer_dynamics.numerics.principal_axes import require_finite
from transformer_dynamics.numerics.standardize import UnitMoments, unit_moments
from transformer_dynamics.recording.recording import Recording

LEAST_MAGNITUDE = 100.0
LEAST_RATIO = 1000.0


@dataclass(frozen=True)
class Profile:
    """Moments and massive activations of a recording, in the basis of its units.

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
    moments = unit_moments(recording)
    require_finite(moments.mean + moments.variance)
    n_samples, n_sites, n_units = recording.shape
    carriers = np.zeros((n_sites, n_units), dtype=np.int64)
    count = np.empty((n_samples, n_sites), dtype=np.int64)
    largest = np.full(n_sites, np.nan)
    for block, values in recording.blocks():
        for site, rows, states in site_pieces(values):
            magnitude = np.abs(states, out=states)
            median = np.median(magnitude, axis=1)
            activations = _massive(magnitude, median)
            carriers[site] += activations.sum(axis=0)
            count[block][rows, site] = activations.sum(axis=1)
            ratios = ratio(magnitude.max(axis=1), median)
            largest[site] = np.fmax(largest[site], np.fmax.reduce(ratios))
    return Profile(moments, count, carriers / n_samples, largest)

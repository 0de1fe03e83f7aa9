"""Preparation of traces for pooling over samples: subsample, relative size, robust scores.

A residual trace has some sixty values, so tests of a unit use the traces of all its samples
together. Before, the growth of the stream over depth is divided out:

    relative       x[n, u, s] / g[s],   g[s] the median over n and u of |x[n, u, s]|
    robust scores  (x - median) / (interquartile range / 1.349),   per unit, over samples and sites

The shared part of a unit's traces remains; the surrogates (`nulls.trace_surrogates`) keep it.
`sklearn.preprocessing.robust_scale` has no pooling over two axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording

# Interquartile range of a normal distribution in standard deviations.
NORMAL_IQR = 1.349


def choice(
    shape: tuple[int, int, int], n_samples: int, n_units: int, *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose samples and units at random, seeded, in ascending order.

    Args:
        shape: shape of the recording, `(sample, site, unit)`.
        n_samples: largest number of samples.
        n_units: largest number of units.
        seed: seed of the choice.

    Returns:
        Their indices along `sample` and along `unit`; all where there are no more.

    >>> choice((3, 60, 2), 99, 99)
    (array([0, 1, 2]), array([0, 1]))
    """
    rng = np.random.default_rng(seed)
    samples, units = (
        np.sort(rng.choice(available, size=min(available, wanted), replace=False))
        for available, wanted in ((shape[0], n_samples), (shape[2], n_units))
    )
    return samples, units


def subset(recording: Recording, n_samples: int, n_units: int, *, seed: int = 0) -> Recording:
    """Select the `choice` of samples and units; the coordinate `unit` holds the units' numbers."""
    samples, units = choice(recording.shape, n_samples, n_units, seed=seed)
    numbered = recording.dataset
    if "unit" not in numbered.coords:
        numbered = numbered.assign_coords(unit=np.arange(recording.shape[2]))
    return Recording(numbered.isel(sample=samples, unit=units))


def relative(traces: NDArray[Any]) -> Floats:
    """Divide traces by the size of the stream at each site.

    Args:
        traces: `(sample, unit, site)`, in stream units.

    Returns:
        `(sample, unit, site)`, dimensionless; the denominator is the median over samples and units
        of the magnitude at the site, 1 where that is zero.
    """
    sizes = np.median(np.abs(traces), axis=(0, 1))
    return np.asarray(traces / np.where(sizes > 0, sizes, 1.0), dtype=np.float64)


def robust_scores(traces: Floats) -> tuple[Floats, Floats, Floats]:
    """Scale the traces of each unit by median and robust standard deviation.

    Args:
        traces: `(sample, unit, site)`.

    Returns:
        Scores `(sample, unit, site)`, and median and deviation `(unit)`, both over samples and
        sites. All NaN for a unit half of whose values are equal.
    """
    low, middle, high = np.quantile(traces, [0.25, 0.5, 0.75], axis=(0, 2))
    deviation = (high - low) / NORMAL_IQR
    deviation = np.where(deviation > 0, deviation, np.nan)
    scores = (traces - middle[:, np.newaxis]) / deviation[:, np.newaxis]
    return scores, middle, deviation

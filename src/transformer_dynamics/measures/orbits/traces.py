"""Traces made ready to be pooled over samples, and surrogates of pooled traces.

A residual trace has some sixty values, so whatever is asked of a unit is asked of all its samples'
traces together. Two things stand in the way: the stream grows over depth, and most of a unit's
trace is shared by all samples.

    relative      x[n, u, s] / g[s],   g[s] the median over n and u of |x[n, u, s]|
    standardized  (x - median) / (interquartile range / 1.349),   per unit, over samples and sites

The surrogates keep what would otherwise pass for an orbit, and each is exact for its hypothesis:

- Sign-flipped increments, one sign per step and unit, the same for all samples. If a unit's steps
  are independent over depth and as likely up as down, whatever their sizes, their growth, and
  whatever the samples share of them, a flipped recording is as likely as the recording itself, and
  the test is exact. Increments permuted or phase-randomized do not keep growth over depth, and
  signs or phases drawn per sample do not keep the shared path: a walk whose samples share most of
  their path then is found to be full of orbits, since every place on the path is a pile of points.
- Shared phases: relative traces whose Fourier phases are turned by random angles, the same for all
  samples of a unit, after their values were made Gaussian by rank; then each gets its own values
  back by rank. That is a linear stochastic process with the same spectra, the same coherence
  between samples and the same values: a stable point with noise around it, not an unstable one.

Source: sign flips, ours; shared phases, the multivariate surrogates of Prichard and Theiler
(arXiv comp-gas/9405002) with amplitudes adjusted as by Theiler et al. (Physica D 58, 77, 1992).

Cost: sign flips one pass; shared phases two sorts and two Fourier transforms per trace.

Not handled: a drift that shared phases wrap around from the last site to the first; what grows or
drifts is the business of the sign flips, which is why a finding must exceed both.
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
    """A random choice of samples and units, each in their order, fixed by the seed.

    Args:
        shape: of the recording, `(sample, site, unit)`.
        n_samples: samples at most.
        n_units: units at most.
        seed: of the choice.

    Returns:
        Their places along `sample` and along `unit`; all where there are no more.

    >>> choice((3, 60, 2), 99, 99)
    (array([0, 1, 2]), array([0, 1]))
    """
    rng = np.random.default_rng(seed)
    samples, units = (
        np.sort(rng.choice(there, size=min(there, wanted), replace=False))
        for there, wanted in ((shape[0], n_samples), (shape[2], n_units))
    )
    return samples, units


def subset(recording: Recording, n_samples: int, n_units: int, *, seed: int = 0) -> Recording:
    """The recording of such a choice, whose coordinate `unit` holds the units' numbers."""
    samples, units = choice(recording.shape, n_samples, n_units, seed=seed)
    numbered = recording.dataset
    if "unit" not in numbered.coords:
        numbered = numbered.assign_coords(unit=np.arange(recording.shape[2]))
    return Recording(numbered.isel(sample=samples, unit=units))


def relative(traces: NDArray[Any]) -> Floats:
    """Traces over the size of the stream at each site.

    Args:
        traces: `(sample, unit, site)`, in stream units.

    Returns:
        `(sample, unit, site)`, dimensionless; the denominator is the median over samples and units
        of the magnitude at the site, 1 where that is zero.
    """
    sizes = np.median(np.abs(traces), axis=(0, 1))
    return np.asarray(traces / np.where(sizes > 0, sizes, 1.0), dtype=np.float64)


def robust_scores(traces: Floats) -> tuple[Floats, Floats, Floats]:
    """Traces of each unit about its median, over its robust standard deviation.

    Args:
        traces: `(sample, unit, site)`.

    Returns:
        Standardized traces `(sample, unit, site)`, and median and deviation `(unit)`, both over
        samples and sites. All NaN for a unit half of whose values are equal.
    """
    low, middle, high = np.quantile(traces, [0.25, 0.5, 0.75], axis=(0, 2))
    deviation = (high - low) / NORMAL_IQR
    deviation = np.where(deviation > 0, deviation, np.nan)
    scaled = (traces - middle[:, np.newaxis]) / deviation[:, np.newaxis]
    return scaled, middle, deviation

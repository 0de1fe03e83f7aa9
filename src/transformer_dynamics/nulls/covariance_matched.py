"""A null for rotation: Gaussian states with the recording's mean and its smoothness.

Smooth states in few dimensions turn by chance, since what moves smoothly and stays bounded has to
come back. Whether a recording rotates beyond that is told by states that are as smooth over depth
and as low-dimensional over units, and otherwise random.

Kept exactly, up to rounding: the mean over samples at every site and unit, `(site, unit)`.
Kept in expectation, with denominator samples - 1: the covariance across sites, summed over units,
`(site, site)`, so the variance of each site and how alike any two are; and the covariance across
units, summed over sites, `(unit, unit)`, so the variance of each unit and the principal components.
A single draw has the sample covariance of as many Gaussian samples. Not kept: the covariance of
units at one site by itself, which is the pooled one's mixture with the site's variance.

Destroyed: everything else, rotation above all. Unit u at site s goes with unit v at site t as much
as u at t goes with v at s; what is not Gaussian, as clusters of texts or massive outliers; and what
sets one sample apart from another at all sites.

Source: Elsayed and Cunningham 2017 (tensor maximum entropy); see `inference.matched_gaussian`.

Cost, for N samples, S sites, D units: 4 N S D (S + D) and the eigenvectors of a D x D and an S x S
matrix. Covariances are float64; numbers and products are float32 unless the recording is float64.

Not handled: states that are not finite, and samples that depend on each other.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.nulls.matched_gaussian import matched_gaussian
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null


@null(
    "covariance_matched",
    keeps="mean over samples; in expectation, covariance across sites and across units",
    destroys="all beyond these: rotation, the order in which units lead, what is not Gaussian",
)
def covariance_matched(recording: Recording, *, seed: int = 0) -> Recording:
    """Gaussian states with the mean and the two covariances of the recording.

    Args:
        recording: states `(sample, site, unit)`. With one sample nothing deviates from the mean,
            and it comes back as it is.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype.

    Raises:
        RecordingError: states are not finite, or those drawn leave the range of the dtype.

    >>> from transformer_dynamics.nulls import synthetic
    >>> turning = synthetic.rotation(n_samples=8, n_sites=5, n_units=4)
    >>> null = covariance_matched(turning, seed=1)
    >>> null.shape, bool(np.allclose(null.values.mean(axis=0), turning.values.mean(axis=0)))
    ((8, 5, 4), True)
    """
    values = recording.values
    if not np.isfinite(values.sum(axis=0, dtype=np.float64)).all():
        raise RecordingError(
            "got states that are not finite; covariances need finite ones: "
            "recording.isel(sample=np.isfinite(recording.values).all(axis=(1, 2)))"
        )
    dtype = np.float64 if values.dtype.itemsize >= 8 else np.float32
    drawn = matched_gaussian(values).draw(len(values), np.random.default_rng(seed), dtype=dtype)
    if np.abs(drawn).max() > np.finfo(values.dtype).max:
        raise RecordingError(
            f"a surrogate of this recording leaves the range of its dtype, {values.dtype} (at most "
            f"{np.finfo(values.dtype).max:.3g}); convert it first: "
            "recording.with_values(recording.values.astype('float32'))"
        )
    return recording.with_values(
        drawn.astype(values.dtype, copy=False), null="covariance_matched", seed=seed
    )

"""Gaussian states with the recording's mean and its smoothness: a null model for rotation.

Smooth states in few dimensions turn by chance, since a smooth and bounded path has to come back.
This null is as smooth over depth and as low-dimensional over units as the recording, and otherwise
random. Source: Elsayed and Cunningham 2017 (tensor maximum entropy); see `matched_gaussian`.

Cost, for N samples, S sites, D units: 4 N S D (S + D) and the eigenvectors of a D x D and an S x S
matrix; covariances in float64, draws in float32 unless the recording is float64. Not handled:
states that are not finite, and samples that depend on each other.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.nulls.increments import range_error, working_dtype
from transformer_dynamics.nulls.matched_gaussian import matched_gaussian
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null


@null(
    "covariance_matched",
    keeps="mean over samples; in expectation, covariance across sites and across units",
    destroys="all other structure: rotation, the order in which units lead, non-Gaussian values",
)
def covariance_matched(recording: Recording, *, seed: int = 0) -> Recording:
    """Gaussian states with the mean and the two marginal covariances of the recording.

    Args:
        recording: states `(sample, site, unit)`. A single sample does not deviate from the mean
            and is returned unchanged.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype.

    Raises:
        RecordingError: states are not finite, or the drawn ones leave the range of the dtype.

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
    rng, dtype = np.random.default_rng(seed), working_dtype(values.dtype)
    drawn = matched_gaussian(values).draw(len(values), rng, dtype=dtype)
    if np.abs(drawn).max() > np.finfo(values.dtype).max:
        raise range_error(values.dtype)
    return recording.with_values(
        drawn.astype(values.dtype, copy=False), null="covariance_matched", seed=seed
    )

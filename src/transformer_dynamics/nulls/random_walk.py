"""Random walk matched to a recording step by step.

With increments d[s] = x[s+1] - x[s] and their mean over samples mu[s]:

    x'[s+1] = x'[s] + g mu[s] + a Gaussian with the covariance of d[s] over samples

Source: ours. Cost, for N samples, S sites and D units: S N min(N, D) Gaussian numbers and about
2 S N D min(N, D) operations. Differences and products are float32 unless the recording is float64;
the walk accumulates in float64. Not handled: states that are not finite.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from transformer_dynamics.nulls.increments import States, accumulate, increments
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null


@null(
    "random_walk",
    keeps="first site; covariance over samples and mean size per unit of each step",
    destroys="direction, order, everything learned",
)
def random_walk(recording: Recording, *, seed: int = 0) -> Recording:
    """Gaussian random walk matched to the recording step by step.

    Each step is `g * mean step + centered part`. The factor g is standard normal, one number per
    unit and the same for all samples, so that the path that all samples share is a walk too. The
    centered part is Gaussian, independent between samples and steps, with the covariance over
    samples of the recording's own steps, `(unit, unit)`, denominator n_samples - 1. With one
    sample there is no centered part.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: the walk leaves the range of a float16 recording.

    >>> from transformer_dynamics.nulls import synthetic
    >>> walk = random_walk(synthetic.line(n_samples=8, n_sites=5, n_units=4), seed=1)
    >>> walk.shape, walk.provenance["system"], walk.provenance["null"], walk.provenance["seed"]
    ((8, 5, 4), 'line', 'random_walk', 1)
    """
    values, rng = recording.values, np.random.default_rng(seed)
    walk = accumulate(values, lambda step: _matched_step(increments(values, step), rng))
    return recording.with_values(walk, null="random_walk", seed=seed)


def _matched_step(own: States, rng: np.random.Generator) -> States:
    """Gaussian step with the mean size and the covariance of `own`, `(sample, unit)`."""
    n_samples, n_units = own.shape
    dtype = own.dtype.type
    mean = own.mean(axis=0, dtype=np.float64).astype(dtype)
    common: States = mean * rng.standard_normal(n_units, dtype=dtype)
    if n_samples == 1:
        return common[np.newaxis]
    factor = own - mean
    if n_units < n_samples:
        factor = _square_factor(factor)
    step: States = rng.standard_normal((n_samples, len(factor)), dtype=dtype) @ factor
    step *= dtype(1 / np.sqrt(n_samples - 1))
    step += common
    return step


def _square_factor(centered: States) -> States:
    """R `(unit, unit)` with R'R = E'E for E `(sample, unit)`: fewer rows, the same covariance."""
    try:
        return np.asarray(linalg.cholesky(centered.T @ centered, check_finite=False))
    except linalg.LinAlgError:
        # Linearly dependent units; QR takes twice as long and needs no independence.
        return np.asarray(linalg.qr(centered, mode="r", check_finite=False)[0][: centered.shape[1]])

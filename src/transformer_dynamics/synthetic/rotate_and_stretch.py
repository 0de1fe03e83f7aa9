"""States that follow the rotate-and-stretch law with known residual variance, at every lag.

The law of arXiv 2410.01545 asks the residual w of its prediction of x(t + tau) to be isotropic with
the variance alpha exp(lambda (t + tau)) in each unit. The prediction already has all of the later
state's energy, so w cannot be noise that is added to it. A common trajectory that turns and
stretches, observed through noise that is fresh at every site, fulfils the law:

    x(t) = exp(lambda t / 2) (U(t) diag(s) z + sqrt(alpha / 2) e(t)),   z, e(t) standard normal

Source: the construction is ours (derivation: docs/measures/dynamics.rotate_and_stretch.md). Cost:
one pass. Not handled: a mean path, and a residual that depends on tau.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.recording import Recording

# Spread along a direction over the spread along the one before: distinct singular values, so that
# their order identifies the directions.
DECAY = 0.7


def rotate_and_stretch_law(
    *,
    alpha: float = 0.64,
    growth: float = 0.18,
    signal: float = 40.0,
    turn: float = 0.1,
    n_samples: int = 512,
    n_sites: int = 16,
    n_units: int = 8,
    seed: int = 0,
) -> Recording:
    """States for which the published law holds at every pair of sites.

    Known answers: the residual of the law has in each unit the variance
    `alpha` exp(`growth` (t + tau)), t the index of the site, is Gaussian, isotropic, and depends on
    tau only through t + tau; the i-th component of one site correlates with that of another by
    s_i^2 / (s_i^2 + alpha/2), s_i = `signal` sqrt(`alpha`) 0.7^i. Persistence explains less with
    a growing lag, by cos(`turn` tau) in the plane that turns.

    Args:
        alpha: variance of the residual in a unit at the first site, in stream units squared.
        growth: lambda, per site.
        signal: spread of the common trajectory along its first direction, over sqrt(alpha).
        turn: angle per site, in radians.
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units, and of directions.
        seed: seed of the random numbers.

    Raises:
        InputError: `alpha` is not positive.
        RecordingError: a number of samples, sites or units is zero.

    >>> rotate_and_stretch_law(n_samples=4, n_sites=5).provenance["alpha"]
    0.64
    """
    if alpha <= 0:
        raise InputError(
            f"got alpha={alpha}; a variance is positive: rotate_and_stretch_law(alpha=0.64)"
        )
    rng = np.random.default_rng(seed)
    first, _ = np.linalg.qr(rng.standard_normal((n_units, n_units)))
    spread = signal * np.sqrt(alpha) * DECAY ** np.arange(n_units)
    common = rng.standard_normal((n_samples, n_units)) * spread
    values = np.empty((n_samples, n_sites, n_units))
    for site in range(n_sites):
        noise = np.sqrt(alpha / 2) * rng.standard_normal((n_samples, n_units))
        turned = common @ (first @ _rotation(n_units, turn * site)).T
        values[:, site] = np.exp(growth * site / 2) * (turned + noise)
    provenance = {"system": "rotate_and_stretch_law", "alpha": alpha, "growth": growth}
    return Recording.from_array(values, provenance={**provenance, "turn": turn, "seed": seed})


def _rotation(n_units: int, angle: float) -> NDArray[np.float64]:
    """Rotation by an angle in the planes of directions 0 and 1, 2 and 3, ..., `(unit, unit)`."""
    rotation = np.eye(n_units)
    cosine, sine = np.cos(angle), np.sin(angle)
    for first in range(0, n_units - 1, 2):
        pair = slice(first, first + 2)
        rotation[pair, pair] = [[cosine, -sine], [sine, cosine]]
    return rotation

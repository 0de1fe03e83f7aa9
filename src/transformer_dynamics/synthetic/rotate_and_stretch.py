"""States that follow the rotate-and-stretch law with known residual variance, at every lag.

The law of arXiv 2410.01545 predicts x(t + tau) from x(t) by the singular vectors and values of the
states themselves and asks the rest w, for every t and tau, to be isotropic with the variance
alpha exp(lambda (t + tau)) in each unit. The measured singular values contain w, so the prediction
has all of the later states' energy already and w cannot be noise that is added to it and then
carried on: as |x|^2 = |prediction|^2 on average, w must cancel against the prediction. What fits is
a common trajectory that turns and stretches, seen through noise that is fresh at every site:

    x(t) = exp(lambda t / 2) (U(t) diag(s) z + sqrt(alpha / 2) e(t)),   z, e(t) standard normal

Half of w is the noise at t + tau, half that at t, stretched. U(t) turns by a constant angle per
site in the planes of consecutive directions. Cost: one pass. Source: the construction is ours.

Not handled: a mean path, and the Langevin equation of the paper, whose increments add up and whose
residual therefore depends on tau.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.recording import Recording


def rotate_and_stretch_law(
    *,
    alpha: float = 0.64,
    growth: float = 0.18,
    signal: float = 40.0,
    decay: float = 0.7,
    turn: float = 0.1,
    n_samples: int = 512,
    n_sites: int = 16,
    n_units: int = 8,
    seed: int = 0,
) -> Recording:
    """States of which the published law holds for every pair of sites.

    Known answers: the residual of the law has in each unit the variance
    `alpha` exp(`growth` (t + tau)), t the index of the site, is Gaussian, isotropic, and depends on
    tau only through t + tau; the i-th component of one site correlates with that of another by
    s_i^2 / (s_i^2 + alpha/2), s_i = `signal` sqrt(`alpha`) `decay`^i; standing still explains less
    the further apart two sites are, by cos(`turn` tau) in the plane that turns.

    Args:
        alpha: variance of the residual in a unit at the first site, in stream units squared.
        growth: lambda, per site.
        signal: spread of the common trajectory along its first direction, over sqrt(alpha).
        decay: spread along a direction over that along the one before; apart, so that the order of
            singular values tells directions from each other.
        turn: angle per site, in radians.
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units, and of directions.
        seed: of the random numbers.

    Raises:
        InputError: `alpha` is not positive, or `decay` not between 0 and 1.
        RecordingError: a number is zero.

    >>> rotate_and_stretch_law(n_samples=4, n_sites=5).provenance["alpha"]
    0.64
    """
    if alpha <= 0 or not 0 < decay < 1:
        raise InputError(
            f"got alpha={alpha}, decay={decay}; a variance is positive and directions keep apart "
            "below 1: rotate_and_stretch_law(alpha=0.64, decay=0.7)"
        )
    rng = np.random.default_rng(seed)
    first, _ = np.linalg.qr(rng.standard_normal((n_units, n_units)))
    spread = signal * np.sqrt(alpha) * decay ** np.arange(n_units)
    common = rng.standard_normal((n_samples, n_units)) * spread
    values = np.empty((n_samples, n_sites, n_units))
    for site in range(n_sites):
        noise = np.sqrt(alpha / 2) * rng.standard_normal((n_samples, n_units))
        turned = common @ (first @ _turning(n_units, turn * site)).T
        values[:, site] = np.exp(growth * site / 2) * (turned + noise)
    provenance = {"system": "rotate_and_stretch_law", "alpha": alpha, "growth": growth}
    return Recording.from_array(values, provenance={**provenance, "turn": turn, "seed": seed})


def _turning(n_units: int, angle: float) -> NDArray[np.float64]:
    """Turns by an angle in the planes of directions 0 and 1, 2 and 3, ..., `(unit, unit)`."""
    turning = np.eye(n_units)
    cosine, sine = np.cos(angle), np.sin(angle)
    for place in range(0, n_units - 1, 2):
        pair = slice(place, place + 2)
        turning[pair, pair] = [[cosine, -sine], [sine, cosine]]
    return turning

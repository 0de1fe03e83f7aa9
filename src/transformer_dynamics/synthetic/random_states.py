"""Random systems: a Gaussian walk over depth, and states without any relation between sites.

    random walk          x[s+1] = x[s] + step g,    x[-1] = 0
    independent states   x[s] = scale g

g is standard normal, drawn anew at each site. Source: ours. Cost: one pass over the states.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.recording import Recording
from transformer_dynamics.synthetic.starts import synthetic_recording


def random_walk(
    *, n_samples: int = 64, n_sites: int = 32, n_units: int = 16, step: float = 1.0, seed: int = 0
) -> Recording:
    """Gaussian random walk from the origin; the first site is the first step.

    Known answers: the speed is `step` sqrt(n_units) in mean square; the turning angle is pi/2 on
    average; a unit's correlation over samples between sites s and t > s, counted from one, is
    sqrt(s/t), and so is the cosine of the two states when there are many units; norms grow as
    sqrt(s); the rotation count of a unit's trace of 64 points is -10.94 +- 1.68.

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units.
        step: standard deviation of a step in each unit.
        seed: seed of the random numbers.

    Raises:
        RecordingError: a number of samples, sites or units is zero.

    >>> random_walk(n_samples=3, n_sites=5, n_units=2).provenance["system"]
    'random_walk'
    """
    steps = np.random.default_rng(seed).standard_normal((n_samples, n_sites, n_units))
    values = step * np.cumsum(steps, axis=1)
    return synthetic_recording(values, system="random_walk", step=step, seed=seed)


def independent_states(
    *, n_samples: int = 64, n_sites: int = 32, n_units: int = 16, scale: float = 1.0, seed: int = 0
) -> Recording:
    """Gaussian states without any relation between sites.

    Known answers: correlation, cosine and mutual information between sites are 0 on average; the
    turning angle is 2 pi/3 for many units, since neighboring steps share a state; the speed is
    `scale` sqrt(2 n_units) in mean square; the participation ratio of a site is n_units for many
    samples.

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units.
        scale: standard deviation of a state in each unit.
        seed: seed of the random numbers.

    Raises:
        RecordingError: a number of samples, sites or units is zero.
    """
    values = np.random.default_rng(seed).standard_normal((n_samples, n_sites, n_units)) * scale
    return synthetic_recording(values, system="independent_states", scale=scale, seed=seed)

"""Straight paths: constant speed, approach to a fixed point, and alternation between two points.

    line          x[s] = x[0] + s speed v,              |v| = 1
    contraction   x[s+1] - c = factor (x[s] - c)
    ping-pong     x[s] = x[0] + (s mod 2) distance v,   |v| = 1

x[0] is standard normal and v a random direction, both drawn per sample. Source: ours. Cost: one
pass over the states. Not handled: noise on top of the paths.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.recording import Recording
from transformer_dynamics.synthetic.starts import starts_and_directions, synthetic_recording


def line(
    *, n_samples: int = 64, n_sites: int = 32, n_units: int = 16, speed: float = 1.0, seed: int = 0
) -> Recording:
    """Straight motion at constant speed; start and direction differ between samples.

    Known answers: the speed is `speed` at every step, acceleration and turning angle are 0, the
    tortuosity is 1, the path length is `speed` (n_sites - 1), and the Jacobian of a step is the
    identity.

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units.
        speed: distance covered in a step.
        seed: seed of the random numbers.

    Raises:
        RecordingError: a number of samples, sites or units is zero.
    """
    start, direction = starts_and_directions(n_samples, n_units, seed)
    distance = speed * np.arange(n_sites)
    values = start[:, np.newaxis] + distance[:, np.newaxis] * direction[:, np.newaxis]
    return synthetic_recording(values, system="line", speed=speed, seed=seed)


def contraction(
    *,
    n_samples: int = 64,
    n_sites: int = 32,
    n_units: int = 16,
    factor: float = 0.5,
    fixed_point: float = 1.0,
    seed: int = 0,
) -> Recording:
    """Straight approach to a fixed point, the distance multiplied by `factor` at each step.

    Known answers: the distance to the fixed point, and the distance between any two samples, is
    `factor`^s times the first one; speed falls by `factor` per step; the turning angle is 0 and
    the tortuosity 1; all Lyapunov exponents are ln(`factor`); a perturbation's recovery ratio
    after k steps is `factor`^k; the skew-symmetric share of the dynamics is 0.

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units.
        factor: distance after a step over the distance before it.
        fixed_point: coordinate of the fixed point in every unit.
        seed: seed of the random numbers.

    Raises:
        RecordingError: a number of samples, sites or units is zero.

    >>> states = contraction(n_samples=1, n_sites=4, n_units=1).values[0, :, 0]
    >>> (states[1:] - 1) / (states[:-1] - 1)
    array([0.5, 0.5, 0.5])
    """
    start, _ = starts_and_directions(n_samples, n_units, seed)
    shrunk = factor ** np.arange(n_sites)[:, np.newaxis]
    values = fixed_point + shrunk * (start - fixed_point)[:, np.newaxis]
    return synthetic_recording(
        values, system="contraction", factor=factor, fixed_point=fixed_point, seed=seed
    )


def ping_pong(
    *,
    n_samples: int = 64,
    n_sites: int = 32,
    n_units: int = 16,
    distance: float = 1.0,
    seed: int = 0,
) -> Recording:
    """Alternation between two points, which differ between samples.

    Known answers: the turning angle is pi and the speed `distance` at every step; after an even
    number of steps a sample is back at its first state, so that its tortuosity is undefined; after
    an odd number the tortuosity is the number of steps.

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units.
        distance: distance between a sample's two points.
        seed: seed of the random numbers.

    Raises:
        RecordingError: a number of samples, sites or units is zero.
    """
    start, direction = starts_and_directions(n_samples, n_units, seed)
    offset = distance * (np.arange(n_sites) % 2)
    values = start[:, np.newaxis] + offset[:, np.newaxis] * direction[:, np.newaxis]
    return synthetic_recording(values, system="ping_pong", distance=distance, seed=seed)

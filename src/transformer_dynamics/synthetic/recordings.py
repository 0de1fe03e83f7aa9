"""Systems whose answers are known, as recordings: what a measure must return on them is in print.

    random walk          x[s+1] = x[s] + step g,               x[-1] = 0
    independent states   x[s] = scale g
    line                 x[s] = x[0] + s speed v,              |v| = 1
    rotation             x[s+1] = R(theta) x[s],               theta = 2 pi turns / (n_sites - 1)
    spiral               x[s+1] = growth R(theta) x[s]
    contraction          x[s+1] - c = factor (x[s] - c)
    ping-pong            x[s] = x[0] + (s mod 2) distance v,   |v| = 1

Here g is standard normal, drawn anew each time, v a random direction and x[0] standard normal,
both drawn per sample. Each takes keywords only and returns float64 states `(sample, site, unit)`
whose sites are called `0.state`, `1.state`, ...; the provenance holds the system's name as
`system`, and its parameters. Cost: one pass over the states. Source: ours.

Not handled: noise on top of a deterministic system, and more than one sample per text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.recording import Recording

States = NDArray[np.float64]


def random_walk(
    *, n_samples: int = 64, n_sites: int = 32, n_units: int = 16, step: float = 1.0, seed: int = 0
) -> Recording:
    """A Gaussian random walk from the origin; the first site is the first step.

    Known answers: the speed is `step` sqrt(n_units) in mean square; the turning angle is pi/2 on
    average; a unit's correlation over samples between sites s and t > s, counted from one, is
    sqrt(s/t), and so is the cosine of the two states when there are many units; norms grow as
    sqrt(s); the rotation count of a unit's trace of 64 points is -10.94 +- 1.68.

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units.
        step: standard deviation of a step in each unit.
        seed: of the random numbers.

    Raises:
        RecordingError: a number is zero.

    >>> random_walk(n_samples=3, n_sites=5, n_units=2).provenance["system"]
    'random_walk'
    """
    steps = np.random.default_rng(seed).standard_normal((n_samples, n_sites, n_units))
    values = step * np.cumsum(steps, axis=1)
    return _recording(values, system="random_walk", step=step, seed=seed)


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
        seed: of the random numbers.

    Raises:
        RecordingError: a number is zero.
    """
    values = np.random.default_rng(seed).standard_normal((n_samples, n_sites, n_units)) * scale
    return _recording(values, system="independent_states", scale=scale, seed=seed)


def line(
    *, n_samples: int = 64, n_sites: int = 32, n_units: int = 16, speed: float = 1.0, seed: int = 0
) -> Recording:
    """Straight motion at constant speed, each sample from its own start in its own direction.

    Known answers: the speed is `speed` at every step, acceleration and turning angle are 0, the
    tortuosity is 1, a path is `speed` (n_sites - 1) long, and the Jacobian of a step is the
    identity.

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units.
        speed: distance covered in a step.
        seed: of the random numbers.

    Raises:
        RecordingError: a number is zero.
    """
    start, direction = _start_and_direction(n_samples, n_units, seed)
    distance = speed * np.arange(n_sites)
    values = start[:, np.newaxis] + distance[:, np.newaxis] * direction[:, np.newaxis]
    return _recording(values, system="line", speed=speed, seed=seed)


def rotation(
    *, n_samples: int = 64, n_sites: int = 32, n_units: int = 16, turns: float = 2.0, seed: int = 0
) -> Recording:
    """Each pair of units (0 and 1, 2 and 3, ...) turns in its plane, all at one angular speed.

    Known answers: the norm is constant; the cosine of consecutive states is cos(theta) and the
    turning angle theta, both exactly, with theta = 2 pi `turns` / (n_sites - 1) up to pi; a unit's
    trace is a sine of `turns` cycles, whose rotation count is -`turns` (within 4 % at 64 points up
    to 8 turns); the skew-symmetric share of the dynamics is 1; every step's map is one orthogonal
    matrix. From unit 2k to unit 2k + 1 the angle grows.

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units; even.
        turns: full turns from the first site to the last.
        seed: of the random numbers.

    Raises:
        InputError: `n_units` is odd.
        RecordingError: a number is zero.
    """
    start, _ = _start_and_direction(n_samples, n_units, seed)
    values = _turned(start, n_sites, turns, growth=1.0)
    return _recording(values, system="rotation", turns=turns, seed=seed)


def spiral(
    *,
    n_samples: int = 64,
    n_sites: int = 32,
    n_units: int = 16,
    turns: float = 2.0,
    growth: float = 1.05,
    seed: int = 0,
) -> Recording:
    """A rotation whose radius is multiplied by `growth` from site to site.

    Known answers: the norm is `growth`^s times the first one and the cosine of consecutive states
    cos(theta), as is that of consecutive steps, with theta = 2 pi `turns` / (n_sites - 1); speed
    grows by `growth` per step; ln radius rises by ln(`growth`)/theta per radian; every step's map
    has the eigenvalues `growth` exp(+-i theta).

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units; even.
        turns: full turns from the first site to the last.
        growth: radius at a site over that at the site before; below 1 the spiral is inward.
        seed: of the random numbers.

    Raises:
        InputError: `n_units` is odd.
        RecordingError: a number is zero.
    """
    start, _ = _start_and_direction(n_samples, n_units, seed)
    values = _turned(start, n_sites, turns, growth=growth)
    return _recording(values, system="spiral", turns=turns, growth=growth, seed=seed)


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

    Known answers: the distance to the fixed point, and that between any two samples, is
    `factor`^s times the first one; speed falls by `factor` per step; the turning angle is 0 and
    the tortuosity 1; all Lyapunov exponents are ln(`factor`); a perturbation's recovery ratio
    after k steps is `factor`^k; the skew-symmetric share of the dynamics is 0.

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units.
        factor: distance after a step over that before.
        fixed_point: coordinate of the fixed point in every unit.
        seed: of the random numbers.

    Raises:
        RecordingError: a number is zero.

    >>> states = contraction(n_samples=1, n_sites=4, n_units=1).values[0, :, 0]
    >>> (states[1:] - 1) / (states[:-1] - 1)
    array([0.5, 0.5, 0.5])
    """
    start, _ = _start_and_direction(n_samples, n_units, seed)
    shrunk = factor ** np.arange(n_sites)[:, np.newaxis]
    values = fixed_point + shrunk * (start - fixed_point)[:, np.newaxis]
    return _recording(
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
    """There and back between two points, each sample between its own.

    Known answers: the turning angle is pi and the speed `distance` at every step; after an even
    number of steps a sample is back where it began, so that its tortuosity is undefined, and after
    an odd number the tortuosity is the number of steps.

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units.
        distance: between a sample's two points.
        seed: of the random numbers.

    Raises:
        RecordingError: a number is zero.
    """
    start, direction = _start_and_direction(n_samples, n_units, seed)
    away = distance * (np.arange(n_sites) % 2)
    values = start[:, np.newaxis] + away[:, np.newaxis] * direction[:, np.newaxis]
    return _recording(values, system="ping_pong", distance=distance, seed=seed)


def _start_and_direction(n_samples: int, n_units: int, seed: int) -> tuple[States, States]:
    """Standard normal starts and independent unit vectors, both `(sample, unit)`."""
    rng = np.random.default_rng(seed)
    start = rng.standard_normal((n_samples, n_units))
    direction = rng.standard_normal((n_samples, n_units))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return start, direction


def _turned(start: States, n_sites: int, turns: float, *, growth: float) -> States:
    n_samples, n_units = start.shape
    if n_units % 2:
        raise InputError(
            f"got n_units={n_units}; units turn in pairs, so their number is even: "
            f"rotation(n_units={n_units + 1})"
        )
    sites = np.arange(n_sites)
    theta = 2 * np.pi * turns / max(1, n_sites - 1)
    pairs = start[:, 0::2] + 1j * start[:, 1::2]
    turned = pairs[:, np.newaxis] * (growth**sites * np.exp(1j * theta * sites))[:, np.newaxis]
    values = np.empty((n_samples, n_sites, n_units))
    values[..., 0::2], values[..., 1::2] = turned.real, turned.imag
    return values


def _recording(values: States, **provenance: Any) -> Recording:
    return Recording.from_array(values, provenance=provenance)

"""Rotations: units that turn in pairs, with a constant or a growing radius.

    rotation   x[s+1] = R(theta) x[s],           theta = 2 pi turns / (n_sites - 1)
    spiral     x[s+1] = growth R(theta) x[s]

x[0] is standard normal, drawn per sample. Source: ours. Cost: one pass over the states. Not
handled: noise on top of the rotation.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.errors import InputError
from transformer_dynamics.recording import Recording
from transformer_dynamics.synthetic.starts import (
    States,
    starts_and_directions,
    synthetic_recording,
)


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
        seed: seed of the random numbers.

    Raises:
        InputError: `n_units` is odd.
        RecordingError: a number of samples, sites or units is zero.
    """
    start, _ = starts_and_directions(n_samples, n_units, seed)
    values = _turned(start, n_sites, turns, growth=1.0)
    return synthetic_recording(values, system="rotation", turns=turns, seed=seed)


def spiral(
    *,
    n_samples: int = 64,
    n_sites: int = 32,
    n_units: int = 16,
    turns: float = 2.0,
    growth: float = 1.05,
    seed: int = 0,
) -> Recording:
    """Rotation whose radius is multiplied by `growth` from site to site.

    Known answers: the norm is `growth`^s times the first one and the cosine of consecutive states
    cos(theta), as is the cosine of consecutive steps, with theta = 2 pi `turns` / (n_sites - 1);
    speed grows by `growth` per step; ln radius rises by ln(`growth`)/theta per radian; every
    step's map has the eigenvalues `growth` exp(+-i theta).

    Args:
        n_samples: number of samples.
        n_sites: number of sites.
        n_units: number of units; even.
        turns: full turns from the first site to the last.
        growth: radius at a site over the radius one site before; below 1 the spiral is inward.
        seed: seed of the random numbers.

    Raises:
        InputError: `n_units` is odd.
        RecordingError: a number of samples, sites or units is zero.
    """
    start, _ = starts_and_directions(n_samples, n_units, seed)
    values = _turned(start, n_sites, turns, growth=growth)
    return synthetic_recording(values, system="spiral", turns=turns, growth=growth, seed=seed)


def _turned(start: States, n_sites: int, turns: float, *, growth: float) -> States:
    """Turn pairs of units about the origin, `(sample, site, unit)`, the radius times `growth`."""
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

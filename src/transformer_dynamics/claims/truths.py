"""Synthetic recordings on which the claims are true by construction, one per claim.

A claim should be supported on its truth (power) and not on recordings drawn from a null of it
(calibration). The untrained twins are systems of the same size without the property.
`TRUTHS` names the system of each claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from transformer_dynamics import synthetic
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.synthetic.rotate_and_stretch import rotate_and_stretch_law


@dataclass(frozen=True)
class Truth:
    """A system on which a claim is true.

    Attributes:
        words: description of the system, for a table.
        recording: `seed -> recording`.
        twin: `seed -> recording` of the same shape without the property.
    """

    words: str
    recording: Callable[[int], Recording]
    twin: Callable[[int], Recording]


def _walk(n_samples: int, n_sites: int, n_units: int) -> Callable[[int], Recording]:
    """Random walks of one shape, by seed."""

    def walk(seed: int) -> Recording:
        return synthetic.random_walk(
            n_samples=n_samples, n_sites=n_sites, n_units=n_units, seed=seed
        )

    return walk


def continuous(seed: int) -> Recording:
    """States that grow along one direction per text: a unit's rank among texts never changes."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((40, 1, 12))
    noise = 0.05 * rng.standard_normal((40, 20, 12))
    return Recording.from_array(directions * np.arange(1, 21)[:, np.newaxis] + noise)


def privileged_basis(seed: int) -> Recording:
    """Nine units that keep their value over depth, three loud ones independent at each site."""
    rng = np.random.default_rng(seed)
    kept = rng.standard_normal((40, 1, 9)) + 0.1 * rng.standard_normal((40, 20, 9))
    loud = 5 * rng.standard_normal((40, 20, 3))
    return Recording.from_array(np.concatenate([kept, loud], axis=2))


def accelerating(seed: int) -> Recording:
    """A walk whose steps grow by exp(0.12) each."""
    rng = np.random.default_rng(seed)
    steps = np.exp(0.12 * np.arange(20))[:, np.newaxis] * rng.standard_normal((30, 20, 12))
    return Recording.from_array(np.cumsum(steps, axis=1))


def densifying(seed: int) -> Recording:
    """From a one-hot state to an even one, with noise."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0, 1, 18)[:, np.newaxis]
    states = (1 - share) * np.eye(12)[0] + share * np.ones(12) / np.sqrt(12)
    return Recording.from_array(states + 0.02 * rng.standard_normal((30, 18, 12)))


def settling(seed: int) -> Recording:
    """States that stop turning although their steps stay as large."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((40, 1, 12))
    early = rng.standard_normal((40, 24, 12)) * np.linspace(2.0, 0.0, 24)[:, np.newaxis]
    return Recording.from_array(0.6 * directions * np.arange(1, 25)[:, np.newaxis] + early)


def forgetting(seed: int) -> Recording:
    """Two equal sites, then a walk that starts anew."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((60, 1, 12)) + 0.1 * rng.standard_normal((60, 2, 12))
    later = np.cumsum(rng.standard_normal((60, 18, 12)), axis=1)
    return Recording.from_array(np.concatenate([first, later], axis=1))


def informative_first_step(seed: int) -> Recording:
    """Two equal sites, then states that share nothing."""
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((60, 20, 12))
    states[:, 1] = states[:, 0] + 0.05 * rng.standard_normal((60, 12))
    return Recording.from_array(states)


def henon(seed: int) -> Recording:
    """Units that follow the Hénon map (1.4, 0.3), each from its own start, with noise."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-0.5, 0.5, (2, 24, 4)) * np.array([1.0, 0.2])[:, np.newaxis, np.newaxis]
    states = np.empty((24, 136, 4))
    for site in range(states.shape[1]):
        x, y = 1 - 1.4 * x**2 + y, 0.3 * x
        states[:, site] = x
    return Recording.from_array(states[:, 100:] + 0.03 * rng.standard_normal((24, 36, 4)))


# Increments that turn a trace 19 times in 60 sites, AR(2) increments with the same first two
# autocorrelations 13 times; found by a search over random patterns.
PATTERN = (-0.27, 0.75, -1.37, 1.0, -0.69, 0.26, 0.51, -2.5)


def turning(seed: int) -> Recording:
    """Units whose increments repeat one pattern of eight sites, each with its own factor."""
    rng = np.random.default_rng(seed)
    steps = np.tile(PATTERN, 8)[:59, np.newaxis] * rng.standard_normal(12)
    shared = steps + 0.05 * rng.standard_normal((59, 12))
    noise = 0.1 * rng.standard_normal((12, 60, 12))
    path = np.concatenate([np.zeros((1, 12)), shared]).cumsum(axis=0)
    return Recording.from_array(path + noise)


def circling(seed: int) -> Recording:
    """Three circles that all texts share, with noise."""
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * 3 * np.arange(40) / 39
    circle = np.zeros((1, 40, 12))
    circle[0, :, 0], circle[0, :, 1] = 3 * np.cos(angles), 3 * np.sin(angles)
    basis = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    return Recording.from_array(circle @ basis + 0.3 * rng.standard_normal((30, 40, 12)))


def planar(seed: int) -> Recording:
    """Each text moves in a five-dimensional plane; noise at every site is drawn anew."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((48, 5)))[0].T
    latents = rng.standard_normal((60, 1, 5)) * np.arange(2, 20)[:, np.newaxis]
    return Recording.from_array(latents @ basis + 0.5 * rng.standard_normal((60, 18, 48)))


TRUTHS = {
    "C1": Truth("states that grow along one direction per text", continuous, _walk(40, 20, 12)),
    "C1-basis": Truth(
        "quiet units that keep their value, loud ones that do not",
        privileged_basis,
        _walk(40, 20, 12),
    ),
    "C2": Truth("a walk whose steps grow as exp(0.12 s)", accelerating, _walk(30, 20, 12)),
    "C3": Truth("one active unit becomes twelve", densifying, _walk(30, 18, 12)),
    "C4": Truth("a fixed direction behind noise that fades", settling, _walk(40, 24, 12)),
    "C5": Truth("a past wiped out after the second site", forgetting, _walk(60, 20, 12)),
    "C5-consecutive": Truth(
        "two equal sites, then independent states", informative_first_step, _walk(60, 20, 12)
    ),
    "C6": Truth("units that follow the Hénon map", henon, _walk(24, 36, 4)),
    "C6-turns": Truth(
        "increments that repeat a pattern of eight sites", turning, _walk(12, 60, 12)
    ),
    "C7": Truth("three circles with noise", circling, _walk(30, 40, 12)),
    "C12": Truth("states in five of 48 dimensions, with noise", planar, _walk(60, 18, 48)),
    "C13": Truth(
        "the simulated law",
        lambda seed: rotate_and_stretch_law(n_samples=120, seed=seed),
        lambda seed: _of_shape_of_law(seed),
    ),
}


def _of_shape_of_law(seed: int) -> Recording:
    return _walk(*rotate_and_stretch_law(n_samples=120, seed=0).shape)(seed)

"""Nulls of a single layer's updates u: a random direction in place of the layer's own.

    turned    |u| g / |g|        displaces the stream by 1.41 |u| on average
    moved     u + |u| g / |g|    displaces it by |u|, as skipping the layer does

g is standard normal, drawn anew at each position. Source: ours. Cost: one pass over the updates.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.registry import null


@null(
    "turned_updates",
    keeps="the length of a layer's update at every position",
    destroys="its direction",
    of="updates",
)
def turned_updates(updates: Floats, *, seed: int = 0) -> Floats:
    """Updates of the same lengths in random directions.

    Args:
        updates: updates of one layer, `(position, unit)`.
        seed: seed of the random numbers.

    Returns:
        `(position, unit)`.
    """
    drawn = np.random.default_rng(seed).standard_normal(updates.shape)
    sizes = np.linalg.norm(updates, axis=1) / np.linalg.norm(drawn, axis=1)
    turned: Floats = drawn * sizes[:, np.newaxis]
    return turned


@null(
    "moved",
    keeps="size of the change that skipping a layer makes, at every position",
    destroys="its direction: the update stays, and a random displacement of its norm is added",
    of="updates",
)
def moved_displacement(updates: Floats, *, seed: int = 0) -> Floats:
    """Updates with a random displacement of their own norm added.

    Skipping a layer displaces the stream by minus its update. Here the stream is displaced by the
    same distance in a random direction: a control for the size of the change.

    Args:
        updates: updates of one layer, `(position, unit)`.
        seed: seed of the random numbers.

    Returns:
        `(position, unit)`.

    >>> moved = moved_displacement(np.array([[3.0, 4.0], [0.0, 0.0]]), seed=1)
    >>> np.linalg.norm(moved - [[3, 4], [0, 0]], axis=1).round(9).tolist()
    [5.0, 0.0]
    """
    return updates + turned_updates(updates, seed=seed)

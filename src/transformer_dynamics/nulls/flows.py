"""Nulls of the flow map: the clean trajectory kept, deviations from it carried otherwise.

What holds of such a flow as well does not show that a model corrects or shapes deviations: its
sites, its norms and the size of its steps are the model's own.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.registry import null
from transformer_dynamics.residual.flow_map import Floats, FlowMap, LinearFlowMap


@null(
    "zero_update",
    keeps="the clean trajectory with its growing norm",
    destroys="every answer to a deviation: each layer adds what it added to the clean state",
    of="flow",
)
def zero_update(flow: FlowMap) -> LinearFlowMap:
    """The flow whose updates do not depend on the state: a deviation stays what it was.

    Its recovery ratio is 1 at every depth; its distance over the stream's norm falls as the norm
    grows.
    """
    identity = np.broadcast_to(np.eye(flow.n_units), (len(flow.sites) - 1,) + 2 * (flow.n_units,))
    return LinearFlowMap.around(flow, identity, name=f"{flow.name}, zero update")


@null(
    "turned_updates",
    keeps="the length of a layer's update at every position",
    destroys="its direction",
    of="updates",
)
def turned_updates(updates: Floats, *, seed: int = 0) -> Floats:
    """Updates of the same lengths in random directions.

    Args:
        updates: what a layer adds, `(position, unit)`.
        seed: of the random numbers.

    Returns:
        `(position, unit)`.
    """
    drawn = np.random.default_rng(seed).standard_normal(updates.shape)
    sizes = np.linalg.norm(updates, axis=1) / np.linalg.norm(drawn, axis=1)
    turned: Floats = drawn * sizes[:, np.newaxis]
    return turned


@null(
    "random_updates",
    keeps="the residual connection; size and mean diagonal of each layer's Jacobian update",
    destroys="the structure of the updates: the rest is a matrix of independent normal numbers",
    of="jacobians",
)
def random_updates(jacobians: Floats, *, seed: int = 0) -> Floats:
    """Step Jacobians I + c I + G in place of I + U, with the trace and the norm of U.

    The mean diagonal c is by how much a layer shrinks or stretches every deviation alike; G is
    Gaussian without a trace.

    Args:
        jacobians: the Jacobians of steps, `(step, unit, unit)`.
        seed: of the random numbers.

    Returns:
        `(step, unit, unit)`.

    >>> drawn = random_updates(np.array([[[2.0, 5.0], [0.0, 2.0]]]))[0]
    >>> float(np.trace(drawn).round(6)), float(np.linalg.norm(drawn - 2 * np.eye(2)).round(6))
    (4.0, 5.0)
    """
    n_units = jacobians.shape[-1]
    alike = _alike(jacobians)
    drawn = np.random.default_rng(seed).standard_normal(jacobians.shape)
    drawn -= _alike(drawn)
    sizes = np.linalg.norm(jacobians - alike, axis=(1, 2)) / np.linalg.norm(drawn, axis=(1, 2))
    matched: Floats = alike + drawn * sizes[:, np.newaxis, np.newaxis]
    return matched if n_units > 1 else jacobians.copy()


def _alike(matrices: Floats) -> Floats:
    """The identity times each matrix's mean diagonal."""
    n_units = matrices.shape[-1]
    means = np.einsum("suu->s", matrices) / n_units
    scaled: Floats = means[:, np.newaxis, np.newaxis] * np.eye(n_units)
    return scaled

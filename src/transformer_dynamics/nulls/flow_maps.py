"""Nulls of the flow map: the clean trajectory kept, deviations from it carried otherwise.

What holds of such a flow as well does not show that a model corrects or shapes deviations: its
sites, its norms and the size of its steps are the model's own.

Nulls of step Jacobians I + U, where U has the mean diagonal c, and of single layers' updates u:

    random updates      I + c I + G            G Gaussian of the size of U - c I, without a trace
    spectrum matched    I + c I + Q1 s Q2^T    s the singular values of U - c I, Q1 and Q2 Haar
    turned              |u| g / |g|            displaces by 1.41 |u| on average
    moved               u + |u| g / |g|        displaces by |u|, as leaving the layer out does

Cost of the spectrum-matched updates: singular values and two QR decompositions a step, about 6 D^3.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.registry import null
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap


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
    "moved",
    keeps="size of the change that leaving a layer out makes, at every position",
    destroys="its direction: the update stays, and a random displacement of its norm is added",
    of="updates",
)
def moved_displacement(updates: Floats, *, seed: int = 0) -> Floats:
    """Updates with a random displacement of their own norm added.

    Leaving a layer out displaces the stream by minus its update. Here the stream is displaced as
    far in a random direction: a control for the size of the change.

    Args:
        updates: increments of one layer, `(position, unit)`.
        seed: of the random numbers.

    Returns:
        `(position, unit)`.

    >>> moved = moved_displacement(np.array([[3.0, 4.0], [0.0, 0.0]]), seed=1)
    >>> np.linalg.norm(moved - [[3, 4], [0, 0]], axis=1).round(9).tolist()
    [5.0, 0.0]
    """
    return updates + turned_updates(updates, seed=seed)


@null(
    "spectrum_matched_updates",
    keeps=(
        "the residual connection; mean diagonal of each layer's Jacobian update, and singular "
        "values of the rest of it"
    ),
    destroys="singular vectors of the updates, so the alignment between layers",
    of="jacobians",
)
def spectrum_matched_updates(jacobians: Floats, *, seed: int = 0) -> Floats:
    """Step Jacobians I + c I + Q1 diag(s) Q2^T in place of I + U.

    As in `random_updates`, c is the mean diagonal of U: by how much the layer shrinks or stretches
    every deviation alike. It has no direction, so random bases leave it. The singular values s are
    those of U - c I; Q1 and Q2 are independent between layers. (Random bases for all of U would
    turn the uniform shrinking into chance rotation, and products of such steps keep more rank.)

    Args:
        jacobians: the Jacobians of steps, `(step, unit, unit)`.
        seed: of the random numbers.

    Returns:
        `(step, unit, unit)`.

    >>> drawn = spectrum_matched_updates(np.array([[[2.0, 5.0], [0.0, 2.0]]]), seed=1)[0]
    >>> np.linalg.svd(drawn - 2 * np.eye(2), compute_uv=False).round(9).tolist()
    [5.0, 0.0]
    """
    rng = np.random.default_rng(seed)
    n_units = jacobians.shape[-1]
    alike = _alike(jacobians)
    matched = np.empty(jacobians.shape)
    for step, rest in enumerate(jacobians - alike):
        left, right = _haar(n_units, rng), _haar(n_units, rng)
        matched[step] = alike[step] + (left * scipy.linalg.svdvals(rest)) @ right.T
    return matched


def _haar(n_units: int, rng: np.random.Generator) -> Floats:
    """A random orthogonal matrix, `(unit, unit)`, uniform over all of them.

    A QR decomposition alone is not uniform: its signs follow a convention, so those of R's
    diagonal are given to Q (Mezzadri, arXiv math-ph/0609050).
    """
    basis, triangle = scipy.linalg.qr(rng.standard_normal((n_units, n_units)))
    return np.asarray(basis * np.where(np.diag(triangle) < 0, -1.0, 1.0), dtype=np.float64)


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

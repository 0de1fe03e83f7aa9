"""Nulls of the flow map: the same unperturbed trajectory, other propagation of deviations from it.

A property that such a flow shares does not show that a model corrects or shapes deviations: its
sites, its norms and the size of its steps are the model's own. Nulls of step Jacobians I + U,
where U has the mean diagonal c:

    zero update         I
    random updates      I + c I + G            G Gaussian of the norm of U - c I, without a trace
    spectrum matched    I + c I + Q1 s Q2^T    s the singular values of U - c I, Q1 and Q2 Haar

Source: ours. Cost of the spectrum-matched updates: singular values and two QR decompositions per
step, about 6 D^3.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from scipy.stats import ortho_group

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.registry import null


@null(
    "zero_update",
    keeps="the unperturbed trajectory with its growing norm",
    destroys="every response to a deviation: each layer adds its update of the unperturbed state",
    of="flow",
)
def zero_update(flow: FlowMap) -> FlowMap:
    """Flow whose updates do not depend on the state, so that a deviation never changes.

    Its recovery ratio is 1 at every depth; the deviation over the stream's norm falls as the norm
    grows.
    """
    return _ZeroUpdate(flow)


class _ZeroUpdate(FlowMap):
    """Flow that moves every state as far as the unperturbed one; final states are read by it."""

    def __init__(self, flow: FlowMap) -> None:
        self.sites, self.clean, self.name = flow.sites, flow.clean, f"{flow.name}, zero update"
        self._head = flow

    def _advance(self, states: Floats, start: str, stop: str, keep: tuple[str, ...]) -> Floats:
        kept = self.clean[[self.sites.index(label) for label in keep]]
        moved: Floats = states[:, np.newaxis] + (kept - self.clean[self.sites.index(start)])
        return moved

    def _log_probabilities(self, states: Floats, start: str) -> Floats:
        final = self._advance(states, start, self.sites[-1], self.sites[-1:])[:, 0]
        return self._head.log_probabilities(final, self.sites[-1])

    def _vjp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        return vectors.copy()

    def _jvp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        return vectors.copy()


@null(
    "spectrum_matched_updates",
    keeps=(
        "the residual connection; mean diagonal of each layer's Jacobian update, and singular "
        "values of the remainder"
    ),
    destroys="singular vectors of the remainders, so the alignment between layers",
    of="jacobians",
)
def spectrum_matched_updates(jacobians: Floats, *, seed: int = 0) -> Floats:
    """Step Jacobians I + c I + Q1 diag(s) Q2^T in place of I + U.

    The null keeps the mean diagonal c of every update U and the singular values s of the remainder
    U - c I; it draws the remainder's bases Q1 and Q2 anew, independently for each step.

    The part c I is kept because it is the uniform shrinkage (or stretching) of all deviations by
    the layer and has no direction. If the whole update U were given random bases, a layer's uniform
    shrinkage would become a random rotation of the same size, and products of such steps would keep
    a higher rank than the model's.

    Args:
        jacobians: Jacobians of steps, `(step, unit, unit)`.
        seed: seed of the random numbers.

    Returns:
        `(step, unit, unit)`.

    >>> drawn = spectrum_matched_updates(np.array([[[2.0, 5.0], [0.0, 2.0]]]), seed=1)[0]
    >>> np.linalg.svd(drawn - 2 * np.eye(2), compute_uv=False).round(9).tolist()
    [5.0, 0.0]
    """
    rng = np.random.default_rng(seed)
    n_units = jacobians.shape[-1]
    uniform = _uniform_part(jacobians)
    matched = np.empty(jacobians.shape)
    for step, remainder in enumerate(jacobians - uniform):
        left, right = (ortho_group.rvs(n_units, random_state=rng) for _ in range(2))
        matched[step] = uniform[step] + (left * scipy.linalg.svdvals(remainder)) @ right.T
    return matched


@null(
    "random_updates",
    keeps="the residual connection; size and mean diagonal of each layer's Jacobian update",
    destroys="the structure of the updates: the remainder has independent normal entries",
    of="jacobians",
)
def random_updates(jacobians: Floats, *, seed: int = 0) -> Floats:
    """Step Jacobians I + c I + G in place of I + U, with the trace and the norm of U.

    The mean diagonal c is the uniform shrinkage or stretching of all deviations by a layer; G is
    Gaussian without a trace.

    Args:
        jacobians: Jacobians of steps, `(step, unit, unit)`.
        seed: seed of the random numbers.

    Returns:
        `(step, unit, unit)`.

    >>> drawn = random_updates(np.array([[[2.0, 5.0], [0.0, 2.0]]]))[0]
    >>> float(np.trace(drawn).round(6)), float(np.linalg.norm(drawn - 2 * np.eye(2)).round(6))
    (4.0, 5.0)
    """
    n_units = jacobians.shape[-1]
    uniform = _uniform_part(jacobians)
    drawn = np.random.default_rng(seed).standard_normal(jacobians.shape)
    drawn -= _uniform_part(drawn)
    sizes = np.linalg.norm(jacobians - uniform, axis=(1, 2)) / np.linalg.norm(drawn, axis=(1, 2))
    matched: Floats = uniform + drawn * sizes[:, np.newaxis, np.newaxis]
    return matched if n_units > 1 else jacobians.copy()


def _uniform_part(matrices: Floats) -> Floats:
    """Identity times the mean diagonal of each matrix, `(step, unit, unit)`."""
    n_units = matrices.shape[-1]
    means = np.einsum("suu->s", matrices) / n_units
    scaled: Floats = means[:, np.newaxis, np.newaxis] * np.eye(n_units)
    return scaled

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

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.parallel import map_in_threads
from transformer_dynamics.registry import null

# Steps whose bases are drawn before the cores factorize them.
STEPS_AT_ONCE = 8


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
    matched = np.empty(jacobians.shape)
    for first in range(0, len(jacobians), STEPS_AT_ONCE):
        steps = jacobians[first : first + STEPS_AT_ONCE]
        drawn = [rng.normal(size=(2, *each.shape)) for each in steps]
        tasks = zip(steps, drawn, strict=True)
        matched[first : first + len(steps)] = map_in_threads(_with_new_bases, tasks)
    return matched


def _with_new_bases(task: tuple[Floats, Floats]) -> Floats:
    """A step whose remainder has new bases, from its Jacobian and two normal matrices."""
    jacobian, drawn = task
    remainder, uniform = _parts(jacobian)
    left, right = (_orthogonal(each) for each in drawn)
    matched: Floats = (left * np.linalg.svd(remainder, compute_uv=False)) @ right.T
    matched[np.diag_indices(len(matched))] += uniform
    return matched


def _orthogonal(drawn: Floats) -> Floats:
    """Haar-distributed orthogonal matrix from a normal one, as `scipy.stats.ortho_group` makes it.

    That function draws and factorizes in one call, so that only one core would work.
    """
    basis, triangle = np.linalg.qr(drawn)
    signs: Floats = basis * np.sign(triangle.diagonal())
    return signs


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
    if jacobians.shape[-1] == 1:
        return jacobians.copy()
    rng = np.random.default_rng(seed)
    matched = np.empty(jacobians.shape)
    for step, jacobian in enumerate(jacobians):
        remainder, uniform = _parts(jacobian)
        drawn, _ = _parts(rng.standard_normal(jacobian.shape))
        matched[step] = drawn * (np.linalg.norm(remainder) / np.linalg.norm(drawn))
        matched[step][np.diag_indices(len(drawn))] += uniform
    return matched


def _parts(matrix: Floats) -> tuple[Floats, float]:
    """A matrix without its mean diagonal, and the mean diagonal."""
    uniform = float(matrix.trace()) / len(matrix)
    return matrix - uniform * np.eye(len(matrix)), uniform

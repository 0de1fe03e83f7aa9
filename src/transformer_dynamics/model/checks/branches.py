"""Branches of a layer: outputs of modules that lead from one state to another.

A branch is fitted by least squares with one constant per module, and judged by its error relative
to the norm of the result, recomputed in the model's own precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transformer_dynamics.model.probe import Event

# Largest unexplained share of an update that is itself within the tolerance.
UNEXPLAINED = 0.1
# Two outputs count as collinear, with undetermined constants, below this share of their norms.
COLLINEAR = 1e-10


@dataclass(frozen=True)
class Branch:
    """Update added to the stream: the output of one module, or the sum of two.

    Attributes:
        names: modules within the layer whose outputs are added.
        scales: constant that multiplies each output.
        error: |total - (start + sum of scale x output)| / |total|.
    """

    names: tuple[str, ...]
    scales: tuple[float, ...]
    error: float

    @property
    def name(self) -> str:
        """Names of the modules, joined by +."""
        return " + ".join(self.names)

    @property
    def formula(self) -> str:
        """Sum for tables, with every constant that is not 1."""
        return " + ".join(
            name if scale == 1 else f"{scale:.3g} x {name}"
            for name, scale in zip(self.names, self.scales, strict=True)
        )


def find_branch_or_sum(
    total: Tensor, start: Tensor, events: Sequence[Event], tolerance: float
) -> Branch | None:
    """Return one output that leads from `start` to `total`, or a sum of two, or the nearest."""
    branch = find_branch(total, start, events, tolerance)
    if branch is not None and branch.error <= tolerance:
        return branch
    pair = find_sum(total, start, events, tolerance)
    candidates = [each for each in (branch, pair) if each is not None]
    return min(candidates, key=lambda each: each.error, default=None)


def find_branch(
    total: Tensor, start: Tensor, events: Sequence[Event], tolerance: float
) -> Branch | None:
    """Return the output of the outermost module from `start` to `total`, or the nearest one."""
    update = total.double() - start.double()
    branches = []
    for event in events:
        if event.port == "output":
            scale = _constant(update, event.states)
            error = _error(total, start, event.states * scale)
            branches.append(Branch((event.name,), (scale,), error))
    return _outermost(branches, tolerance)


def find_sum(
    total: Tensor, start: Tensor, events: Sequence[Event], tolerance: float
) -> Branch | None:
    """Return the sum of two outputs that leads from `start` to `total`, as in `find_branch`."""
    update = total.double() - start.double()
    outputs = [
        event
        for event in events
        if event.port == "output"
        and not torch.equal(event.states, start)
        and not torch.equal(event.states, total)
    ]
    branches = []
    for one, other, scales in _pairs(update, outputs):
        names = (one.name, other.name)
        together = one.states + other.states
        # One constant for both, as the model multiplies their sum, before one for each.
        common = _constant(update, together)
        error = _error(total, start, together * common)
        if error <= tolerance:
            branches.append(Branch(names, (common, common), error))
            continue
        each = one.states * scales[0] + other.states * scales[1]
        branches.append(Branch(names, scales, _error(total, start, each)))
    return _outermost(branches, tolerance)


def _pairs(
    update: Tensor, outputs: Sequence[Event]
) -> Iterator[tuple[Event, Event, tuple[float, float]]]:
    """Yield pairs of outputs close to an update by least squares, with their positive constants.

    The residual is computed from inner products, whose cancellation leaves about eight digits.
    """
    if len(outputs) < 2:
        return
    stacked = torch.stack([event.states.double().flatten() for event in outputs])  # (output, value)
    gram = (stacked @ stacked.T).cpu()
    along = (stacked @ update.flatten()).cpu()
    size = float(update.square().sum())
    squared = gram.diagonal()
    determinant = squared[:, None] * squared - gram.square()
    undetermined = determinant <= COLLINEAR * squared[:, None] * squared
    # Constants of the first module; its transpose holds the constants of the second.
    constants = (along[:, None] * squared - along * gram) / determinant
    residual = size - constants * along[:, None] - constants.T * along
    near = (residual <= UNEXPLAINED**2 * size) & ~undetermined & (constants > 0) & (constants.T > 0)
    for i, j in near.triu(1).nonzero().tolist():
        one, other = outputs[i], outputs[j]
        if not _nested(one.name, other.name):
            scales = (_snapped(float(constants[i, j])), _snapped(float(constants[j, i])))
            yield one, other, scales


def _nested(one: str, other: str) -> bool:
    return one == other or other.startswith(f"{one}.") or one.startswith(f"{other}.")


def _constant(update: Tensor, states: Tensor) -> float:
    """Return the least-squares constant between an output and an update."""
    output = states.double()
    return _snapped(float((update * output).sum() / output.square().sum().clamp_min(1e-300)))


def _snapped(scale: float) -> float:
    return 1.0 if abs(scale - 1) < 1e-2 else scale


def _error(total: Tensor, start: Tensor, added: Tensor) -> float:
    """|total - (start + added)| / |total|, infinite if most of the update is unexplained.

    The sum keeps the model's own precision, so that a true branch is exact.
    """
    size, norm = float((total.double() - start.double()).norm()), float(total.double().norm())
    residual = float((total - (start + added)).double().norm())
    return residual / norm if residual <= max(UNEXPLAINED * size, 1e-12 * norm) else float("inf")


def _outermost(branches: Sequence[Branch], tolerance: float) -> Branch | None:
    """Return the branch of the outermost modules within the tolerance, or the nearest one."""
    fitting = [branch for branch in branches if branch.error <= tolerance]
    if fitting:
        return min(fitting, key=lambda branch: branch.name.count("."))
    return min(branches, key=lambda branch: branch.error, default=None)

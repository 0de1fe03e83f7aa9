"""Prove which identity of the residual stream a layer satisfies.

For a layer with input `x` and output `y`, the traced states must satisfy one of these identities.
`a` and `b` are branches; a branch is `c` times the output of one module, `c` a constant that is 1
except in families with a residual multiplier:

- sequential: a module receives `m = x + a`, the module of `a` having run before, and `y = m + b`,
  the module of `b` running after. `m` is the stream between attention and MLP: the pre_mlp site.
- single: `y = x + a`. One branch, as in state-space models: the input is a pre_block site.
- parallel: `y = x + a + b`. Attention and MLP are added at once: there is no stream between them,
  and only pre_attn is a site.
- post-norm: a module receives `x + a` and returns `m`, and another receives `m + b` and returns
  `y`. The stream itself is normalized, twice a layer, so that a step is more than a branch; `m` is
  the pre_mlp site.

In a sequential layer each branch may also be the sum of two modules' outputs, each with a positive
constant: attention and a state-space mixer (Falcon-H1), routed and shared experts (GraniteMoe), or
two modules added one after the other, as the MLP and the per-layer input of Gemma 4: the step from
pre_mlp to the next layer is then both. (Gemma 4 is proved where its `layer_scalar` is 1; any other
value multiplies the stream itself, and the model is refused.) A module is never summed with one
that it contains, and one that returns the stream itself is never part of a sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.probe import Event, LayerTrace

# Of an update that is itself within the tolerance, a branch must explain all but this share.
UNEXPLAINED = 0.1
# Two outputs are collinear, and their constants undetermined, below this share of their norms.
COLLINEAR = 1e-10


@dataclass(frozen=True)
class Branch:
    """The update that is added to the stream: one module's output, or the sum of two.

    Attributes:
        names: the modules whose outputs are added, within the layer.
        scales: the constant that multiplies each of them.
        error: |total - (start + sum of scale x output)| / |total|.
    """

    names: tuple[str, ...]
    scales: tuple[float, ...]
    error: float

    @property
    def name(self) -> str:
        """The modules' names, joined by +."""
        return " + ".join(self.names)

    @property
    def formula(self) -> str:
        """The sum as tables show it, with every constant that is not 1."""
        return " + ".join(
            name if scale == 1 else f"{scale:.3g} x {name}"
            for name, scale in zip(self.names, self.scales, strict=True)
        )


@dataclass(frozen=True)
class LayerProof:
    """The identity that a layer satisfies.

    Attributes:
        layer: its index.
        kind: sequential, single, parallel or post-norm.
        branches: what it adds to the stream, in order.
        between: in a post-norm layer the module that puts out the stream between the branches.
    """

    layer: int
    kind: str
    branches: tuple[Branch, ...]
    between: str = ""

    @property
    def error(self) -> float:
        """The largest error of its branches."""
        return max(branch.error for branch in self.branches)


def prove(
    index: int, trace: LayerTrace, paths: Sequence[str], tolerance: float
) -> tuple[LayerProof, str | None]:
    """Prove one layer.

    Args:
        index: the layer's index.
        trace: its states.
        paths: the paths of all layers, for the advice of the error.
        tolerance: largest error of a branch.

    Returns:
        The proof, and the module within the layer that receives the stream between the branches,
        which is the pre_mlp site; None where there is no such stream.

    Raises:
        ModelError: no identity holds.
    """
    seen: list[Branch] = []
    proved = _prove_sequential(index, trace, tolerance, seen)
    if proved is not None:
        return proved
    for kind, find in (("single", _branch), ("parallel", _sum)):
        branch = find(trace.output, trace.input, trace.events, tolerance)
        if branch is not None:
            seen.append(branch)
            if branch.error <= tolerance:
                return LayerProof(index, kind, (branch,)), None
    # Sums come last, so that no layer whose branches are single modules is read as sums.
    proved = _prove_sums(index, trace, tolerance, seen) or _prove_post_norm(index, trace, tolerance)
    if proved is None:
        raise ModelError(_refusal(trace, paths, seen, tolerance))
    return proved


def _prove_sequential(
    index: int, trace: LayerTrace, tolerance: float, seen: list[Branch]
) -> tuple[LayerProof, str] | None:
    """The proof of a layer with two branches, each of them one module's output."""
    for place, event in enumerate(trace.events):
        first = _sum_into(event, trace.input, trace.events[:place], tolerance)
        if first is None:
            continue
        second = _branch(trace.output, event.states, trace.events[place:], tolerance)
        if second is not None:
            seen.append(second)
            if second.error <= tolerance:
                return LayerProof(index, "sequential", (first, second)), event.name
    return None


def _prove_sums(
    index: int, trace: LayerTrace, tolerance: float, seen: list[Branch]
) -> tuple[LayerProof, str] | None:
    """The proof of a layer with two branches, of which one or both are sums of two outputs."""
    for place, event in _distinct_inputs(trace):
        first = _branch_or_sum(event.states, trace.input, trace.events[:place], tolerance)
        if first is None or first.error > tolerance:
            continue
        second = _branch_or_sum(trace.output, event.states, trace.events[place:], tolerance)
        if second is not None:
            seen.append(second)
            if second.error <= tolerance:
                return LayerProof(index, "sequential", (first, second)), event.name
    return None


def _distinct_inputs(trace: LayerTrace) -> Iterator[tuple[int, Event]]:
    """The first event at which each state other than the layer's own input enters a module."""
    known = [trace.input]
    for place, event in enumerate(trace.events):
        if event.port == "input" and not any(torch.equal(event.states, each) for each in known):
            known.append(event.states)
            yield place, event


def _prove_post_norm(
    index: int, trace: LayerTrace, tolerance: float
) -> tuple[LayerProof, str] | None:
    """The proof of a layer whose two sums are normalized, and the module that then receives `m`."""
    events = trace.events
    for place, entry in enumerate(events):
        first = _sum_into(entry, trace.input, events[:place], tolerance)
        if first is None:
            continue
        left = _leaving(entry, events, place)
        if left is None:
            continue
        middle = events[left].states
        for other in range(left + 1, len(events)):
            second = _sum_into(events[other], middle, events[left:other], tolerance)
            end = None if second is None else _leaving(events[other], events, other)
            if second is None or end is None or not torch.equal(events[end].states, trace.output):
                continue
            for event in events[left + 1 : other]:
                if event.port == "input" and torch.equal(event.states, middle):
                    proof = LayerProof(index, "post-norm", (first, second), events[left].name)
                    return proof, event.name
    return None


def _sum_into(
    entry: Event, start: Tensor, before: Sequence[Event], tolerance: float
) -> Branch | None:
    """The branch with which `start` makes what enters a module, if there is one."""
    if entry.port != "input" or torch.equal(entry.states, start):
        return None
    branch = _branch(entry.states, start, before, tolerance)
    return branch if branch is not None and branch.error <= tolerance else None


def _leaving(entry: Event, events: Sequence[Event], place: int) -> int | None:
    """Index of the event in which the module of `entry` returns its result."""
    return next(
        (
            later
            for later in range(place + 1, len(events))
            if events[later].name == entry.name and events[later].port == "output"
        ),
        None,
    )


def _branch_or_sum(
    total: Tensor, start: Tensor, events: Sequence[Event], tolerance: float
) -> Branch | None:
    """One output that leads from `start` to `total`, otherwise a sum of two, or the nearest."""
    branch = _branch(total, start, events, tolerance)
    if branch is not None and branch.error <= tolerance:
        return branch
    found = [each for each in (branch, _sum(total, start, events, tolerance)) if each is not None]
    return min(found, key=lambda each: each.error, default=None)


def _branch(
    total: Tensor, start: Tensor, events: Sequence[Event], tolerance: float
) -> Branch | None:
    """The output that leads from `start` to `total`: the outermost that does, or the nearest."""
    update = total.double() - start.double()
    branches = []
    for event in events:
        if event.port == "output":
            scale = _constant(update, event.states)
            error = _error(total, start, event.states * scale)
            branches.append(Branch((event.name,), (scale,), error))
    return _outermost(branches, tolerance)


def _sum(total: Tensor, start: Tensor, events: Sequence[Event], tolerance: float) -> Branch | None:
    """The sum of two outputs that leads from `start` to `total`, as `_branch` chooses it."""
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
    """Pairs of outputs that come near an update by least squares, with their positive constants.

    Near is judged by inner products, whose cancellation leaves about eight digits.
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
    # Constant of the first of the two; that of the second is the transposed.
    constants = (along[:, None] * squared - along * gram) / determinant
    left = size - constants * along[:, None] - constants.T * along
    near = (left <= UNEXPLAINED**2 * size) & ~undetermined & (constants > 0) & (constants.T > 0)
    for i, j in near.triu(1).nonzero().tolist():
        one, other = outputs[i], outputs[j]
        if not _nested(one.name, other.name):
            scales = (_snapped(float(constants[i, j])), _snapped(float(constants[j, i])))
            yield one, other, scales


def _nested(one: str, other: str) -> bool:
    return one == other or other.startswith(f"{one}.") or one.startswith(f"{other}.")


def _constant(update: Tensor, states: Tensor) -> float:
    """The constant by which an output comes nearest to an update."""
    output = states.double()
    return _snapped(float((update * output).sum() / output.square().sum().clamp_min(1e-300)))


def _snapped(scale: float) -> float:
    return 1.0 if abs(scale - 1) < 1e-2 else scale


def _error(total: Tensor, start: Tensor, added: Tensor) -> float:
    """|total - (start + added)| / |total|, infinite where most of the update is unexplained.

    The model's own precision is kept in the sum, so that a true branch is exact.
    """
    size, norm = float((total.double() - start.double()).norm()), float(total.double().norm())
    left = float((total - (start + added)).double().norm())
    return left / norm if left <= max(UNEXPLAINED * size, 1e-12 * norm) else float("inf")


def _outermost(branches: Sequence[Branch], tolerance: float) -> Branch | None:
    """Of the branches within the tolerance the one of the outermost modules, or the nearest."""
    fitting = [branch for branch in branches if branch.error <= tolerance]
    if fitting:
        return min(fitting, key=lambda branch: branch.name.count("."))
    return min(branches, key=lambda branch: branch.error, default=None)


def _refusal(trace: LayerTrace, paths: Sequence[str], seen: list[Branch], tolerance: float) -> str:
    names = ", ".join(dict.fromkeys(event.name.split(".")[0] for event in trace.events))
    best = min(seen, key=lambda branch: branch.error, default=None)
    nearest = ""
    if best is not None and math.isfinite(best.error):
        nearest = f"; nearest: {best.name}, off by {best.error:.1e} of the norm"
    return (
        f"the residual identity fails in {trace.path}: what the modules in it ({names}) put out "
        f"does not add up to its update, in sequence, alone or in parallel{nearest} (allowed "
        f"{tolerance:.0e}). A layer that scales or mixes the stream itself satisfies no identity. "
        "Where you know its stream, name the sites by hand: td.load_model(model, "
        f"sites={{'0.pre_attn': '{paths[0]}:input', ..., 'final': '{paths[-1]}:output'}})"
    )

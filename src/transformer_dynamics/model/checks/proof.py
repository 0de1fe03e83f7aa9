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
from transformer_dynamics.model.checks.branches import (
    Branch,
    find_branch,
    find_branch_or_sum,
    find_sum,
)
from transformer_dynamics.model.probe import Event, LayerTrace


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
    for kind, find in (("single", find_branch), ("parallel", find_sum)):
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
        second = find_branch(trace.output, event.states, trace.events[place:], tolerance)
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
        first = find_branch_or_sum(event.states, trace.input, trace.events[:place], tolerance)
        if first is None or first.error > tolerance:
            continue
        second = find_branch_or_sum(trace.output, event.states, trace.events[place:], tolerance)
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
    branch = find_branch(entry.states, start, before, tolerance)
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

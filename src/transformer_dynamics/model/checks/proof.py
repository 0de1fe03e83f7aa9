"""Prove which identity of the residual stream a layer satisfies.

For a layer with input `x` and output `y`, the states of a probe pass must satisfy one of the four
identities listed in `LayerProof`. Their terms `a` and `b` are branches: a branch is `c` times the
output of one module, or in a sequential layer also the sum of two, and `c` is a constant that is 1
except in families with a residual multiplier. Identities of single modules are tried before sums.

Limits: a layer that scales or mixes the stream itself satisfies no identity and is refused (Gemma 4
unless its `layer_scalar` is 1).
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
    """Identity that a layer with input `x` and output `y` satisfies.

    - sequential: a module receives `m = x + a`, after the module of `a` has run, and `y = m + b`,
      with the module of `b` running later. `m` is the stream between attention and MLP, the
      pre_mlp site.
    - single: `y = x + a`, as in state-space models. The input is a pre_block site.
    - parallel: `y = x + a + b`. Attention and MLP are added at once, so there is no stream between
      them, and only pre_attn is a site.
    - post-norm: a module receives `x + a` and returns `m`, and another one receives `m + b` and
      returns `y`. The stream is normalized twice per layer, so a step is more than a branch; `m`
      is the pre_mlp site.

    Attributes:
        layer: index of the layer.
        kind: sequential, single, parallel or post-norm.
        branches: updates that the layer adds to the stream, in order.
        between: in a post-norm layer, the module that returns the stream between the branches.
    """

    layer: int
    kind: str
    branches: tuple[Branch, ...]
    between: str = ""

    @property
    def error(self) -> float:
        """Largest error of the branches."""
        return max(branch.error for branch in self.branches)


def prove(
    index: int, trace: LayerTrace, paths: Sequence[str], tolerance: float
) -> tuple[LayerProof, str | None]:
    """Prove the identity of one layer.

    Args:
        index: index of the layer.
        trace: states of the layer in the probe pass.
        paths: paths of all layers, for the error.
        tolerance: largest allowed error of a branch.

    Returns:
        The proof, and the module within the layer that receives the stream between the branches,
        which is the pre_mlp site; None if there is no such stream.

    Raises:
        ModelError: no identity holds.
    """
    candidates: list[Branch] = []
    proved = _prove_sequential(index, trace, tolerance, candidates)
    if proved is not None:
        return proved
    for kind, find in (("single", find_branch), ("parallel", find_sum)):
        branch = find(trace.output, trace.input, trace.events, tolerance)
        if branch is not None:
            candidates.append(branch)
            if branch.error <= tolerance:
                return LayerProof(index, kind, (branch,)), None
    # Sums come last, so that branches that are single modules are never read as sums.
    proved = _prove_sums(index, trace, tolerance, candidates) or _prove_post_norm(
        index, trace, tolerance
    )
    if proved is None:
        raise ModelError(_refusal(trace, paths, candidates, tolerance))
    return proved


def _prove_sequential(
    index: int, trace: LayerTrace, tolerance: float, candidates: list[Branch]
) -> tuple[LayerProof, str] | None:
    """Prove a layer with two branches, each the output of one module."""
    for position, event in enumerate(trace.events):
        first = _sum_into(event, trace.input, trace.events[:position], tolerance)
        if first is None:
            continue
        second = find_branch(trace.output, event.states, trace.events[position:], tolerance)
        if second is not None:
            candidates.append(second)
            if second.error <= tolerance:
                return LayerProof(index, "sequential", (first, second)), event.name
    return None


def _prove_sums(
    index: int, trace: LayerTrace, tolerance: float, candidates: list[Branch]
) -> tuple[LayerProof, str] | None:
    """Prove a layer with two branches, of which one or both are sums of two modules' outputs.

    Each output has a positive constant. Examples are attention and a state-space mixer (Falcon-H1),
    routed and shared experts (GraniteMoe), and two modules added one after the other, such as the
    MLP and the per-layer input of Gemma 4; the step from pre_mlp to the next layer then contains
    both. A module is never summed with one that it contains, and a module that returns the stream
    itself is never part of a sum.
    """
    for position, event in _distinct_inputs(trace):
        first = find_branch_or_sum(event.states, trace.input, trace.events[:position], tolerance)
        if first is None or first.error > tolerance:
            continue
        second = find_branch_or_sum(trace.output, event.states, trace.events[position:], tolerance)
        if second is not None:
            candidates.append(second)
            if second.error <= tolerance:
                return LayerProof(index, "sequential", (first, second)), event.name
    return None


def _distinct_inputs(trace: LayerTrace) -> Iterator[tuple[int, Event]]:
    """Yield the first event at which each state other than the layer's input enters a module."""
    known = [trace.input]
    for position, event in enumerate(trace.events):
        if event.port == "input" and not any(torch.equal(event.states, each) for each in known):
            known.append(event.states)
            yield position, event


def _prove_post_norm(
    index: int, trace: LayerTrace, tolerance: float
) -> tuple[LayerProof, str] | None:
    """Prove a layer whose two sums are normalized; return it with the module that receives `m`."""
    events = trace.events
    for position, entry in enumerate(events):
        first = _sum_into(entry, trace.input, events[:position], tolerance)
        if first is None:
            continue
        first_exit = _leaving(entry, events, position)
        if first_exit is None:
            continue
        middle = events[first_exit].states
        for other in range(first_exit + 1, len(events)):
            second = _sum_into(events[other], middle, events[first_exit:other], tolerance)
            end = None if second is None else _leaving(events[other], events, other)
            if second is None or end is None or not torch.equal(events[end].states, trace.output):
                continue
            for event in events[first_exit + 1 : other]:
                if event.port == "input" and torch.equal(event.states, middle):
                    proof = LayerProof(index, "post-norm", (first, second), events[first_exit].name)
                    return proof, event.name
    return None


def _sum_into(
    entry: Event, start: Tensor, before: Sequence[Event], tolerance: float
) -> Branch | None:
    """Return the branch from `start` to the input of a module, if there is one."""
    if entry.port != "input" or torch.equal(entry.states, start):
        return None
    branch = find_branch(entry.states, start, before, tolerance)
    return branch if branch is not None and branch.error <= tolerance else None


def _leaving(entry: Event, events: Sequence[Event], position: int) -> int | None:
    """Return the index of the event in which the module of `entry` returns its result."""
    return next(
        (
            later
            for later in range(position + 1, len(events))
            if events[later].name == entry.name and events[later].port == "output"
        ),
        None,
    )


def _refusal(
    trace: LayerTrace, paths: Sequence[str], candidates: list[Branch], tolerance: float
) -> str:
    names = ", ".join(dict.fromkeys(event.name.split(".")[0] for event in trace.events))
    best = min(candidates, key=lambda branch: branch.error, default=None)
    nearest = ""
    if best is not None and math.isfinite(best.error):
        nearest = f"; nearest: {best.name}, off by {best.error:.1e} of the norm"
    return (
        f"the residual identity fails in {trace.path}: the outputs of its modules ({names}) "
        f"do not add up to its update, in sequence, alone or in parallel{nearest} (allowed "
        f"{tolerance:.0e}). A layer that scales or mixes the stream itself satisfies no identity. "
        "If you know its stream, name the sites by hand: td.load_model(model, "
        f"sites={{'0.pre_attn': '{paths[0]}:input', ..., 'final': '{paths[-1]}:output'}})"
    )

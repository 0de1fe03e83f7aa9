"""Find the sites of the residual stream in a model, and prove them.

Nothing is looked up by name. For every layer with input `x` and output `y`, what a probe pass saw
of the modules inside it must satisfy one of these identities, `a` and `b` being outputs of modules
and `c` a constant (1 but for families with a residual multiplier):

- sequential: a module receives `m = x + c a`, `a` having been put out before, and `y = m + c b` for
  a `b` put out after. `m` is the stream between attention and MLP: the pre_mlp site.
- single: `y = x + c a`. One branch, as in state-space models: the input is a pre_block site.
- parallel: `y = x + c (a + b)`. Attention and MLP are added at once: there is no stream between
  them, and only pre_attn is a site.

Layers must pass the stream on unchanged (each one's input is the one before's output), and the
stream must be causal (a later token changes nothing at an earlier one), on which right padding
rests. A model that fails any of this is refused with what was seen.

Does not handle: layers that normalise the stream itself (post-norm), encoders.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transformer_dynamics.errors import ModelError
from transformer_dynamics.residual.hooks import Site
from transformer_dynamics.residual.labels import FINAL
from transformer_dynamics.residual.probe import SHARED_TOKENS, Event, LayerTrace, probe

# A sum recomputed from its parts in the model's own precision is exact or off by one rounding.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 4e-3, torch.float16: 5e-4}
# Of an update that is itself within the tolerance, a branch must explain all but this share.
UNEXPLAINED = 0.1


@dataclass(frozen=True)
class Branch:
    """What is added to the stream.

    Attributes:
        name: the module whose output it is, within the layer; two joined by + in a parallel layer.
        scale: what its output is multiplied with.
        error: |total - (start + scale output)| / |total|.
    """

    name: str
    scale: float
    error: float


@dataclass(frozen=True)
class LayerProof:
    """The identity that a layer satisfies.

    Attributes:
        layer: its index.
        kind: sequential, single or parallel.
        branches: what it adds to the stream, in order.
    """

    layer: int
    kind: str
    branches: tuple[Branch, ...]

    @property
    def error(self) -> float:
        """The largest error of its branches."""
        return max(branch.error for branch in self.branches)


@dataclass(frozen=True)
class Sites:
    """The sites of a model in order of depth, with the proof for each layer.

    Attributes:
        sites: where the stream is read.
        proofs: one per layer.
        n_units: dimension of the stream.
        causality_error: largest change of an earlier token's state by later tokens, over its norm.
    """

    sites: tuple[Site, ...]
    proofs: tuple[LayerProof, ...]
    n_units: int
    causality_error: float

    @property
    def labels(self) -> tuple[str, ...]:
        """The sites' labels in order of depth."""
        return tuple(site.label for site in self.sites)


def find_sites(hf_model: Any) -> Sites:
    """Find and prove the sites of a model.

    Raises:
        ModelError: the residual identity does not hold somewhere, or the model is not causal.
    """
    traces = probe(hf_model)
    tolerance = TOLERANCE.get(traces[0].input.dtype, 1e-5)
    _check_chain(traces, tolerance)
    sites: list[Site] = []
    proofs: list[LayerProof] = []
    for index, trace in enumerate(traces):
        proof, pre_mlp = _prove(index, trace, tolerance)
        proofs.append(proof)
        entry = "pre_block" if proof.kind == "single" else "pre_attn"
        sites.append(Site(f"{index}.{entry}", trace.path, "input"))
        if pre_mlp is not None:
            sites.append(Site(f"{index}.pre_mlp", f"{trace.path}.{pre_mlp}", "input"))
    sites.append(Site(FINAL, traces[-1].path, "output"))
    return Sites(
        tuple(sites), tuple(proofs), traces[0].input.shape[-1], _causality(traces, tolerance)
    )


def _check_chain(traces: list[LayerTrace], tolerance: float) -> None:
    for before, after in itertools.pairwise(traces):
        error = _difference(before.output, after.input)
        if error > tolerance:
            raise ModelError(
                f"the stream changes between {before.path} and {after.path}: the input of the "
                f"second differs from the output of the first by {error:.1e} of its norm"
            )


def _prove(index: int, trace: LayerTrace, tolerance: float) -> tuple[LayerProof, str | None]:
    """The proof of one layer and the module before which the pre_mlp site lies, if there is one."""
    seen: list[Branch] = []
    for place, event in enumerate(trace.events):
        if event.port != "input" or torch.equal(event.states, trace.input):
            continue
        first = _branch(event.states, trace.input, trace.events[:place], tolerance)
        if first is None or first.error > tolerance:
            continue
        second = _branch(trace.output, event.states, trace.events[place:], tolerance)
        if second is not None:
            seen.append(second)
            if second.error <= tolerance:
                return LayerProof(index, "sequential", (first, second)), event.name
    single = _branch(trace.output, trace.input, trace.events, tolerance)
    if single is not None:
        seen.append(single)
        if single.error <= tolerance:
            return LayerProof(index, "single", (single,)), None
    pairs = _branch(trace.output, trace.input, _sums(trace.events), tolerance)
    if pairs is not None:
        seen.append(pairs)
        if pairs.error <= tolerance:
            return LayerProof(index, "parallel", (pairs,)), None
    raise ModelError(_refusal(trace, seen, tolerance))


def _refusal(trace: LayerTrace, seen: list[Branch], tolerance: float) -> str:
    names = ", ".join(dict.fromkeys(event.name.split(".")[0] for event in trace.events))
    best = min(seen, key=lambda branch: branch.error, default=None)
    nearest = "" if best is None else f"; nearest: {best.name}, off by {best.error:.1e} of the norm"
    return (
        f"the residual identity fails in {trace.path}: what the modules in it ({names}) put out "
        f"does not add up to its update, in sequence, alone or in parallel{nearest} (allowed "
        f"{tolerance:.0e}); this architecture is not supported"
    )


def _sums(events: Iterable[Event]) -> list[Event]:
    """Sums of two outputs of modules that do not contain each other, as a parallel layer adds."""
    outputs = [event for event in events if event.port == "output"]
    return [
        Event(f"{one.name} + {other.name}", "output", one.states + other.states)
        for one, other in itertools.combinations(outputs, 2)
        if not other.name.startswith(f"{one.name}.") and not one.name.startswith(f"{other.name}.")
    ]


def _branch(
    total: Tensor, start: Tensor, events: Iterable[Event], tolerance: float
) -> Branch | None:
    """The output that leads from `start` to `total`: the outermost that does, or the nearest."""
    update = total.double() - start.double()
    size, norm = float(update.norm()), float(total.double().norm())
    branches = []
    for event in events:
        if event.port != "output":
            continue
        output = event.states.double()
        scale = float((update * output).sum() / (output * output).sum().clamp_min(1e-300))
        if abs(scale - 1) < 1e-2:
            scale = 1.0
        # Added as the model adds, in its own precision, so that a true branch is exact.
        left = float((total - (start + event.states * scale)).double().norm())
        error = left / norm if left <= max(UNEXPLAINED * size, 1e-12 * norm) else float("inf")
        branches.append(Branch(event.name, scale, error))
    fitting = [branch for branch in branches if branch.error <= tolerance]
    if fitting:
        return min(fitting, key=lambda branch: branch.name.count("."))
    return min(branches, key=lambda branch: branch.error, default=None)


def _causality(traces: list[LayerTrace], tolerance: float) -> float:
    error = max(
        _difference(trace.output[0, :SHARED_TOKENS], trace.output[1, :SHARED_TOKENS])
        for trace in traces
    )
    if error > max(tolerance, 1e-4):
        raise ModelError(
            f"the model is not causal: later tokens change earlier states by {error:.1e} of their "
            "norm; only causal decoders can be recorded"
        )
    return error


def _difference(states: Tensor, reference: Tensor) -> float:
    """|states - reference| / |reference|."""
    exact = reference.double()
    error = (states.double() - exact).norm() / exact.norm()
    return float(error) if torch.isfinite(error) else float("inf")

"""Find the sites of the residual stream in a model, and prove them.

Nothing is looked up by name. A probe forward pass runs a few tokens; for every layer with input
`x` and output `y` the children's inputs and outputs are looked at in the order in which they run:

- sequential: the first child whose input `m` differs from `x` and equals `x + a`, `a` being the
  output of an earlier child, is where the stream enters the MLP; `a` is what attention added. The
  proof asks further that `y = m + b` for the output `b` of a later child (the MLP branch).
- parallel: no such child, and `y = x + a + b` for the outputs of two children. Such a layer has no
  stream between attention and MLP, and only `pre_attn` is a site.

Layers must pass the stream on unchanged (each one's input is the one before's output), and the
stream must be causal (a later token changes nothing at an earlier one), on which right padding
rests. A model that fails any of this is refused with what was seen.

Cost: one forward pass over 2 x 8 tokens. Does not handle: residual branches scaled before they are
added, encoders, blocks without attention.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from transformer_dynamics.errors import ModelError
from transformer_dynamics.residual.hooks import Site, evaluating, first_tensor, input_states
from transformer_dynamics.residual.labels import FINAL

PROBE_TOKENS = 8
SHARED_TOKENS = 5
# A sum recomputed from its parts in the model's own precision is exact or off by one rounding.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


@dataclass(frozen=True)
class LayerProof:
    """What the probe showed of one layer.

    Attributes:
        layer: its index.
        attention: child whose output attention adds to the stream.
        mlp: child whose output the MLP adds to the stream.
        attention_error: |m - (x + a)| / |m|; for a parallel layer the error of the whole layer.
        mlp_error: |y - (m + b)| / |y|; for a parallel layer the same as `attention_error`.
        parallel: whether attention and MLP are added at once.
    """

    layer: int
    attention: str
    mlp: str
    attention_error: float
    mlp_error: float
    parallel: bool


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


@dataclass(frozen=True)
class _Call:
    name: str
    input: Tensor | None
    output: Tensor | None


@dataclass(frozen=True)
class _LayerTrace:
    path: str
    input: Tensor
    output: Tensor
    children: tuple[_Call, ...]


def trunk_of(hf_model: nn.Module) -> nn.Module:
    """The model without its head: what runs from token ids to the last hidden state."""
    trunk = getattr(hf_model, "base_model", hf_model)
    if not isinstance(trunk, nn.Module):
        raise ModelError(f"{type(hf_model).__name__} has no base model; give a PreTrainedModel")
    return trunk


def find_sites(hf_model: Any) -> Sites:
    """Find and prove the sites of a model.

    Raises:
        ModelError: the residual identity does not hold somewhere, or the model is not causal.
    """
    trunk = trunk_of(hf_model)
    path, layers = _layers(trunk, hf_model)
    traces = _probe(hf_model, trunk, path, layers)
    tolerance = TOLERANCE.get(traces[0].input.dtype, 1e-5)
    _check_chain(traces, tolerance)
    sites: list[Site] = []
    proofs: list[LayerProof] = []
    for index, trace in enumerate(traces):
        proof, pre_mlp = _prove(index, trace, tolerance)
        proofs.append(proof)
        sites.append(Site(f"{index}.pre_attn", trace.path, "input"))
        if pre_mlp is not None:
            sites.append(Site(f"{index}.pre_mlp", f"{trace.path}.{pre_mlp}", "input"))
    if len({proof.parallel for proof in proofs}) > 1:
        raise ModelError(
            f"{type(hf_model).__name__} mixes layers with attention and MLP in sequence and in "
            "parallel; such a model is not supported"
        )
    sites.append(Site(FINAL, traces[-1].path, "output"))
    return Sites(
        tuple(sites), tuple(proofs), traces[0].input.shape[-1], _causality(traces, tolerance)
    )


def _layers(trunk: nn.Module, hf_model: Any) -> tuple[str, nn.ModuleList]:
    config = hf_model.config.get_text_config()
    n_layers = getattr(config, "num_hidden_layers", None)
    lists = [
        (name, module)
        for name, module in trunk.named_modules()
        if isinstance(module, nn.ModuleList)
    ]
    for name, module in lists:
        if len(module) == n_layers:
            return name, module
    seen = ", ".join(f"{name} ({len(module)})" for name, module in lists) or "none"
    raise ModelError(
        f"no list of {n_layers} layers in {type(hf_model).__name__}; lists of modules in it: {seen}"
    )


def _probe(hf_model: Any, trunk: nn.Module, path: str, layers: nn.ModuleList) -> list[_LayerTrace]:
    vocabulary = hf_model.get_input_embeddings().weight.shape[0]
    tokens = (torch.arange(2 * PROBE_TOKENS) * 7919 + 13).reshape(2, PROBE_TOKENS) % vocabulary
    tokens[1, :SHARED_TOKENS] = tokens[0, :SHARED_TOKENS]
    with evaluating(hf_model), _tracing(layers) as calls:
        trunk(input_ids=tokens.to(hf_model.device), use_cache=False)
    return [_trace(f"{path}.{index}", calls[index]) for index in range(len(layers))]


@contextmanager
def _tracing(layers: nn.ModuleList) -> Iterator[list[list[_Call]]]:
    """Every call of every layer and of its children, in the order in which they end."""
    calls: list[list[_Call]] = [[] for _ in layers]

    def watch(index: int, name: str, module: nn.Module) -> Any:
        def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
            call = _Call(name, _copy(input_states(args, kwargs)), _copy(first_tensor(out)))
            calls[index].append(call)

        return module.register_forward_hook(after, with_kwargs=True)

    with ExitStack() as hooks:
        for index, layer in enumerate(layers):
            hooks.callback(watch(index, "", layer).remove)
            for name, child in layer.named_children():
                hooks.callback(watch(index, name, child).remove)
        yield calls


def _copy(states: Tensor | None) -> Tensor | None:
    return None if states is None else states.detach().clone()


def _trace(path: str, calls: list[_Call]) -> _LayerTrace:
    own = [call for call in calls if call.name == ""]
    if len(own) != 1 or own[0].input is None or own[0].output is None:
        raise ModelError(f"layer {path} ran {len(own)} times in one forward pass, expected once")
    if not bool(torch.isfinite(own[0].output).all()):
        raise ModelError(
            f"the model produces NaN or infinite states in {path}, on a probe of a few tokens; its "
            "weights are broken, or its precision too low: try dtype='float32'"
        )
    children = tuple(call for call in calls if call.name != "")
    return _LayerTrace(path, own[0].input, own[0].output, children)


def _check_chain(traces: list[_LayerTrace], tolerance: float) -> None:
    for before, after in itertools.pairwise(traces):
        error = _difference(before.output, after.input)
        if error > tolerance:
            raise ModelError(
                f"the stream changes between {before.path} and {after.path}: the input of the "
                f"second differs from the output of the first by {error:.1e} of its norm"
            )


def _prove(index: int, trace: _LayerTrace, tolerance: float) -> tuple[LayerProof, str | None]:
    """The proof of one layer and the child before which the pre_mlp site lies, if there is one."""
    best = float("inf")
    for place, child in enumerate(trace.children):
        entered = child.input
        if entered is None or entered.shape != trace.input.shape:
            continue
        if _difference(entered, trace.input) <= tolerance:
            continue
        attention, error = _closest(entered, trace.input, _outputs(trace, 0, place))
        if error > tolerance:
            continue
        mlp, rest = _closest(trace.output, entered, _outputs(trace, place))
        best = min(best, rest)
        if rest <= tolerance:
            return LayerProof(index, attention, mlp, error, rest, parallel=False), child.name
    return _prove_parallel(index, trace, tolerance, best), None


def _outputs(trace: _LayerTrace, start: int, stop: int | None = None) -> dict[str, Tensor]:
    """Outputs of some of the children, as far as they have the stream's shape."""
    return {
        call.name: call.output
        for call in trace.children[start:stop]
        if call.output is not None and call.output.shape == trace.input.shape
    }


def _closest(total: Tensor, start: Tensor, branches: dict[str, Tensor]) -> tuple[str, float]:
    """The branch that comes closest to leading from `start` to `total`, and by how much."""
    errors = {name: _difference(total, start + branch) for name, branch in branches.items()}
    name = min(errors, key=errors.__getitem__, default="none")
    return name, errors.get(name, float("inf"))


def _prove_parallel(
    index: int, trace: _LayerTrace, tolerance: float, best_sequential: float
) -> LayerProof:
    best = float("inf")
    pairs = itertools.combinations(_outputs(trace, 0).items(), 2)
    for (first, one), (second, other) in pairs:
        error = _difference(trace.output, trace.input + (one + other))
        best = min(best, error)
        if error <= tolerance:
            return LayerProof(index, first, second, error, error, parallel=True)
    children = ", ".join(call.name for call in trace.children)
    raise ModelError(
        f"the residual identity fails in {trace.path}: no two of its children ({children}) add up "
        f"to its update, neither in sequence (best error {best_sequential:.1e} of the norm) nor in "
        f"parallel ({best:.1e}; allowed {tolerance:.0e}); this architecture is not supported"
    )


def _causality(traces: list[_LayerTrace], tolerance: float) -> float:
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

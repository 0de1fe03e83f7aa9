"""The flow map of a model over one text.

Two ways, which give the same numbers:

- `shared`: G states are G tokens of one sequence, all at the last token's position, under a mask in
  which each sees the context and itself (as tree attention does). The context's keys and values
  stand there once, whatever G. A state costs one token from its layer on; layers before it do not
  run, nor do those behind the last site of interest.
- `repeated`: the whole text runs once for every state, with that state in its last place. Exact for
  every causal model, and as much slower as the text is long.

Which one a model allows is proved, not tabulated: `find_way` perturbs the last token of a few
tokens both ways, at the sites of the first, the middle and the last layer. For each text the clean
state must then reproduce the clean trajectory, which a sliding window shorter than the text would
not; otherwise the text is repeated.

Jacobians are one backward pass over as many copies of the state as there are outputs.

Not handled: models that are not causal, and sites named by hand.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from transformer_dynamics.errors import InputError, ModelError
from transformer_dynamics.model.checks.wrappers import logits_of, trunk_of
from transformer_dynamics.model.derivatives import differentiating, require_derivatives
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.model.hooks import PassEnded, evaluating, own_thread, reading
from transformer_dynamics.model.injection import (
    injecting,
    layer_paths,
    passes_stream_alone,
    skipping,
    with_states,
)
from transformer_dynamics.model.labels import FINAL, parse
from transformer_dynamics.model.probe import probe_tokens
from transformer_dynamics.model.sites import TOLERANCE, Sites
from transformer_dynamics.numerics.arrays import Floats

Way = Literal["shared", "repeated"]

# States in one pass: more of them see more of each other's keys, fewer read the weights more often.
STATES_PER_PASS = 128
TOKENS_PER_PASS = 4096
# Tokens of the proof: few, so that they lie within any sliding window.
PROBED = 4
# How far the two ways may lie apart, as a multiple of the tolerance for sites.
SLACK = 5.0
FAILURES = (
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
)


@dataclass(frozen=True, eq=False)
class _Context:
    """Context and states of the unperturbed run.

    Attributes:
        tokens: the text, `(position)`.
        clean: the last token's states, `(site, unit)`.
        outputs: what every layer returned, for the kind of its result.
        cache: keys and values of all tokens but the last; None where they cannot be shared.
    """

    tokens: Tensor
    clean: Tensor
    outputs: list[Any]
    cache: Any


class ModelFlowMap(FlowMap):
    """The flow map of the last token of one text."""

    @torch.inference_mode(False)
    def __init__(
        self, hf_model: Any, sites: Sites, token_ids: Sequence[int], *, way: Way, name: str
    ) -> None:
        """Run the text once.

        Args:
            hf_model: the model.
            sites: its sites, with their proofs.
            token_ids: the text.
            way: what `find_way` says of this model.
            name: what it is called in results.

        Raises:
            InputError: there is no token.
            ModelError: the model is not causal, or its sites were named by hand.
        """
        if not len(token_ids):
            raise InputError("got a text of no tokens; a flow map follows a text's last token")
        _require_causal(sites)
        self.sites = sites.labels
        self.name = name
        self._runner = _Runner(hf_model, sites)
        tokens = torch.as_tensor(token_ids, device=hf_model.device)
        self._context = self._runner.run_clean(tokens, cached=way == "shared")
        self.clean = _as_numpy(self._context.clean)
        self.way: Way = "repeated" if self._context.cache is None else "shared"
        if self.way == "shared" and not self._clean_state_changes_nothing():
            self._context = self._runner.run_clean(tokens, cached=False)
            self.way = "repeated"

    def _clean_state_changes_nothing(self) -> bool:
        first = self._context.clean[:1]
        try:
            found = self._runner.run(self._context, first, self.sites[0], self.sites)
        except FAILURES:
            return False
        carried = torch.stack([found[label][0] for label in self.sites])
        return bool((_relative(carried, self._context.clean) <= self._runner.tolerance).all())

    @torch.inference_mode(False)
    def _advance(self, states: Floats, start: str, stop: str, keep: tuple[str, ...]) -> Floats:
        result = np.empty((len(states), len(keep), self.n_units))
        for rows, given in self._passes(states):
            found = self._runner.run(self._context, given, start, (*keep, stop))
            for place, label in enumerate(keep):
                result[rows, place] = _as_numpy(found[label])
            if start in keep:
                result[rows, keep.index(start)] = states[rows]
        return result

    @torch.inference_mode(False)
    def _log_probabilities(self, states: Floats, start: str) -> Floats:
        pieces = []
        for _, given in self._passes(states):
            logits = self._runner.logits(self._context, given, start)
            pieces.append(_as_numpy(torch.log_softmax(logits.double(), dim=-1)))
        return np.concatenate(pieces)

    def _vjp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        self._runner.require_derivatives()
        result = np.empty_like(vectors)
        with differentiating(self._runner.hf_model):
            for rows, given in self._passes(vectors):
                here = self._tensor(at).expand(len(given), -1).clone().requires_grad_(True)
                found = self._runner.run(self._context, here, start, (stop,), torch.enable_grad)
                (gradient,) = torch.autograd.grad(found[stop], here, given)
                result[rows] = _as_numpy(gradient)
        return result

    def _jvp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        from torch.autograd import forward_ad
        from torch.nn.attention import SDPBackend, sdpa_kernel

        self._runner.require_derivatives()
        result = np.empty_like(vectors)
        # Only the plain form of attention knows forward derivatives.
        with (
            differentiating(self._runner.hf_model),
            sdpa_kernel(SDPBackend.MATH),
            forward_ad.dual_level(),
        ):
            for rows, given in self._passes(vectors):
                here = self._tensor(at).expand(len(given), -1)
                dual = forward_ad.make_dual(here.clone(), given)
                found = self._runner.run(self._context, dual, start, (stop,), torch.enable_grad)
                result[rows] = _as_numpy(forward_ad.unpack_dual(found[stop]).tangent)
        return result

    def _tensor(self, states: Floats) -> Tensor:
        return torch.as_tensor(
            states, dtype=self._context.clean.dtype, device=self._context.clean.device
        )

    def _passes(self, states: Floats) -> Iterator[tuple[slice, Tensor]]:
        size = STATES_PER_PASS
        if self.way == "repeated":
            size = max(1, TOKENS_PER_PASS // len(self._context.tokens))
        for first in range(0, len(states), size):
            rows = slice(first, min(first + size, len(states)))
            yield rows, self._tensor(states[rows])


@torch.inference_mode(False)
def find_way(hf_model: Any, sites: Sites) -> Way:
    """The way that a model allows, proved on a few tokens in three layers.

    Raises:
        ModelError: the model is not causal, or its sites were named by hand.
    """
    _require_causal(sites)
    runner = _Runner(hf_model, sites)
    tokens = probe_tokens(hf_model)[0, :PROBED]
    try:
        shared = runner.run_clean(tokens, cached=True)
        if shared.cache is None:
            return "repeated"
        repeated = _Context(shared.tokens, shared.clean, shared.outputs, None)
        n_layers = len(sites.proofs)
        probed = {0, n_layers // 2, n_layers - 1}
        for place, start in enumerate(sites.labels[:-1]):
            if parse(start)[0] not in probed:
                continue
            clean = shared.clean[place]
            # Two states, neither of them the clean one: each must see the context and itself alone.
            given = torch.stack([clean.roll(1), clean - 0.5 * clean.flip(0)])
            kept = sites.labels[place + 1 :]
            one, other = (runner.run(each, given, start, kept) for each in (shared, repeated))
            if any((_relative(one[s], other[s]) > runner.tolerance).any() for s in kept):
                return "repeated"
    except FAILURES:
        return "repeated"
    return "shared"


def _require_causal(sites: Sites) -> None:
    layer_paths(sites)
    if not sites.independent:
        raise ModelError(
            "in this model the texts of a batch change each other's states (by "
            f"{sites.padding_error:.1e} of their norm), as where activations are quantized per "
            "tensor; a flow map needs states that run side by side unchanged"
        )
    if not sites.causal:
        raise ModelError(
            "this model is not causal: another state of its last token changes all the others, so "
            "no context can be held fixed; flow maps need a decoder"
        )


def _relative(states: Tensor, reference: Tensor) -> Tensor:
    """|states - reference| / |reference| along the last axis."""
    exact = reference.double()
    error: Tensor = (states.double() - exact).norm(dim=-1) / exact.norm(dim=-1).clamp_min(1e-300)
    return error


class _Runner:
    """Runs of a model with other states in the place of the last token's."""

    def __init__(self, hf_model: Any, sites: Sites) -> None:
        self.hf_model = hf_model
        self._trunk = trunk_of(hf_model)
        self._sites = sites
        self._has_derivatives = False
        self._layers = [self._trunk.get_submodule(path) for path in layer_paths(sites)]

    @cached_property
    def tolerance(self) -> float:
        """Largest difference between two computations of one state, over its norm."""
        return SLACK * TOLERANCE.get(self.hf_model.dtype, 1e-5)

    def require_derivatives(self) -> None:
        """See once that gradients pass through the model."""
        if not self._has_derivatives:
            require_derivatives(self.hf_model)
            self._has_derivatives = True

    def run_clean(self, tokens: Tensor, *, cached: bool) -> _Context:
        """Run a text as it is."""
        states: dict[str, Tensor] = {}
        outputs: dict[int, Any] = {}

        def keep(label: str, stream: Tensor) -> None:
            states[label] = stream.reshape(len(tokens), -1)[-1].clone()

        with (
            evaluating(self.hf_model, torch.no_grad),
            reading(self._trunk, self._sites.sites, keep),
            ExitStack() as hooks,
        ):
            for index, layer in enumerate(self._layers):
                note = own_thread(_noting(outputs, index))
                hooks.callback(layer.register_forward_hook(note).remove)
            cache = _new_cache() if cached else None
            options = {"past_key_values": cache} if cached else {}
            self._trunk(input_ids=tokens[None], use_cache=cached, **options)
        clean = torch.stack([states[label].to(tokens.device) for label in self._sites.labels])
        kinds = [outputs[index] for index in range(len(self._layers))]
        context = _without_last(cache) if cached else None
        return _Context(tokens, clean, kinds, context)

    def run(
        self,
        context: _Context,
        states: Tensor,
        start: str,
        keep: Sequence[str],
        mode: Callable[[], Any] = torch.inference_mode,
    ) -> dict[str, Tensor]:
        """The states at each site of `keep` where `states` `(state, unit)` stand at `start`."""
        found = {start: states}
        if start == FINAL:
            return found
        order = self._sites.labels
        wanted = [s for s in self._sites.sites if s.label in keep and s.label != start]
        last = max((site.label for site in wanted), key=order.index)

        def read(label: str, stream: Tensor) -> None:
            found[label] = self._last_states(context, stream, len(states)).to(states.device)
            if label == last:
                raise PassEnded

        with (
            self._injected(context, states, start, mode),
            reading(self._trunk, wanted, read),
            suppress(PassEnded),
        ):
            self._trunk(**self._inputs(context, len(states)))
        return found

    def logits(self, context: _Context, states: Tensor, start: str) -> Tensor:
        """Logits of the states, `(state, token)`."""
        with self._injected(context, states, start, torch.inference_mode):
            output = self.hf_model(**self._inputs(context, len(states)))
        logits = logits_of(self.hf_model, output)
        return logits[0] if context.cache is not None else logits[:, -1]

    @contextmanager
    def _injected(
        self, context: _Context, states: Tensor, start: str, mode: Callable[[], Any]
    ) -> Iterator[None]:
        layer = len(self._layers) if start == FINAL else parse(start)[0]
        with ExitStack() as stack:
            stack.enter_context(evaluating(self.hf_model, mode))
            if context.cache is not None and all(map(passes_stream_alone, context.outputs)):
                # Skipped, the first layers leave no keys of the states; nothing later asks for any.
                before = min(layer, len(self._layers) - 1)
                stack.enter_context(skipping(self._layers[:before], context.outputs[:before]))
            replace = self._replacement(context)
            stack.enter_context(injecting(self._trunk, self._sites, start, states, replace))
            yield

    def _replacement(self, context: _Context) -> Callable[[Tensor, Tensor], Tensor]:
        n_tokens = len(context.tokens)

        def everywhere(stream: Tensor, states: Tensor) -> Tensor:
            return states.to(stream.device).reshape(stream.shape)

        def last(stream: Tensor, states: Tensor) -> Tensor:
            each = stream.reshape(len(states), n_tokens, -1)
            put = states.to(stream.device)[:, None]
            return torch.cat([each[:, :-1], put], dim=1).reshape(stream.shape)

        return last if context.cache is None else everywhere

    def _last_states(self, context: _Context, stream: Tensor, n_states: int) -> Tensor:
        if context.cache is not None:
            return stream.reshape(n_states, -1)
        return stream.reshape(n_states, len(context.tokens), -1)[:, -1].clone()

    def _inputs(self, context: _Context, n_states: int) -> dict[str, Any]:
        if context.cache is None:
            return {"input_ids": context.tokens.expand(n_states, -1), "use_cache": False}
        device = context.tokens.device
        n_context = len(context.tokens) - 1
        mask = torch.full((n_states, n_states), torch.finfo(context.clean.dtype).min)
        mask = torch.cat([torch.zeros(n_states, n_context), mask.fill_diagonal_(0.0)], dim=1)
        return {
            "input_ids": context.tokens[-1:].expand(1, n_states),
            "position_ids": torch.full((1, n_states), n_context, device=device),
            "attention_mask": mask.to(device=device, dtype=context.clean.dtype)[None, None],
            "past_key_values": _shallow(context.cache),
            "use_cache": True,
        }


def _noting(outputs: dict[int, Any], index: int) -> Callable[..., None]:
    def after(_: Any, args: Any, output: Any) -> None:
        outputs[index] = with_states(output, torch.empty(0))  # its kind, without its size

    return after


def _new_cache() -> Any:
    from transformers import DynamicCache

    return DynamicCache()


def _without_last(cache: Any) -> Any:
    """The cache of all tokens but the last; None where a layer kept no keys and values."""
    layers = getattr(cache, "layers", [])
    if not layers or any(getattr(each, "keys", None) is None for each in layers):
        return None
    for each in layers:
        each.keys, each.values = each.keys[..., :-1, :], each.values[..., :-1, :]
    return cache


def _shallow(cache: Any) -> Any:
    """A cache that shares its tensors and does not grow.

    Each layer is told of its states' keys and values and gives them joined to the context's, as
    ever, but keeps nothing: kept, the joined ones of all layers would be a second context.
    """
    own = copy.copy(cache)
    own.layers = [_forgetting(layer) for layer in cache.layers]
    return own


def _forgetting(layer: Any) -> Any:
    own = copy.copy(layer)

    def update(*args: Any, **kwargs: Any) -> Any:
        return type(layer).update(copy.copy(layer), *args, **kwargs)

    own.update = update
    return own


def _as_numpy(tensor: Tensor) -> Floats:
    """A tensor of torch as float64."""
    array: Floats = tensor.detach().double().cpu().numpy()
    return array

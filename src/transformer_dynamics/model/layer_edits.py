"""Run a text through a model with layers skipped, swapped, or their update replaced.

The update of layer l at every position is x[l+1] - x[l]. Skipping layer l sets x[l+1] to x[l];
swapping runs layer l+1 before layer l; replacing adds another update to x[l]. All tokens of the
text are edited. The layers before the edit do not run again, and many edits run together.

Limits: no sites named by hand; no models whose layers return more than the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transformer_dynamics.errors import InputError, ModelError
from transformer_dynamics.model.checks.wrappers import logits_of, trunk_of
from transformer_dynamics.model.hooks import (
    PassEnded,
    evaluating,
    input_states,
    own_thread,
    reading,
)
from transformer_dynamics.model.injection import (
    forward_replaced,
    injecting,
    layer_paths,
    passes_stream_alone,
    skipping,
)
from transformer_dynamics.model.labels import FINAL
from transformer_dynamics.model.passes.joint import joint_passes
from transformer_dynamics.model.sites import Sites
from transformer_dynamics.numerics.arrays import Floats

# Tokens per pass: fewer read the weights more often, more exceed the processor's caches.
TOKENS_PER_PASS = 384


@dataclass(frozen=True, eq=False)
class Edit:
    """States of a text that enter a layer other than in the unperturbed run.

    Attributes:
        layer: index of the layer; the number of layers for states behind the last one.
        states: `(text, position, unit)` of one text.
    """

    layer: int
    states: Tensor


class LayerEdits:
    """One text with its unperturbed run, ready for runs with edited layers.

    Attributes:
        n_layers: number of layers.
        clean: log-probabilities of the next token at every position, `(position, token)`, float32.
    """

    @torch.inference_mode(False)
    def __init__(self, hf_model: Any, sites: Sites, token_ids: Sequence[int]) -> None:
        """Run the text once.

        Raises:
            InputError: there are no tokens, or the model has no head.
            ModelError: the sites were named by hand, or layers return more than the stream.
        """
        if not len(token_ids):
            raise InputError("got a text of no tokens; layers are edited while a text runs")
        self._hf_model, self._sites = hf_model, sites
        self._trunk = trunk_of(hf_model)
        paths = layer_paths(sites)
        self._layers = [self._trunk.get_submodule(path) for path in paths]
        self.n_layers = len(paths)
        self._first = [
            next(site.label for site in sites.sites if site.module == path) for path in paths
        ]
        self._tokens = torch.as_tensor(token_ids, device=hf_model.device)[None]
        self._states: list[Tensor] = []
        self._outputs: list[Any] = []
        with evaluating(hf_model), self._noting():
            self.clean = torch.log_softmax(self._logits(1)[0].float(), dim=-1)
        if not all(map(passes_stream_alone, self._outputs)):
            raise ModelError(
                "layers of this model return more than the stream, so none can be skipped; skip "
                "and swap need layers that return the stream alone: use model.flow_map(text)"
            )

    def skip(self, layer: int) -> Tensor:
        """Log-probabilities `(position, token)` without one layer."""
        return self._alone(self.skipped(layer))

    def swap(self, layer: int) -> Tensor:
        """Log-probabilities `(position, token)` with the next layer run before this one.

        Raises:
            InputError: the layer is the last one.
        """
        return self._alone(self.swapped(layer))

    def replace(self, layer: int, update: Floats) -> Tensor:
        """Log-probabilities `(position, token)` with another `update` `(position, unit)`."""
        return self._alone(self.replaced(layer, update))

    def update(self, layer: int) -> Floats:
        """Update of one layer, `(position, unit)`."""
        before, after = (self._states[index].double() for index in (layer, layer + 1))
        added: Floats = (after - before.to(after.device)).flatten(0, -2).cpu().numpy()
        return added

    def skipped(self, layer: int) -> Edit:
        """Edit that leaves one layer out."""
        return Edit(layer + 1, self._states[layer])

    def replaced(self, layer: int, update: Floats) -> Edit:
        """Edit that gives one layer another `update` `(position, unit)`."""
        before = self._states[layer]
        added = torch.as_tensor(update, device=before.device).reshape(before.shape)
        return Edit(layer + 1, (before.double() + added).to(before.dtype))

    def swapped(self, layer: int) -> Edit:
        """Edit that runs the next layer before this one; both run here.

        Raises:
            InputError: the layer is the last one.
        """
        if layer + 1 >= self.n_layers:
            raise InputError(
                f"got layer {layer} of {self.n_layers}; a layer is swapped with the next one: "
                f"swap({self.n_layers - 2})"
            )
        after: list[Tensor] = []

        def keep(_: str, stream: Tensor) -> None:
            after.append(stream.clone())
            raise PassEnded

        one, other = self._layers[layer : layer + 2]
        ends = [site for site in self._sites.sites if site.label == self._label(layer + 2)]
        with (
            evaluating(self._hf_model),
            _swapped(one, other),
            self._entering([Edit(layer, self._states[layer])]),
            reading(self._trunk, ends, keep),
            suppress(PassEnded),
        ):
            self._trunk(input_ids=self._tokens, use_cache=False)
        return Edit(layer + 2, after[0].reshape(self._states[layer].shape))

    def log_probabilities(self, edits: Sequence[Edit]) -> Iterator[tuple[int, Tensor]]:
        """Log-probabilities `(position, token)` of many edits, which run together.

        An edit joins the others at the layer that its states enter.

        Yields:
            Index of an edit and its log-probabilities, in order of the layers.
        """
        by_layer: dict[int, list[int]] = {}
        for index in sorted(range(len(edits)), key=lambda index: edits[index].layer):
            by_layer.setdefault(edits[index].layer, []).append(index)
        n_tokens = self._tokens.shape[1]
        sizes = {str(layer): (len(each), layer) for layer, each in by_layer.items()}
        # Texts of one pass must not change each other.
        most = max(1, TOKENS_PER_PASS // n_tokens) if self._sites.independent else 1
        for batch in joint_passes(sizes, self.n_layers, most, tokens_per_state=n_tokens):
            chosen = [index for layer, rows in batch for index in by_layer[int(layer)][rows]]
            with evaluating(self._hf_model), self._entering([edits[index] for index in chosen]):
                logits = self._logits(len(chosen))
            for index, each in zip(chosen, logits, strict=True):
                yield index, torch.log_softmax(each.float(), dim=-1)

    def _alone(self, edit: Edit) -> Tensor:
        ((_, log_probabilities),) = self.log_probabilities([edit])
        return log_probabilities

    def _label(self, layer: int) -> str:
        return FINAL if layer == self.n_layers else self._first[layer]

    @contextmanager
    def _entering(self, edits: Sequence[Edit]) -> Iterator[None]:
        """Let every edit's states enter their layers in a pass of one text per edit."""
        first = edits[0].layer
        with ExitStack() as stack:
            stack.enter_context(skipping(self._layers[:first], self._outputs[:first]))
            for row, edit in enumerate(edits):
                replace = partial(_in_row, row=row, n_rows=len(edits))
                label = self._label(edit.layer)
                stack.enter_context(
                    injecting(self._trunk, self._sites, label, edit.states, replace)
                )
            yield

    def _logits(self, n_rows: int) -> Tensor:
        tokens = self._tokens.expand(n_rows, -1)
        return logits_of(self._hf_model, self._hf_model(input_ids=tokens, use_cache=False))

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep every layer's input, the last layer's output, and the structure of each result."""

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            stream = input_states(args, kwargs)
            if stream is not None:
                self._states.append(stream.clone())

        def after(_: nn.Module, args: Any, output: Any) -> None:
            self._outputs.append(output)

        with ExitStack() as hooks:
            for layer in self._layers:
                hooks.callback(
                    layer.register_forward_pre_hook(own_thread(before), with_kwargs=True).remove
                )
                hooks.callback(layer.register_forward_hook(own_thread(after)).remove)
            yield
        last = self._outputs[-1]
        self._states.append((last if isinstance(last, Tensor) else last[0]).clone())


def _in_row(stream: Tensor, states: Tensor, *, row: int, n_rows: int) -> Tensor:
    """Replace one text's states in the stream of a pass."""
    by_text = stream.reshape(n_rows, -1, stream.shape[-1])
    new = states.to(stream.device).reshape(1, *by_text.shape[1:])
    return torch.cat([by_text[:row], new, by_text[row + 1 :]]).reshape(stream.shape)


@contextmanager
def _swapped(one: nn.Module, other: nn.Module) -> Iterator[None]:
    """Exchange the forward functions of two layers inside the block."""
    first, second = one.forward, other.forward
    with forward_replaced(one, second), forward_replaced(other, first):
        yield

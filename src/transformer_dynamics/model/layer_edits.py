"""Run a text through a model with layers skipped, swapped, or their update replaced.

The update of layer l at every position is x[l+1] - x[l]. Skipping layer l sets x[l+1] to x[l];
swapping runs layer l+1 before layer l; replacing adds another update to x[l]. All tokens of the
text are edited, and the layers before the edit do not run again.

Limits: no sites named by hand; no models whose layers return more than the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from transformer_dynamics.errors import InputError, ModelError
from transformer_dynamics.model.checks.wrappers import logits_of, trunk_of
from transformer_dynamics.model.hooks import evaluating, input_states, own_thread
from transformer_dynamics.model.injection import (
    forward_replaced,
    injecting,
    layer_paths,
    passes_stream_alone,
    skipping,
)
from transformer_dynamics.model.labels import FINAL
from transformer_dynamics.model.sites import Sites
from transformer_dynamics.numerics.arrays import Floats


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
            self.clean = self._run()
        if not all(map(passes_stream_alone, self._outputs)):
            raise ModelError(
                "layers of this model return more than the stream, so none can be skipped; skip "
                "and swap need layers that return the stream alone: use model.flow_map(text)"
            )

    def skip(self, layer: int) -> Tensor:
        """Log-probabilities `(position, token)` without one layer."""
        return self._with_states(self._states[layer], layer + 1)

    def swap(self, layer: int) -> Tensor:
        """Log-probabilities `(position, token)` with the next layer run before this one.

        Raises:
            InputError: the layer is the last one.
        """
        if layer + 1 >= self.n_layers:
            raise InputError(
                f"got layer {layer} of {self.n_layers}; a layer is swapped with the next one: "
                f"swap({self.n_layers - 2})"
            )
        one, other = self._layers[layer : layer + 2]
        with evaluating(self._hf_model), _swapped(one, other):
            return self._with_states(self._states[layer], layer)

    def update(self, layer: int) -> Floats:
        """Update of one layer, `(position, unit)`."""
        before, after = (self._states[index].double() for index in (layer, layer + 1))
        added: Floats = (after - before.to(after.device)).flatten(0, -2).cpu().numpy()
        return added

    def replace(self, layer: int, update: Floats) -> Tensor:
        """Log-probabilities `(position, token)` with another `update` `(position, unit)`."""
        before = self._states[layer]
        added = torch.as_tensor(update, device=before.device).reshape(before.shape)
        return self._with_states((before.double() + added).to(before.dtype), layer + 1)

    def _with_states(self, states: Tensor, layer: int) -> Tensor:
        start = FINAL if layer == self.n_layers else self._first[layer]
        before = min(layer, self.n_layers - 1)
        with (
            evaluating(self._hf_model),
            skipping(self._layers[:before], self._outputs[:before]),
            injecting(self._trunk, self._sites, start, states, _in_place),
        ):
            return self._run()

    def _run(self) -> Tensor:
        output = self._hf_model(input_ids=self._tokens, use_cache=False)
        logits = logits_of(self._hf_model, output)
        return torch.log_softmax(logits[0].float(), dim=-1)

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


def _in_place(stream: Tensor, states: Tensor) -> Tensor:
    return states.to(stream.device).reshape(stream.shape)


@contextmanager
def _swapped(one: nn.Module, other: nn.Module) -> Iterator[None]:
    """Exchange the forward functions of two layers inside the block."""
    first, second = one.forward, other.forward
    with forward_replaced(one, second), forward_replaced(other, first):
        yield

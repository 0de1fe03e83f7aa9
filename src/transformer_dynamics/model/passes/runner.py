"""Forward passes in which other states replace the last token's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from transformer_dynamics.model.checks.derivatives import require_derivatives
from transformer_dynamics.model.checks.states import SLACK, tolerance_of
from transformer_dynamics.model.checks.wrappers import logits_of, trunk_of
from transformer_dynamics.model.hooks import PassEnded, evaluating, own_thread, reading
from transformer_dynamics.model.injection import (
    injecting,
    layer_paths,
    passes_stream_alone,
    skipping,
    with_states,
)
from transformer_dynamics.model.labels import FINAL, parse
from transformer_dynamics.model.passes.caches import new_cache, without_last
from transformer_dynamics.model.passes.context import Context
from transformer_dynamics.model.sites import Sites

# Errors of models whose code does not accept a shared context.
FAILURES = (
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
)


class Runner:
    """Forward passes of a model with other states at the last token.

    Attributes:
        batches_derivatives: False once a backward pass of many vectors at once has failed.
        joins_steps: whether one pass can carry a state through each of several steps; None before
            it was tried.
    """

    def __init__(self, hf_model: Any, sites: Sites) -> None:
        self.hf_model = hf_model
        self._trunk = trunk_of(hf_model)
        self._sites = sites
        self._has_derivatives = False
        self.batches_derivatives = True
        self.joins_steps: bool | None = None
        self._layers = [self._trunk.get_submodule(path) for path in layer_paths(sites)]

    @cached_property
    def tolerance(self) -> float:
        """Largest difference between two computations of one state, relative to its norm."""
        return SLACK * tolerance_of(self.hf_model.dtype)

    def require_derivatives(self) -> None:
        """Check once that gradients pass through the model."""
        if not self._has_derivatives:
            require_derivatives(self.hf_model)
            self._has_derivatives = True

    def run_clean(self, tokens: Tensor, *, cached: bool) -> Context:
        """Run a text without a perturbation."""
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
                hook = own_thread(_template_hook(outputs, index))
                hooks.callback(layer.register_forward_hook(hook).remove)
            cache = new_cache() if cached else None
            options = {"past_key_values": cache} if cached else {}
            self._trunk(input_ids=tokens[None], use_cache=cached, **options)
        clean = torch.stack([states[label].to(tokens.device) for label in self._sites.labels])
        templates = [outputs[index] for index in range(len(self._layers))]
        return Context(tokens, clean, templates, without_last(cache) if cached else None)

    def run(
        self,
        context: Context,
        states: Tensor,
        start: str,
        keep: Sequence[str],
        mode: Callable[[], Any] = torch.inference_mode,
    ) -> dict[str, Tensor]:
        """Carry `states` `(state, unit)` from `start` to each site of `keep`."""
        return {start: states, **self.run_many(context, {start: states}, keep, mode)}

    def run_many(
        self,
        context: Context,
        states: Mapping[str, Tensor],
        keep: Sequence[str],
        mode: Callable[[], Any] = torch.inference_mode,
    ) -> dict[str, Tensor]:
        """Carry states that join the pass at their own sites to each site of `keep`.

        Args:
            context: context that all states share.
            states: states `(state, unit)` by start, the starts in order of depth.
            keep: sites at which states are kept.
            mode: state of autograd.

        Returns:
            States `(state, unit)` of all starts by site, for sites of `keep` behind the first
            start. Rows of states that have not joined yet hold no result.
        """
        first = next(iter(states))
        order = self._sites.labels
        wanted = [
            site
            for place, site in enumerate(self._sites.sites)
            if site.label in keep and place > order.index(first)
        ]
        carried: dict[str, Tensor] = {}
        n_states, device = sum(map(len, states.values())), states[first].device

        def read(label: str, stream: Tensor) -> None:
            carried[label] = context.last_states(stream, n_states).to(device)
            if label == wanted[-1].label:
                raise PassEnded

        if wanted:
            with (
                self._injected(context, states, mode),
                reading(self._trunk, wanted, read),
                suppress(PassEnded),
            ):
                self._trunk(**context.inputs(n_states))
        return carried

    def run_steps(
        self,
        context: Context,
        steps: Sequence[tuple[str, str]],
        states: Sequence[Tensor],
        mode: Callable[[], Any] = torch.inference_mode,
    ) -> list[Tensor]:
        """Carry a state through each of several steps that do not overlap, in one pass.

        The stream is read where a step ends, and replaced where the next one begins.

        Args:
            context: context of all states.
            steps: sites where each step begins and ends, in order of depth.
            states: state at the beginning of each step, `(1, unit)`.
            mode: state of autograd.

        Returns:
            State at the end of each step, `(1, unit)`.
        """
        stops = [stop for _, stop in steps]
        ends: dict[str, Tensor] = {}

        def read(label: str, stream: Tensor) -> None:
            ends[label] = context.last_states(stream, 1).to(states[0].device)
            if label == stops[-1]:
                raise PassEnded

        wanted = [site for site in self._sites.sites if site.label in stops]
        with ExitStack() as stack:
            stack.enter_context(self._evaluating_from(context, steps[0][0], mode))
            # Hooks run in the order in which they are registered: reading comes first.
            stack.enter_context(reading(self._trunk, wanted, read))
            replace = context.replacement(slice(0, 1), 1)
            for (start, _), state in zip(steps, states, strict=True):
                stack.enter_context(injecting(self._trunk, self._sites, start, state, replace))
            with suppress(PassEnded):
                self._trunk(**context.inputs(1))
        return [ends[stop] for stop in stops]

    def logits(self, context: Context, states: Tensor, start: str) -> Tensor:
        """Logits of the next token for states at `start`, `(state, token)`."""
        with self._injected(context, {start: states}, torch.inference_mode):
            output = self.hf_model(**context.inputs(len(states)))
        logits = logits_of(self.hf_model, output)
        return logits[0] if context.cache is not None else logits[:, -1]

    @contextmanager
    def _injected(
        self, context: Context, states: Mapping[str, Tensor], mode: Callable[[], Any]
    ) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(self._evaluating_from(context, next(iter(states)), mode))
            first, n_states = 0, sum(map(len, states.values()))
            for label, each in states.items():
                rows = slice(first, first + len(each))
                replace = context.replacement(rows, n_states)
                stack.enter_context(injecting(self._trunk, self._sites, label, each, replace))
                first = rows.stop
            yield

    @contextmanager
    def _evaluating_from(
        self, context: Context, start: str, mode: Callable[[], Any]
    ) -> Iterator[None]:
        """Prepare the model for one pass that begins at a site; layers before it do not run."""
        layer = len(self._layers) if start == FINAL else parse(start)[0]
        with ExitStack() as stack:
            stack.enter_context(evaluating(self.hf_model, mode))
            if context.cache is not None and all(map(passes_stream_alone, context.outputs)):
                # Skipped layers write no keys of the states, and no later layer reads them.
                stack.enter_context(skipping(self._layers[:layer], context.outputs[:layer]))
            yield


def _template_hook(outputs: dict[int, Any], index: int) -> Callable[..., None]:
    def after(_: Any, args: Any, output: Any) -> None:
        outputs[index] = with_states(output, torch.empty(0))

    return after

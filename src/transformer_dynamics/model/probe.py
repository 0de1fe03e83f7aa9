"""Trace the inputs and outputs of every layer of a model in a pass over a few tokens.

No module is looked up by name: the layers are the list of modules of the configured length that
runs once. For every layer the states at its input, at its output and at each module inside it are
kept in the order of execution. Cost: one forward pass over 2 x 8 tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.wrappers import trunk_of
from transformer_dynamics.model.hooks import evaluating, first_tensor, input_states, own_thread

PROBE_TOKENS = 8
SHARED_TOKENS = 5
# Advice for a model whose layers are not found.
ADVICE = (
    "if its modules receive the stream as (text, position, unit) once per pass, name the sites by "
    "hand: td.load_model(model, sites={'0.pre_attn': 'path.of.module:input', ...}); otherwise "
    "capture the states with your own code: "
    "td.Recording.from_activations(model(**batch, output_hidden_states=True))"
)


@dataclass(frozen=True)
class Event:
    """States at the input or output (`port`) of a module; the name of the layer itself is ""."""

    name: str
    port: str
    states: Tensor


@dataclass(frozen=True)
class LayerTrace:
    """Trace of one layer.

    Attributes:
        path: path of the layer within the trunk.
        input: states at its input, `(text, position, unit)`.
        output: states at its output, `(text, position, unit)`.
        events: inputs and outputs of the modules inside it that have the stream's size.
    """

    path: str
    input: Tensor
    output: Tensor
    events: tuple[Event, ...]


def probe(hf_model: Any) -> list[LayerTrace]:
    """Trace every layer over two short texts that share their first tokens.

    Raises:
        ModelError: the model does not run on token ids alone, its layers are not found, or its
            states are not finite.
    """
    trunk = trunk_of(hf_model)
    _refuse_encoder_decoder(hf_model, trunk)
    tokens = probe_tokens(hf_model)
    candidates = _candidates(trunk, hf_model)
    layers = [
        (f"{name}.{index}", layer) for name, modules in candidates for index, layer in modules
    ]
    with evaluating(hf_model), _tracing(dict(layers)) as events:
        try:
            trunk(input_ids=tokens, use_cache=False)
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise ModelError(
                f"{type(hf_model).__name__} does not run on token ids alone "
                f"({type(error).__name__}: {error}); decoders and encoders of text can be recorded"
            ) from error
    for name, modules in candidates:
        paths = [f"{name}.{index}" for index, _ in modules]
        if all(_runs(events[path]) == 1 for path in paths):
            return [_trace(path, events[path], tokens) for path in paths]
    names = ", ".join(f"{name} ({_runs(events[f'{name}.0'])} times)" for name, _ in candidates)
    raise ModelError(
        f"no list of layers of {type(hf_model).__name__} ran once in one forward pass: {names}; "
        f"{ADVICE}"
    )


def probe_tokens(hf_model: Any) -> Tensor:
    """Return two texts with the same first tokens, `(text, position)`, on the model's device."""
    try:
        vocabulary = hf_model.get_input_embeddings().weight.shape[0]
    except (NotImplementedError, AttributeError) as error:
        raise ModelError(
            f"{type(hf_model).__name__} has no table of token embeddings; decoders and encoders of "
            "text can be recorded"
        ) from error
    tokens = (torch.arange(2 * PROBE_TOKENS) * 7919 + 13).reshape(2, PROBE_TOKENS) % vocabulary
    tokens[1, :SHARED_TOKENS] = tokens[0, :SHARED_TOKENS]
    on_device: Tensor = tokens.to(hf_model.device)
    return on_device


def _refuse_encoder_decoder(hf_model: Any, trunk: nn.Module) -> None:
    if hasattr(trunk, "encoder") and hasattr(trunk, "decoder"):
        raise ModelError(
            f"{type(hf_model).__name__} has an encoder and a decoder, each with its own "
            "stream; pass its encoder alone: "
            "td.load_model(hf_model.get_encoder(), tokenizer=tokenizer)"
        )


def _candidates(trunk: nn.Module, hf_model: Any) -> list[tuple[str, list[tuple[int, nn.Module]]]]:
    """Return the lists of modules whose length is the configured number of layers."""
    n_layers = getattr(hf_model.config.get_text_config(), "num_hidden_layers", None)
    lists = [
        (name, list(enumerate(module)))
        for name, module in trunk.named_modules()
        if isinstance(module, nn.ModuleList)
    ]
    candidates = [(name, modules) for name, modules in lists if len(modules) == n_layers]
    if not candidates:
        seen = ", ".join(f"{name} ({len(modules)})" for name, modules in lists) or "none"
        raise ModelError(
            f"no list of {n_layers} layers in {type(hf_model).__name__}; lists of modules in it: "
            f"{seen}; {ADVICE}"
        )
    return candidates


@contextmanager
def _tracing(layers: dict[str, nn.Module]) -> Iterator[dict[str, list[Event]]]:
    """Trace inputs and outputs of every layer and of every module inside it."""
    events: dict[str, list[Event]] = {path: [] for path in layers}

    def watch(path: str, name: str, module: nn.Module) -> Iterator[Any]:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            note("input", input_states(args, kwargs))

        def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            note("output", first_tensor(output))

        def note(port: str, states: Tensor | None) -> None:
            if states is not None:
                events[path].append(Event(name, port, states.detach().clone()))

        yield module.register_forward_pre_hook(own_thread(before), with_kwargs=True)
        yield module.register_forward_hook(own_thread(after))

    with ExitStack() as hooks:
        for path, layer in layers.items():
            for name, module in layer.named_modules():
                for hook in watch(path, name, module):
                    hooks.callback(hook.remove)
        yield events


def _runs(events: list[Event]) -> int:
    return sum(event.name == "" and event.port == "output" for event in events)


def _trace(path: str, events: list[Event], tokens: Tensor) -> LayerTrace:
    own = {event.port: event.states for event in events if event.name == ""}
    if "input" not in own:
        raise ModelError(f"no states enter the layer {path} as an argument; it cannot be traced")
    stream = own["input"]
    if stream.ndim > 2 and stream.shape[:-1] != tokens.shape:
        n_texts, n_positions = tokens.shape
        raise ModelError(
            f"the states that enter {path} are of shape {tuple(stream.shape)} instead of (text "
            f"{n_texts}, position {n_positions}, unit); {ADVICE}"
        )
    if not bool(torch.isfinite(own["output"]).all()):
        raise ModelError(
            f"the model produces NaN or infinite states in {path} on a probe of a few tokens; its "
            "weights are broken or its precision is too low: td.load_model(name, dtype='float32')"
        )
    # Some families flatten (text, position) between modules; states are kept by their size.
    inside = tuple(
        Event(event.name, event.port, event.states.reshape(stream.shape))
        for event in events
        if event.name != ""
        and event.states.numel() == stream.numel()
        and event.states.shape[-1] == stream.shape[-1]
    )
    return LayerTrace(path, stream, own["output"].reshape(stream.shape), inside)

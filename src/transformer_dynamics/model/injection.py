"""Replace states of the residual stream while a model runs, and leave the model unchanged.

A state before a layer replaces that layer's input. A state before the MLP replaces the layer's
input while every module of the attention branch returns zero, so that the stream after attention
equals the state to the last bit; in a post-norm layer it replaces the output of the norm between
the two branches. Earlier layers need not run: `skipping` passes the stream through them.

Limits: no sites named by hand, whose layers have no proof of their branches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.hooks import first_tensor, input_states, own_thread
from transformer_dynamics.model.labels import FINAL, parse
from transformer_dynamics.model.sites import Sites

# (stream, replacing states) -> stream.
Replace = Callable[[Tensor, Tensor], Tensor]


def layer_paths(sites: Sites) -> list[str]:
    """Return the path of every layer within the trunk, in order of depth.

    Raises:
        ModelError: the sites were named by hand, so the layers are unknown.
    """
    if not sites.proofs:
        raise ModelError(
            "these sites were named by hand, so their layers are not proved; a flow map needs "
            "sites that are found: td.load_model(model) without sites="
        )
    first: dict[int, str] = {}
    for site in sites.sites[:-1]:
        first.setdefault(parse(site.label)[0], site.module)
    return [first[proof.layer] for proof in sites.proofs]


@contextmanager
def injecting(
    trunk: nn.Module, sites: Sites, start: str, states: Tensor, replace: Replace
) -> Iterator[None]:
    """Replace the stream at `start` by `states` in every forward pass inside the block.

    Args:
        trunk: the model without its head.
        sites: its sites with their proofs.
        start: label of the site.
        states: replacing states.
        replace: function that inserts the states into the stream of a pass.
    """
    layer, kind = parse(start)  # the final site has layer -1, the last one
    path = layer_paths(sites)[layer]
    proof = sites.proofs[layer]
    with ExitStack() as hooks:
        if kind == FINAL:
            hooks.callback(_replace_output(trunk.get_submodule(path), states, replace).remove)
        elif kind == "pre_mlp" and proof.kind == "post-norm":
            between = trunk.get_submodule(f"{path}.{proof.between}")
            hooks.callback(_replace_output(between, states, replace).remove)
        else:
            hooks.callback(_replace_input(trunk.get_submodule(path), states, replace).remove)
            if kind == "pre_mlp":
                silence = torch.zeros_like(states)
                for name in proof.branches[0].names:
                    module = trunk.get_submodule(f"{path}.{name}")
                    hooks.callback(_replace_output(module, silence, replace).remove)
        yield


def _replace_input(module: nn.Module, states: Tensor, replace: Replace) -> Any:
    def before(
        _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        stream = input_states(args, kwargs)
        if stream is None:
            return args, kwargs
        replaced = replace(stream, states)
        if "hidden_states" in kwargs:
            return args, {**kwargs, "hidden_states": replaced}
        if first_tensor(args) is not None:
            return with_states(args, replaced), kwargs
        return args, with_states(kwargs, replaced)

    return module.register_forward_pre_hook(own_thread(before), with_kwargs=True)


def _replace_output(module: nn.Module, states: Tensor, replace: Replace) -> Any:
    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        stream = first_tensor(output)
        return output if stream is None else with_states(output, replace(stream, states))

    return module.register_forward_hook(own_thread(after))


def with_states(value: Any, states: Tensor) -> Any:
    """Return the same arguments or result with other states in place of `first_tensor`."""
    if isinstance(value, Tensor):
        return states
    if isinstance(value, dict):
        items = dict(value)
        name = next(key for key, item in items.items() if first_tensor(item) is not None)
        return type(value)({**items, name: with_states(items[name], states)})
    listed = list(value)
    index = next(i for i, item in enumerate(listed) if first_tensor(item) is not None)
    listed[index] = with_states(listed[index], states)
    return type(value)(listed)


def passes_stream_alone(output: Any) -> bool:
    """Return whether a layer's result holds the stream and nothing else for later layers."""
    if isinstance(output, tuple):
        first, *rest = output
        return isinstance(first, Tensor) and all(item is None for item in rest)
    return isinstance(output, Tensor)


@contextmanager
def skipping(layers: Sequence[nn.Module], outputs: Sequence[Any]) -> Iterator[None]:
    """Pass the stream unchanged through these layers inside the block, without running them.

    Args:
        layers: the layers.
        outputs: an earlier result of each layer, as a template of its structure.
    """
    with ExitStack() as stack:
        for layer, output in zip(layers, outputs, strict=True):
            stack.enter_context(forward_replaced(layer, _pass(output)))
        yield


@contextmanager
def forward_replaced(layer: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Replace a layer's forward function inside the block, in the entering thread only."""
    before, had_own = layer.forward, "forward" in layer.__dict__
    owner = threading.get_ident()

    def chosen(*args: Any, **kwargs: Any) -> Any:
        return (forward if threading.get_ident() == owner else before)(*args, **kwargs)

    layer.__dict__["forward"] = chosen
    try:
        yield
    finally:
        if had_own:
            layer.__dict__["forward"] = before
        else:
            layer.__dict__.pop("forward", None)


def _pass(output: Any) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        return with_states(output, input_states(args, kwargs))  # type: ignore[arg-type]

    return forward

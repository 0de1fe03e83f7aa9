"""Put states into the residual stream while a model runs, and leave the model as it was.

A state enters before a layer as that layer's input. It enters before the MLP as the layer's input
with every module of the attention branch silenced, so that the stream after attention is the state
itself, to the last bit; in a post-norm layer as the output of the norm that stands between the two
branches.
Layers before that one need not run: `skipping` lets the stream pass through them.

Not handled: sites named by hand, whose layers have no proof that says what they add.
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

# The stream in, the states that shall stand in it, the stream out.
Replace = Callable[[Tensor, Tensor], Tensor]


def layer_paths(sites: Sites) -> list[str]:
    """The path of every layer within the trunk, in order of depth.

    Raises:
        ModelError: the sites were named by hand, so that nothing is known of the layers.
    """
    if not sites.proofs:
        raise ModelError(
            "these sites were named by hand and their layers are not proved; a flow map needs "
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
    """Let `states` stand in the stream at `start` in every forward pass inside the block.

    Args:
        trunk: the model without its head.
        sites: its sites, with their proofs.
        start: the site.
        states: what shall stand there.
        replace: puts them into the stream of a pass, where they belong.
    """
    layer, kind = parse(start)  # the final site has layer -1: behind the last one
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
        put = replace(stream, states)
        if "hidden_states" in kwargs:
            return args, {**kwargs, "hidden_states": put}
        if first_tensor(args) is not None:
            return with_states(args, put), kwargs
        return args, with_states(kwargs, put)

    return module.register_forward_pre_hook(own_thread(before), with_kwargs=True)


def _replace_output(module: nn.Module, states: Tensor, replace: Replace) -> Any:
    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        stream = first_tensor(output)
        return output if stream is None else with_states(output, replace(stream, states))

    return module.register_forward_hook(own_thread(after))


def with_states(value: Any, states: Tensor) -> Any:
    """The same arguments or result with other states where `first_tensor` finds them."""
    if isinstance(value, Tensor):
        return states
    if isinstance(value, dict):
        items = dict(value)
        place = next(key for key, item in items.items() if first_tensor(item) is not None)
        return type(value)({**items, place: with_states(items[place], states)})
    listed = list(value)
    place = next(at for at, item in enumerate(listed) if first_tensor(item) is not None)
    listed[place] = with_states(listed[place], states)
    return type(value)(listed)


def passes_stream_alone(output: Any) -> bool:
    """Whether a layer's result holds the stream and nothing else that a later layer could need."""
    if isinstance(output, tuple):
        first, *rest = output
        return isinstance(first, Tensor) and all(item is None for item in rest)
    return isinstance(output, Tensor)


@contextmanager
def skipping(layers: Sequence[nn.Module], outputs: Sequence[Any]) -> Iterator[None]:
    """The stream passes unchanged through these layers inside the block, which do not run.

    Args:
        layers: the layers.
        outputs: what each once returned, for the kind of its result.
    """
    with ExitStack() as stack:
        for layer, output in zip(layers, outputs, strict=True):
            stack.enter_context(forward_replaced(layer, _pass(output)))
        yield


@contextmanager
def forward_replaced(layer: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """A layer runs another function inside the block, in the thread that entered it alone."""
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

"""Read states at sites while a model runs, and leave the model as it was.

`reading` is a context manager: its hooks are gone when the block ends, also when entering fails
half way or the forward pass raises. Hooks cost one Python call per site and pass, and copy only
what `keep` selects; nothing of the model's own buffers is held on to.

A hook belongs to the thread that registered it (`own_thread`): the passes of other threads through
the same model are neither read nor changed. `evaluating` makes passes of this package through one
model wait for each other; passes through two models run side by side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

import torch
from torch import Tensor, nn

from transformer_dynamics.model.checks.wrappers import is_compiled, lock_of


@dataclass(frozen=True)
class Site:
    """A place in the residual stream.

    Attributes:
        label: its name, as `7.pre_attn`.
        module: path of the module, within the trunk, at whose edge the stream is read.
        port: whether the stream is that module's input or its output.
    """

    label: str
    module: str
    port: Literal["input", "output"]


class PassEnded(Exception):  # it is no error
    """The last state of interest was read; a hook raises this so that nothing behind it runs."""


def first_tensor(value: Any) -> Tensor | None:
    """The hidden states among a module's arguments or results: the first floating tensor."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for item in value:
            found = first_tensor(item)
            if found is not None:
                return found
    return None


def input_states(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The hidden states that a module receives, by position or by name."""
    if "hidden_states" in kwargs:
        return first_tensor(kwargs["hidden_states"])
    found = first_tensor(args)
    return found if found is not None else first_tensor(kwargs)


def own_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """The same hook, which does nothing in any thread but the one that calls this."""
    owner = threading.get_ident()

    @wraps(hook)
    def bound(*args: Any, **kwargs: Any) -> Any:
        return hook(*args, **kwargs) if threading.get_ident() == owner else None

    bound.of_this_package = True  # type: ignore[attr-defined]
    return bound


@contextmanager
def reading(
    trunk: nn.Module, sites: Sequence[Site], keep: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Call `keep(label, states)` at every site of every forward pass inside the block.

    Args:
        trunk: the model without its head.
        sites: where to read.
        keep: receives the label and the states, `(batch, position, unit)`; it must copy what it
            wants to keep.
    """
    with ExitStack() as hooks:
        for site in sites:
            hooks.callback(_attach(trunk.get_submodule(site.module), site, keep).remove)
        yield


def _attach(module: nn.Module, site: Site, keep: Callable[[str, Tensor], None]) -> Any:
    if site.port == "input":

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states = input_states(args, kwargs)
            if states is not None:
                keep(site.label, states)

        return module.register_forward_pre_hook(own_thread(before), with_kwargs=True)

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        states = first_tensor(output)
        if states is not None:
            keep(site.label, states)

    return module.register_forward_hook(own_thread(after))


@contextmanager
def evaluating(
    model: nn.Module, mode: Callable[[], AbstractContextManager[Any]] = torch.inference_mode
) -> Iterator[None]:
    """Own a model for one pass: dropout off, nothing compiled, autograd as `mode` has it.

    Another thread that enters for the same model waits. Every module's mode is restored at the end.
    A surrounding `torch.inference_mode` is suspended inside the block.

    Args:
        model: the model.
        mode: the state of autograd: `torch.no_grad` for tensors that are to meet gradients later,
            `torch.enable_grad` for gradients.
    """
    with lock_of(model), ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(mode())
        if is_compiled(model):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_named_outputs(getattr(model, "config", None)))
        training = [module for module in model.modules() if module.training]
        try:
            for module in training:
                module.training = False
            yield
        finally:
            for module in training:
                module.training = True


@contextmanager
def _named_outputs(config: Any) -> Iterator[None]:
    """Outputs have names inside the block; a head reads its trunk's output by name."""
    if getattr(config, "return_dict", True):
        yield
        return
    config.return_dict = True
    try:
        yield
    finally:
        config.return_dict = False

"""Read states at sites while a model runs, and leave the model unchanged.

`reading` is a context manager that removes its hooks at the end of the block, also if entering
fails half way or the forward pass raises. Hooks cost one Python call per site and pass; they copy
only what `keep` selects and hold no buffers of the model.

A hook belongs to the thread that registered it (`own_thread`): passes of other threads through the
same model are neither read nor changed. `evaluating` serializes this package's passes through one
model; passes through two models run in parallel.
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

from transformer_dynamics.model.checks.wrappers import holds_compiled, lock_of, modules_of


@dataclass(frozen=True)
class Site:
    """A site of the residual stream.

    Attributes:
        label: name of the site, such as `7.pre_attn`.
        module: path, within the trunk, of the module at which the stream is read.
        port: side of that module: `input` or `output`.
    """

    label: str
    module: str
    port: Literal["input", "output"]


class PassEnded(Exception):  # not an error
    """Raised by a hook after the last needed state, so that later layers do not run."""


def first_tensor(value: Any) -> Tensor | None:
    """Return the hidden states among a module's arguments or results: the first floating tensor."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for item in value:
            tensor = first_tensor(item)
            if tensor is not None:
                return tensor
    return None


def input_states(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return the hidden states that a module receives, by position or by name."""
    if "hidden_states" in kwargs:
        return first_tensor(kwargs["hidden_states"])
    states = first_tensor(args)
    return states if states is not None else first_tensor(kwargs)


def own_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Restrict a hook to the thread that calls this function."""
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
        sites: sites to read.
        keep: function of the label and the states, `(batch, position, unit)`; it must copy the
            states that it keeps.
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
    """Lock a model for one pass: dropout off, nothing compiled, autograd set by `mode`.

    Another thread that enters for the same model waits. Every module's mode is restored at the end.
    A surrounding `torch.inference_mode` is suspended inside the block.

    Args:
        model: the model.
        mode: state of autograd: `torch.no_grad` for tensors that are used with gradients later,
            `torch.enable_grad` for gradients.
    """
    with lock_of(model), ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(mode())
        modules = modules_of(model)
        if holds_compiled(modules):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_named_outputs(getattr(model, "config", None)))
        training = [module for module in modules if module.training]
        try:
            for module in training:
                module.training = False
            yield
        finally:
            for module in training:
                module.training = True


@contextmanager
def _named_outputs(config: Any) -> Iterator[None]:
    """Make outputs named inside the block, since a head reads its trunk's output by name."""
    if getattr(config, "return_dict", True):
        yield
        return
    config.return_dict = True
    try:
        yield
    finally:
        config.return_dict = False

"""Derivatives of a model, also inside `torch.inference_mode`, with a check that they exist.

A layer of packed integers passes no gradient on. Autograd then returns the derivative of the
residual connection around it, a plausible but wrong number. One short pass therefore checks that
every linear layer that receives gradients passes them on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.wrappers import trunk_of
from transformer_dynamics.model.hooks import evaluating, first_tensor, input_states, own_thread
from transformer_dynamics.model.probe import probe_tokens

# Messages of torch for operations without a derivative.
NO_DERIVATIVE = re.compile(r"does not require grad|[Ii]nference tensor|derivative|forward AD")
LINEAR = ("Linear", "Conv1D")


@contextmanager
def differentiating(hf_model: nn.Module) -> Iterator[None]:
    """Allow derivatives of a model inside the block, also within `torch.inference_mode`.

    Raises:
        ModelError: the model has none: its weights were created in inference mode, or its layers
            (packed integers, custom kernels) define no derivative.
    """
    with torch.inference_mode(False):
        try:
            yield
        except (RuntimeError, NotImplementedError) as error:
            if not NO_DERIVATIVE.search(str(error)):
                raise
            raise _refusal(hf_model, str(error).splitlines()[0]) from error


def require_derivatives(hf_model: Any) -> None:
    """Check on a few tokens that gradients pass through every linear layer.

    Raises:
        ModelError: a layer passes no gradient on; it is named.
    """
    trunk = trunk_of(hf_model)
    with (
        differentiating(hf_model),
        evaluating(hf_model, torch.enable_grad),
        _watching(trunk) as blocking,
        requiring_gradients(hf_model.get_input_embeddings()),
    ):
        output = first_tensor(trunk(input_ids=probe_tokens(hf_model)[:1], use_cache=False))
    if blocking:
        raise _refusal(hf_model, f"{blocking[0]} passes no gradient on")
    if output is not None and _lacks_a_derivative(output):
        raise _refusal(hf_model, "an operation in it has no derivative")


def _lacks_a_derivative(output: Tensor) -> bool:
    """Return whether a result depends on an operation without a backward pass."""
    pending, seen = [output.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        if "NotImplemented" in node.name():
            return True
        seen.add(node)
        pending += [before for before, _ in node.next_functions]
    return False


@contextmanager
def requiring_gradients(embedding: nn.Module) -> Iterator[None]:
    """Let the output of a module require gradients inside the block, even with frozen weights."""

    def after(_: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output if output.requires_grad else output.requires_grad_()

    hook = embedding.register_forward_hook(own_thread(after))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _watching(trunk: nn.Module) -> Iterator[list[str]]:
    """Yield a list that collects linear layers which receive gradients and pass none on."""
    blocking: list[str] = []

    def watch(name: str) -> Any:
        def after(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            entering, leaving = input_states(args, kwargs), first_tensor(output)
            if entering is None or leaving is None:
                return
            if entering.requires_grad and not leaving.requires_grad:
                blocking.append(name)

        return own_thread(after)

    with ExitStack() as hooks:
        for name, module in trunk.named_modules():
            kinds = " ".join(kind.__name__ for kind in type(module).__mro__)
            if any(linear in kinds for linear in LINEAR):
                hook = module.register_forward_hook(watch(name), with_kwargs=True)
                hooks.callback(hook.remove)
        yield blocking


def _refusal(hf_model: nn.Module, seen: str) -> ModelError:
    return ModelError(
        f"{type(hf_model).__name__} has no derivatives ({seen}); they need floating-point "
        "weights that were loaded outside of torch.inference_mode(): "
        "td.load_model(name, dtype='float32')"
    )

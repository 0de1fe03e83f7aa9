"""Derivatives of a model: taken also inside `torch.inference_mode`, refused where there are none.

A layer of packed integers passes no gradient on. What autograd then returns is the derivative of
the residual connection around it alone, a number that looks right; so one short pass shows whether
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

# How torch says that something has no derivative.
NO_DERIVATIVE = re.compile(r"does not require grad|[Ii]nference tensor|derivative|forward AD")
LINEAR = ("Linear", "Conv1D")


@contextmanager
def differentiating(hf_model: nn.Module) -> Iterator[None]:
    """Derivatives of a model are taken inside the block, also within `torch.inference_mode`.

    Raises:
        ModelError: the model has none: its weights were made in inference mode, or its layers
            (packed integers, custom kernels) know no derivative.
    """
    with torch.inference_mode(False):
        try:
            yield
        except (RuntimeError, NotImplementedError) as error:
            if not NO_DERIVATIVE.search(str(error)):
                raise
            raise _refusal(hf_model, str(error).splitlines()[0]) from error


def require_derivatives(hf_model: Any) -> None:
    """Run a few tokens and see that gradients pass through every linear layer.

    Raises:
        ModelError: they do not; names the layer.
    """
    trunk = trunk_of(hf_model)
    with (
        differentiating(hf_model),
        evaluating(hf_model, torch.enable_grad),
        _watching(trunk) as stopped,
        requiring_gradients(hf_model.get_input_embeddings()),
    ):
        output = first_tensor(trunk(input_ids=probe_tokens(hf_model)[:1], use_cache=False))
    if stopped:
        raise _refusal(hf_model, f"{stopped[0]} passes no gradient on")
    if output is not None and _lacks_a_derivative(output):
        raise _refusal(hf_model, "an operation in it has no derivative")


def _lacks_a_derivative(output: Tensor) -> bool:
    """Whether a result went through an operation of which autograd has no backward pass."""
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
    """The output of a module takes gradients, also where its weights are frozen."""

    def after(_: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output if output.requires_grad else output.requires_grad_()

    hook = embedding.register_forward_hook(own_thread(after))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _watching(trunk: nn.Module) -> Iterator[list[str]]:
    """Paths of the linear layers whose input takes gradients and whose output does not."""
    stopped: list[str] = []

    def watch(name: str) -> Any:
        def after(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            entering, leaving = input_states(args, kwargs), first_tensor(output)
            if entering is None or leaving is None:
                return
            if entering.requires_grad and not leaving.requires_grad:
                stopped.append(name)

        return own_thread(after)

    with ExitStack() as hooks:
        for name, module in trunk.named_modules():
            kinds = " ".join(kind.__name__ for kind in type(module).__mro__)
            if any(linear in kinds for linear in LINEAR):
                hook = module.register_forward_hook(watch(name), with_kwargs=True)
                hooks.callback(hook.remove)
        yield stopped


def _refusal(hf_model: nn.Module, seen: str) -> ModelError:
    return ModelError(
        f"{type(hf_model).__name__} has no derivatives here ({seen}); they need weights in "
        "floating point that were loaded outside of torch.inference_mode(): "
        "td.load_model(name, dtype='float32')"
    )

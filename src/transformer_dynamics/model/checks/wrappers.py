"""The model inside its wrappers: `torch.compile`, adapters of peft, a head.

A compiled model is a module around the model; its passes run without compilation (`evaluating`),
since a hook inside a compiled region would be compiled with it. Adapters (LoRA and similar) are
part of the layers that they adapt, so a pass through the inner model includes them.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from transformer_dynamics.errors import InputError, ModelError


def unwrapped(hf_model: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`; other modules are returned unchanged."""
    while isinstance(inner := hf_model._modules.get("_orig_mod"), nn.Module):
        hf_model = inner
    return hf_model


def without_adapters(hf_model: nn.Module) -> nn.Module:
    """Return the transformers model inside a compiled or peft model; its layers keep adapters."""
    model = unwrapped(hf_model)
    base = getattr(model, "get_base_model", None)
    return unwrapped(base()) if callable(base) else model


def trunk_of(hf_model: nn.Module) -> nn.Module:
    """Return the model without its head, from token ids to the last hidden state.

    Raises:
        ModelError: the model has no such part.
    """
    model = without_adapters(hf_model)
    trunk = getattr(model, "base_model", model)
    if not isinstance(trunk, nn.Module):
        raise ModelError(f"{type(hf_model).__name__} has no base model; pass a PreTrainedModel")
    return unwrapped(trunk)


def holds_compiled(modules: Iterable[nn.Module]) -> bool:
    """Return whether one of a model's modules would run compiled code."""
    return any(
        "_orig_mod" in module._modules or module._compiled_call_impl is not None
        for module in modules
    )


def modules_of(root: nn.Module) -> list[nn.Module]:
    """Return a module and all modules in it, in no particular order.

    `nn.Module.modules` is a recursive generator, whose time exceeds that of a short pass.
    """
    found, pending = {id(root): root}, [root]
    while pending:
        for module in pending.pop()._modules.values():
            if module is not None and id(module) not in found:
                found[id(module)] = module
                pending.append(module)
    return list(found.values())


def vocabulary_size(hf_model: Any) -> int | None:
    """Return the number of tokens that the head predicts; None without such a head."""
    head = hf_model.get_output_embeddings()
    if head is None:
        return None
    size = getattr(head, "out_features", None)
    return int(head.weight.shape[0] if size is None else size)


def logits_of(hf_model: Any, output: Any) -> Tensor:
    """Logits `(text, position, token)` in the output of a model, which may be a tuple.

    Raises:
        InputError: the model has no head that predicts tokens.
    """
    size = vocabulary_size(hf_model)
    logits = output[0] if isinstance(output, tuple) else getattr(output, "logits", None)
    if size is None or not isinstance(logits, Tensor) or logits.shape[-1] != size:
        raise InputError(
            f"{type(hf_model).__name__} has no head that predicts tokens; load the "
            "model with its head, as AutoModelForCausalLM does"
        )
    return logits


_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_guard = threading.Lock()


def lock_of(hf_model: nn.Module) -> threading.RLock:
    """Return the lock of passes through a model; models with the same trunk share it."""
    trunk = trunk_of(hf_model)
    with _guard:
        return _locks.setdefault(trunk, threading.RLock())


def _forget_locks() -> None:
    """Reset all locks in a forked child, which has none of the threads that may hold one."""
    global _guard
    _guard = threading.Lock()
    _locks.clear()


os.register_at_fork(after_in_child=_forget_locks)

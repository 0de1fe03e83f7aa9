"""Identity of a computation: configuration, hooks and adapters of a model.

The weights are hashed in `tensors`.

Everything is read at every call and nothing is cached, so that weights trained in place, an added
hook or an adapter switched off give another identity.

Limits: code that was replaced without a trace in the module (a monkey-patched function) is not
detected; a recording therefore keeps a fingerprint of states, which is recomputed before it is
reused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from transformer_dynamics.model.checks.wrappers import unwrapped

# Attributes that change when the model runs, or without effect in evaluation.
UNRELATED = {"training", "gradient_checkpointing", "max_seq_len_cached", "call_super_init"}
# Entries of a configuration on its origin and its outputs, without effect on the states.
UNRELATED_CONFIG = {
    "_name_or_path", "architectures", "dtype", "output_attentions", "output_hidden_states",
    "return_dict", "torch_dtype", "transformers_version", "use_cache",
}  # fmt: skip
# Hooks of these libraries are part of the loaded model.
LIBRARIES = ("accelerate.", "torch.", "transformers.")


def structure_hash(hf_model: Any) -> str:
    """Return the SHA-256 of the configuration and of all modules' classes and plain attributes."""
    config = hf_model.config.to_dict()
    described = {key: value for key, value in config.items() if key not in UNRELATED_CONFIG}
    modules = {
        name: [type(module).__qualname__, _plain_attributes(module)]
        for name, module in unwrapped(hf_model).named_modules()
    }
    canonical = json.dumps([described, modules], sort_keys=True, default=_named, skipkeys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def foreign_hooks(hf_model: Any) -> list[str]:
    """List hooks of other code that run in the passes of this package, as `module: function`."""
    global_hooks = [
        *torch.nn.modules.module._global_forward_hooks.values(),
        *torch.nn.modules.module._global_forward_pre_hooks.values(),
    ]
    foreign = [f"every module: {_called(hook)}" for hook in global_hooks if _is_foreign(hook)]
    for name, module in unwrapped(hf_model).named_modules():
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        foreign += [f"{name or 'model'}: {_called(hook)}" for hook in hooks if _is_foreign(hook)]
    return foreign


def active_adapters(hf_model: Any) -> list[str]:
    """List the active adapters (peft) by name; a merged one is `NAME (merged)`."""
    active_names: set[str] = set()
    module: Any
    for module in unwrapped(hf_model).modules():
        if not hasattr(module, "disable_adapters") or not hasattr(module, "merged_adapters"):
            continue
        merged = set(module.merged_adapters)
        active_names |= {f"{name} (merged)" for name in merged}
        if not module.disable_adapters:
            active = module.active_adapters
            active_names |= set([active] if isinstance(active, str) else active) - merged
    return sorted(active_names)


def _called(hook: Any) -> str:
    while isinstance(hook, partial):
        hook = hook.func
    return str(getattr(hook, "__qualname__", type(hook).__qualname__))


def _is_foreign(hook: Any) -> bool:
    if getattr(hook, "of_this_package", False):
        return False
    while isinstance(hook, partial):
        hook = hook.func
    home = getattr(hook, "__module__", None) or type(hook).__module__
    return not f"{home}.".startswith(LIBRARIES)


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in UNRELATED and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def _named(value: Any) -> str:
    """Describe a value that JSON cannot hold by its contents, or else by its type."""
    if isinstance(value, set | frozenset):
        return str(sorted(map(str, value)))
    if hasattr(value, "to_dict"):
        return json.dumps(value.to_dict(), sort_keys=True, default=_named, skipkeys=True)
    return str(value) if isinstance(value, torch.dtype) else type(value).__qualname__

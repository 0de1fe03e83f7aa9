"""Identity of a computation: tensors, configuration, hooks and adapters of a model.

Everything is read when it is asked for and nothing is kept, so that weights trained in place, a
hook added or an adapter switched off give another identity. Tensors are found in the state
dictionary of every module (packed and quantized ones included), among its parameters and buffers,
and in its plain attributes.

Cost: one SHA-256 pass over all weights, tensors side by side in threads.

Not seen: code that was replaced without a trace in the module (a monkey-patched function); for that
a recording keeps a fingerprint of states, which is run again before it is reused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.wrappers import unwrapped

# Attributes that running a model changes, or that change nothing in evaluation.
UNRELATED = {"training", "gradient_checkpointing", "max_seq_len_cached", "call_super_init"}
# Entries of a configuration that say where it is from and what is returned, not what is computed.
UNRELATED_CONFIG = {
    "_name_or_path", "architectures", "dtype", "output_attentions", "output_hidden_states",
    "return_dict", "torch_dtype", "transformers_version", "use_cache",
}  # fmt: skip
# Hooks of these are part of the model as it was loaded.
LIBRARIES = ("accelerate.", "torch.", "transformers.")


def weight_hash(hf_model: Any) -> str:
    """SHA-256 over the names, shapes, dtypes and bytes of all tensors, wherever they lie.

    Raises:
        ModelError: a tensor has no values (it lies on the meta device).
    """
    hasher = hashlib.sha256()
    for name, digest in sorted(_digests(hf_model)):
        hasher.update(f"{name} {digest}\n".encode())
    return hasher.hexdigest()


def structure_hash(hf_model: Any) -> str:
    """SHA-256 over the configuration, and over the classes and plain attributes of all modules."""
    config = hf_model.config.to_dict()
    described = {key: value for key, value in config.items() if key not in UNRELATED_CONFIG}
    modules = {
        name: [type(module).__qualname__, _plain_attributes(module)]
        for name, module in unwrapped(hf_model).named_modules()
    }
    canonical = json.dumps([described, modules], sort_keys=True, default=_named, skipkeys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def foreign_hooks(hf_model: Any) -> list[str]:
    """Hooks that somebody registered and the passes of this package run: `module: function`."""
    everywhere = [
        *torch.nn.modules.module._global_forward_hooks.values(),
        *torch.nn.modules.module._global_forward_pre_hooks.values(),
    ]
    found = [f"every module: {_called(hook)}" for hook in everywhere if _is_foreign(hook)]
    for name, module in unwrapped(hf_model).named_modules():
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        found += [f"{name or 'model'}: {_called(hook)}" for hook in hooks if _is_foreign(hook)]
    return found


def active_adapters(hf_model: Any) -> list[str]:
    """Names of the adapters (peft) that are switched on; `NAME (merged)` where it is merged."""
    found: set[str] = set()
    module: Any
    for module in unwrapped(hf_model).modules():
        if not hasattr(module, "disable_adapters") or not hasattr(module, "merged_adapters"):
            continue
        merged = set(module.merged_adapters)
        found |= {f"{name} (merged)" for name in merged}
        if not module.disable_adapters:
            active = module.active_adapters
            found |= set([active] if isinstance(active, str) else active) - merged
    return sorted(found)


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
    """Describe a value that JSON cannot hold: by its contents, or else by its type."""
    if isinstance(value, set | frozenset):
        return str(sorted(map(str, value)))
    if hasattr(value, "to_dict"):
        return json.dumps(value.to_dict(), sort_keys=True, default=_named, skipkeys=True)
    return str(value) if isinstance(value, torch.dtype) else type(value).__qualname__


def _digests(hf_model: Any) -> Iterator[tuple[str, str]]:
    """Name and digest of every tensor, those brought in for the moment that lie elsewhere."""
    at_hand = []
    for path, module in unwrapped(hf_model).named_modules():
        with _aligned(module) as moved:
            tensors = list(_tensors(path, module))
            if moved:
                yield from ((name, _digest(name, tensor)) for name, tensor in tensors)
            else:
                at_hand += tensors
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(lambda item: (item[0], _digest(*item)), at_hand)


def _tensors(path: str, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Tensors of one module alone, each under the names by which it is reached."""
    saved: dict[str, Any] = {}
    # The one place where a module says what it holds beyond parameters and buffers.
    module._save_to_state_dict(saved, f"{path}.", keep_vars=True)
    named = {f"{path}.{name}": value for name, value in vars(module).items() if name[:1] != "_"}
    named |= {f"{path}.{name}": value for name, value in module._parameters.items()}
    named |= {f"{path}.{name}": value for name, value in module._buffers.items()}
    yield from _flattened({**named, **saved})


def _flattened(named: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, value in named.items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, list | tuple):
            yield from _flattened({f"{name}.{place}": each for place, each in enumerate(value)})
        elif isinstance(value, Mapping):
            yield from _flattened({f"{name}.{key}": each for key, each in value.items()})


@torch.inference_mode(False)
@torch.no_grad()
def _digest(name: str, tensor: Tensor) -> str:
    if tensor.is_meta:
        raise ModelError(
            f"the tensor {name} has no values (it lies on the meta device); load the model with "
            "its weights: td.load_model(folder, device='cpu')"
        )
    hasher = hashlib.sha256(f"{tuple(tensor.shape)} {tensor.dtype}\n".encode())
    for part in _parts(tensor.detach()):
        flat = part.cpu().contiguous().reshape(-1)
        hasher.update(flat.view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def _parts(tensor: Tensor) -> Sequence[Tensor]:
    """The plain tensors that a packed, quantized or sparse one consists of."""
    if hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        return [part for name in names for part in _parts(getattr(tensor, name))]
    if tensor.is_quantized:
        if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            return [tensor.int_repr(), torch.tensor([tensor.q_scale(), tensor.q_zero_point()])]
        return [
            tensor.int_repr(), tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
        ]  # fmt: skip
    if tensor.layout != torch.strided:
        return [tensor.to_dense()]
    return [tensor]


@contextmanager
def _aligned(module: nn.Module) -> Iterator[bool]:
    """Weights that accelerate keeps elsewhere are at hand inside the block; whether there are."""
    if not hasattr(module, "_hf_hook"):
        yield False
        return
    from accelerate.utils import align_module_device

    with align_module_device(module):
        yield True

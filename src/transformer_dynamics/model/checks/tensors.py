"""SHA-256 over all tensors of a model.

Tensors are collected from the state dictionary of every module (packed and quantized ones
included), from its parameters and buffers, and from its plain attributes.

Cost: one SHA-256 pass over all weights, with tensors in parallel threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.wrappers import unwrapped
from transformer_dynamics.numerics.parallel import n_cores


def weight_hash(hf_model: Any) -> str:
    """Return the SHA-256 of names, shapes, dtypes and bytes of all tensors, on any device.

    Raises:
        ModelError: a tensor has no values because it lies on the meta device.
    """
    hasher = hashlib.sha256()
    for name, digest in sorted(_digests(hf_model)):
        hasher.update(f"{name} {digest}\n".encode())
    return hasher.hexdigest()


def _digests(hf_model: Any) -> Iterator[tuple[str, str]]:
    """Yield name and digest of every tensor; offloaded tensors are loaded temporarily."""
    resident = []
    for path, module in unwrapped(hf_model).named_modules():
        with _aligned(module) as moved:
            tensors = list(_tensors(path, module))
            if moved:
                yield from ((name, _digest(name, tensor)) for name, tensor in tensors)
            else:
                resident += tensors
    with ThreadPoolExecutor(n_cores()) as pool:
        yield from pool.map(lambda item: (item[0], _digest(*item)), resident)


def _tensors(path: str, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of one module without its children, under all their names."""
    saved: dict[str, Any] = {}
    # Packed and quantized modules list their tensors only in this method.
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
            yield from _flattened({f"{name}.{index}": each for index, each in enumerate(value)})
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
    """Return the plain tensors inside a packed, quantized or sparse one."""
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
    """Load weights that accelerate has offloaded for the block; yield whether there are any."""
    if not hasattr(module, "_hf_hook"):
        yield False
        return
    from accelerate.utils import align_module_device

    with align_module_device(module):
        yield True

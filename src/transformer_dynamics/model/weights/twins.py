"""Build a model of the same architecture with freshly initialized weights.

Random numbers come from the twin's own generator, in this thread only: the caller's random state is
neither read nor changed, and a seed gives the same bits whatever other threads draw.
"""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from transformer_dynamics.errors import InputError, ModelError
from transformer_dynamics.model.checks.wrappers import without_adapters
from transformer_dynamics.model.weights.checkpoints import quiet_transformers


class _OwnRandomness(TorchDispatchMode):
    """Let every random operation of this thread draw from one generator inside the block."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        options = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags and options.get("generator") is None:
            func = _with_generator(func)
            options["generator"] = self._generator
        return func(*args, **options)


def _with_generator(func: Any) -> Any:
    """Return the overload of a random operation that takes a generator."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    packet = func.overloadpacket
    name = "generator" if func._overloadname == "default" else f"generator_{func._overloadname}"
    if name not in packet.overloads():
        raise ModelError(
            f"weights are initialized with {func}, which takes no generator, so the "
            "untrained twin could not be reproduced; initialize it yourself: "
            "td.load_model(type(hf_model)(hf_model.config))"
        )
    return getattr(packet, name)


def untrained_model(hf_model: Any, seed: int) -> Any:
    """Return a model of the same class and configuration with new weights, on the CPU.

    The twin of a compiled model is not compiled, the twin of an adapted model has no adapters, and
    the twin of a quantized model is in floating point.

    Args:
        hf_model: the model.
        seed: seed of the initialization.

    Raises:
        ModelError: the class cannot be built from its configuration alone.
        InputError: the seed is not a whole number.
    """
    try:
        own_seed = operator.index(seed)
    except TypeError:
        raise InputError(f"got seed={seed!r}; a seed is a whole number: seed=0") from None
    inner: Any = without_adapters(hf_model)
    config = copy.deepcopy(inner.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    dtype = inner.dtype if inner.dtype.is_floating_point else torch.float32
    try:
        with torch.inference_mode(False), quiet_transformers(), _OwnRandomness(own_seed):
            twin = type(inner)(config)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ModelError(
            f"no untrained twin: {type(inner).__name__}(config) fails ({type(error).__name__}: "
            f"{error}); the class of the model must accept its configuration alone: "
            "td.load_model(your_untrained_model)"
        ) from error
    with torch.inference_mode(False):
        return twin.to(dtype=dtype).eval()

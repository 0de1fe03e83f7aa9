"""The same architecture with weights as they are initialized before training.

Random numbers come from a generator of the twin's own, in this thread alone: the caller's random
state is neither read nor changed, and one seed gives the same bits whatever other threads draw.
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
    """Every random operation of this thread inside the block draws from one generator."""

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
    """The form of a random operation that takes a generator."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    packet = func.overloadpacket
    name = "generator" if func._overloadname == "default" else f"generator_{func._overloadname}"
    if name not in packet.overloads():
        raise ModelError(
            f"weights are initialized with {func}, which takes no generator of its own; the "
            "untrained twin of this model would not be the same twice"
        )
    return getattr(packet, name)


def untrained_model(hf_model: Any, seed: int) -> Any:
    """A model of the same class and configuration, initialized anew, on the CPU.

    A compiled model's twin is not compiled, an adapted one's has no adapters, and a quantized one's
    is in floating point.

    Raises:
        ModelError: the class cannot be built from its configuration alone.
        InputError: the seed is no whole number.
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
            f"{error}); the class of the model is built from its configuration alone"
        ) from error
    return twin.to(dtype=dtype).eval()

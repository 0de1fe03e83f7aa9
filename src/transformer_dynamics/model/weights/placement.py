"""Precision and devices of a model's weights."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any

import torch

from transformer_dynamics.errors import ModelError

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
SPREAD = ("balanced", "balanced_low_0", "sequential")
MAPS = ("auto", *SPREAD)


def require_as_built(
    hf_model: Any,
    device: str | torch.device | Mapping[str, Any],
    dtype: Any,
    attention: str | None,
) -> None:
    """Refuse a device, precision or attention that differs from those of a model in memory.

    The defaults of `load_model` require nothing.

    Raises:
        ModelError: an option differs.
    """
    first = next(hf_model.parameters(), None)
    if first is None:
        return
    actual = {
        "device": str(first.device),
        "dtype": str(first.dtype).removeprefix("torch."),
        "attention": getattr(getattr(hf_model, "config", None), "_attn_implementation", None),
    }
    required = {
        "device": None if device == "auto" else str(device),
        "dtype": None if str(dtype) == "float32" else str(dtype).removeprefix("torch."),
        "attention": attention,
    }
    differing = [
        f"{name}={value!r} (the model has {actual[name]!r})"
        for name, value in required.items()
        if value is not None and value != actual[name] and actual[name] != f"{value}:0"
    ]
    if differing:
        raise ModelError(
            f"got a model in memory and {', '.join(differing)}; such a model is used unchanged: "
            "convert it first with model.to('cuda') or model.to(torch.bfloat16), or load it by name"
        )


def device_map_of(device: Any, device_map: Any) -> str | Mapping[str, Any] | None:
    """Return the distribution over devices that `device` or `device_map` names; None for neither.

    Raises:
        ModelError: both are given, or the distribution is unknown.
    """
    if device_map is None:
        return device if isinstance(device, Mapping) or device in SPREAD else None
    if not (isinstance(device, str) and device == "auto"):
        raise ModelError(
            f"got device={device!r} and device_map={device_map!r}; give one of them: "
            "td.load_model(name, options=td.ModelOptions(device_map='auto'))"
        )
    if not isinstance(device_map, Mapping) and device_map not in MAPS:
        raise ModelError(
            f"got device_map={device_map!r}; allowed are {', '.join(MAPS)}, or a mapping from "
            "module to device: td.ModelOptions(device_map='auto')"
        )
    spread: str | Mapping[str, Any] = device_map
    return spread


def placement_options(
    dtype: Any,
    device: str | torch.device | Mapping[str, Any],
    attention: str | None,
    device_map: str | Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the options of `from_pretrained` for precision, devices and attention.

    Args:
        dtype: precision of the weights.
        device: device, where the weights are not distributed.
        attention: attention implementation.
        device_map: distribution over devices, or None.

    Raises:
        ModelError: the precision is unknown or a device cannot be used.
    """
    chosen = precision_options(dtype, attention)
    if device_map is not None:
        return chosen | _device_map(device_map)
    device_of(device)
    return chosen


def precision_options(dtype: Any, attention: str | None) -> dict[str, Any]:
    """Return the options of transformers for precision and attention.

    Raises:
        ModelError: the precision is unknown.
    """
    known = DTYPES.get(str(dtype).removeprefix("torch."))
    if known is None:
        raise ModelError(f"got dtype {dtype!r}; allowed are {', '.join(DTYPES)}: dtype='float32'")
    chosen: dict[str, Any] = {"dtype": known}
    if attention is not None:
        chosen["attn_implementation"] = attention
    return chosen


def accelerators(device_map: str | Mapping[str, Any]) -> torch.device:
    """Return the type of the devices over which weights that are not loaded are distributed.

    Raises:
        ModelError: a mapping, whose devices would have to be counted one by one.
    """
    if isinstance(device_map, str):
        return torch.device("cuda")
    raise ModelError(
        f"got a mapping from {len(device_map)} modules to devices for a model without weights; "
        f"allowed are {', '.join(MAPS)}, for all accelerators together: "
        "td.ModelOptions(device_map='auto', weights=False)"
    )


def _device_map(device_map: Any) -> dict[str, Any]:
    """Return the options of transformers that distribute the weights over devices."""
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"device_map={device_map!r} distributes the weights over devices, which needs the "
            "package accelerate: pip install 'transformer-dynamics[gguf]'"
        ) from error
    if isinstance(device_map, str):
        given: str | dict[str, Any] = device_map
    else:
        given = dict(device_map)
    options: dict[str, Any] = {"device_map": given}
    # "auto" may choose the disk where the memory of all devices does not suffice.
    if given == "auto" or (isinstance(given, dict) and "disk" in given.values()):
        folder = tempfile.mkdtemp(prefix="tdyn-offload-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        options["offload_folder"] = folder
    return options


def device_of(device: Any) -> torch.device:
    """Return the torch device of a name, after a test that it can be used.

    Raises:
        ModelError: the device does not exist or cannot be used on this machine.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        usable = torch.device(device)
        torch.empty(0, device=usable)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelError(
            f"the device {device!r} cannot be used on this machine ({str(error).splitlines()[0]}); "
            "use device='cpu' or device='auto'"
        ) from error
    return usable

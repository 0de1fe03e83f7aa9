"""Load a language model: hub id, folder, GGUF file, the bundled default, or a model in memory.

A `Model` holds the Hugging Face model and its tokenizer. The sites of its residual stream are found
and proved at first use. Weights are never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.model.weights.architectures import auto_class
from transformer_dynamics.model.weights.checkpoints import called, quiet_transformers, with_weights
from transformer_dynamics.model.weights.origin import ALLOWED, BUNDLED, is_hub_id, locate
from transformer_dynamics.model.weights.placement import (
    accelerators,
    device_map_of,
    device_of,
    placement_options,
    precision_options,
    require_as_built,
)
from transformer_dynamics.model.weights.weightless import REFUSAL, weightless_model


@dataclass(frozen=True)
class ModelOptions:
    """Rare options of `td.load_model`.

    Attributes:
        attention: attention implementation by its name in transformers; by default the choice of
            transformers.
        device_map: distribution of the weights over devices, as the `device_map` of transformers:
            `"auto"`, `"balanced"`, `"sequential"`, or a mapping from module to device, where
            `"cpu"` and `"disk"` hold what the accelerators cannot. It replaces `device`.
        trust_remote_code: permission for a hub repository to run its own code.
        weights: whether to load the weights. Without them, a model is its configuration and
            tokenizer, of which a recording is planned for a stated throughput (`td.plan`), on a
            device that this machine need not have.
    """

    attention: str | None = None
    device_map: str | Mapping[str, Any] | None = None
    trust_remote_code: bool = False
    weights: bool = True


DEFAULTS = ModelOptions()


def as_model(model: Any) -> Model:
    """Return a `Model` unchanged, and load anything else with `load_model`.

    Raises:
        ModelError: the argument is nothing that `load_model` takes, or a model without weights.
    """
    if isinstance(model, Model) and not model.has_weights:
        raise ModelError(REFUSAL)
    return model if isinstance(model, Model) else load_model(model)


def load_model(
    model: str | Path | Any = BUNDLED,
    *,
    revision: str | None = None,
    device: str | torch.device | Mapping[str, Any] = "auto",
    dtype: str = "float32",
    tokenizer: Any = None,
    offline: bool = False,
    sites: Mapping[str, str] | None = None,
    options: ModelOptions = DEFAULTS,
) -> Model:
    """Load a model.

    Args:
        model: `"smollm2-135m"` (bundled), a hub id, a folder, a `.gguf` file, or a model in memory,
            which is used unchanged.
        revision: branch, tag or commit of a hub id; kept in provenance.
        device: `"auto"` (CUDA if present, else the CPU) or any torch device; to distribute the
            weights over several devices, `"balanced"`, `"sequential"` or a mapping from module to
            device, as the `device_map` of transformers.
        dtype: `float32` (default), `bfloat16`, `float16` or `float64`.
        tokenizer: tokenizer that replaces the model's own.
        offline: whether the network is forbidden.
        sites: sites of the residual stream named by hand, in order of depth, for a model in which
            they are not found: `{"0.pre_attn": "layers.0:input", ..., "final":
            "layers.11:output"}`, with paths relative to the model without its head.
        options: attention implementation, distribution over devices, permission to run remote
            code, and whether weights are loaded.

    Raises:
        ModelError: the model does not exist or cannot be reached, its files are broken, or weights
            are missing or left over.
    """
    spread = device_map_of(device, options.device_map)
    if revision is not None and not is_hub_id(model) and not isinstance(model, Model):
        raise ModelError(
            f"got revision={revision!r} for a model that is not a hub id; omit the revision, or "
            "name the hub id: td.load_model('openai-community/gpt2', revision='main')"
        )
    if not isinstance(model, str | Path):
        used = _in_memory(model, tokenizer, sites, weights=options.weights)
        require_as_built(used.hf_model, spread or device, dtype, options.attention)
        return used
    source: dict[str, Any]
    source = {"local_files_only": offline, "trust_remote_code": options.trust_remote_code}
    source |= {} if revision is None else {"revision": revision}
    if not options.weights:
        kept = precision_options(dtype, options.attention)
        on = device if spread is None else accelerators(spread)
        return weightless_model(model, on, kept, source, tokenizer=tokenizer, sites=sites)
    placement = placement_options(dtype, device, options.attention, spread)
    loaded = _from_files(str(model), tokenizer, sites, device, placement, source)
    given = {"revision": revision, "device": device, "dtype": dtype, "tokenizer": tokenizer}
    given |= {"offline": offline, "sites": sites, "options": options}
    return replace(loaded, arguments={"model": _found_again(model), **given})


def _found_again(model: str | Path) -> str:
    """Name or path under which a process with another working folder finds the model."""
    path = Path(model).expanduser()
    return str(path.resolve()) if model != BUNDLED and path.exists() else str(model)


def _in_memory(
    model: Any, tokenizer: Any, sites: Mapping[str, str] | None, *, weights: bool
) -> Model:
    """A model in memory with the tokenizer and the sites that are given; a `Model` unchanged."""
    if not isinstance(model, Model | torch.nn.Module):
        raise ModelError(f"got an object of type {type(model).__name__}; {ALLOWED}")
    if not weights:
        raise ModelError(
            f"got weights=False and a model in memory, {type(model).__name__}, which has them; "
            "give its name, or plan it as it is: td.plan(model, texts)"
        )
    if isinstance(model, torch.nn.Module):
        return _wrapped(model, tokenizer, sites)
    if tokenizer is not None or sites is not None:
        raise ModelError(
            "got a td.Model, which already has its tokenizer and sites; pass the model inside it: "
            "td.load_model(model.hf_model, tokenizer=tokenizer, sites=sites)"
        )
    return model


def _wrapped(model: Any, tokenizer: Any, sites: Mapping[str, str] | None) -> Model:
    if not hasattr(model, "config") or not hasattr(model, "get_input_embeddings"):
        raise ModelError(f"got an object of type {type(model).__name__}; {ALLOWED}")
    name = getattr(model.config, "_name_or_path", "") or type(model).__name__
    return Model(model, tokenizer, name, given_sites=sites)


def _from_files(
    model: str,
    tokenizer: Any,
    sites: Mapping[str, str] | None,
    device: Any,
    placement: Mapping[str, Any],
    source: Mapping[str, Any],
) -> Model:
    """Load a model by name or path.

    Args:
        model: name or path.
        tokenizer: tokenizer that replaces the model's own.
        sites: sites named by hand.
        device: device, as in `load_model`.
        placement: options of `from_pretrained` for precision and devices.
        source: options of `from_pretrained` for the repository.
    """
    folder, name, provenance = locate(model, source["local_files_only"], source.get("revision"))
    from transformers import AutoTokenizer

    with torch.inference_mode(False), quiet_transformers():
        auto = auto_class(name, folder, source)
        hf_model = with_weights(name, auto, folder, **placement, **source)
        if tokenizer is None:
            tokenizer = called(name, AutoTokenizer.from_pretrained, folder, **source)
    if "device_map" not in placement:
        hf_model = hf_model.to(device_of(device))
    return Model(hf_model.eval(), tokenizer, name, provenance, sites)

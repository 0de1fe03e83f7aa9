"""Sites of a mapping from names to states: our labels, or TransformerLens's hook names.

The stream after block i enters block i + 1, or is the final stream if i is the last block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.model.labels import FINAL, depth
from transformer_dynamics.recording.importers.arrays import precision, text_array
from transformer_dynamics.recording.importers.site_labels import require_layers, require_order

# Names of the stream in TransformerLens and, after them, in its bridge.
HOOK = re.compile(r"blocks\.(\d+)\.hook_(?:resid_)?(pre|mid|post|in|out)")
SPELLED = {"resid_pre", "resid_mid", "resid_post", "in", "out"}
KINDS = {"pre": "pre_attn", "in": "pre_attn", "mid": "pre_mlp"}
# Copies of one stream differ by no more, relative to its largest entry.
ROUNDING = 1e-5


def sites_of_mapping(states: Any, n_layers: int | None) -> dict[str, Any]:
    """Map site labels to states, in order of depth.

    Args:
        states: Mapping from site labels or hook names to states, or an ActivationCache.
        n_layers: Number of layers of the model, if known.

    Raises:
        RecordingError: names that are no labels and no hooks, or a site that is not determined.
    """
    n_layers = _layers_of_cache(states, n_layers)
    states = getattr(states, "cache_dict", states)
    for name in states:
        if not isinstance(name, str):
            raise RecordingError(
                f"got states under the key {name!r}; keys are site labels: "
                "td.Recording.from_activations({f'{layer}.pre_attn': array for layer, array in "
                "states.items()}) for the input of each layer"
            )
    if not any(_last_part(name).startswith("hook_") for name in states):
        names = require_order(list(states))
        require_layers(names, n_layers)
        return {name: states[name] for name in names}
    return _of_hooks(states, n_layers)


def _layers_of_cache(states: Any, n_layers: int | None) -> int | None:
    config = getattr(getattr(states, "model", None), "cfg", None)
    known = getattr(config, "n_layers", None)
    if not isinstance(known, int):
        return n_layers
    if n_layers not in (None, known):
        raise RecordingError(
            f"got n_layers={n_layers} for a cache of a model of {known} layers; leave n_layers= "
            "out: td.Recording.from_activations(cache)"
        )
    return known


def _of_hooks(states: Mapping[str, Any], n_layers: int | None) -> dict[str, Any]:
    labeled: dict[str, Any] = {}
    hook_of: dict[str, str] = {}
    hooks = _stream_hooks(states)
    highest = max(layer for layer, _ in hooks.values())
    for name, (layer, kind) in hooks.items():
        if n_layers is not None and layer >= n_layers:
            raise RecordingError(
                f"got {name} of a model of {n_layers} layers, whose last is {n_layers - 1}; give "
                f"n_layers={layer + 1} or more"
            )
        label = (
            f"{layer}.{KINDS[kind]}" if kind in KINDS else _after(name, layer, highest, n_layers)
        )
        if label in labeled:
            _require_same(label, (hook_of[label], labeled[label]), (name, states[name]))
        else:
            labeled[label], hook_of[label] = states[name], name
    return {label: labeled[label] for label in sorted(labeled, key=depth)}


def _stream_hooks(states: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    """Layer and kind of each hook of the stream; other hooks of a cache are left out."""
    hooks = {}
    for name in states:
        match = HOOK.fullmatch(name)
        last = _last_part(name)
        if match and last.removeprefix("hook_") in SPELLED:
            hooks[name] = (int(match[1]), match[2])
        elif not last.startswith("hook_") or ("resid" in last and not last.endswith("_grad")):
            raise RecordingError(
                f"got {name!r} among names of TransformerLens, which is no hook of the stream of a "
                "block; those are blocks.7.hook_resid_pre, hook_resid_mid and hook_resid_post"
            )
    if not hooks:
        raise RecordingError(
            f"got {len(states)} hooks, the first {next(iter(states))!r}, and none holds the "
            "stream: run_with_cache(tokens, names_filter=lambda name: 'hook_resid' in name)"
        )
    return hooks


def _after(name: str, layer: int, highest: int, n_layers: int | None) -> str:
    """Label of the site of the stream after a block."""
    if layer + 1 == n_layers:
        return FINAL
    if n_layers is None and layer == highest:
        raise RecordingError(
            f"got {name}, and not whether block {layer} is the last of the model: give the cache "
            "itself, which holds the number of layers, or, if it is the last, "
            f"td.Recording.from_activations(states, n_layers={layer + 1})"
        )
    return f"{layer + 1}.pre_attn"


def _require_same(label: str, one: tuple[str, Any], other: tuple[str, Any]) -> None:
    first, second = text_array(one[1], one[0]), text_array(other[1], other[0])
    if first.shape == second.shape and precision(one[1]) == precision(other[1]):
        with np.errstate(invalid="ignore"):
            largest = np.nanmax(np.abs(first), initial=0.0)
        if np.allclose(first, second, rtol=0, atol=ROUNDING * largest, equal_nan=True):
            return
    raise RecordingError(
        f"{one[0]} and {other[0]} are both the stream at {label} and differ; leave out the one "
        "that was edited after its hook"
    )


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]

"""Site labels of what other tools return: TransformerLens's names, transformers' hidden states.

The stream that leaves block i enters block i + 1, or is the final stream if i is the last block.
What does not say which it is is refused, with the argument that says it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.model import labels
from transformer_dynamics.recording.importers.arrays import precision, text_array

# The names of the stream in TransformerLens, and, after them, those of its bridge.
HOOK = re.compile(r"blocks\.(\d+)\.hook_(?:resid_)?(pre|mid|post|in|out)")
SPELLED = {"resid_pre", "resid_mid", "resid_post", "in", "out"}
KINDS = {"pre": "pre_attn", "in": "pre_attn", "mid": "pre_mlp"}
ENCODER_DECODER = ("encoder_hidden_states", "decoder_hidden_states")
# Copies of one stream differ by no more, relative to its largest entry.
ROUNDING = 1e-5

Named = dict[str, Any]


def of_mapping(states: Any, n_layers: int | None) -> Named:
    """Site to states: by our labels, or by TransformerLens's names, of which the stream's count."""
    n_layers = _layers_of_cache(states, n_layers)
    states = getattr(states, "cache_dict", states)
    for name in states:
        if not isinstance(name, str):
            raise RecordingError(
                f"got states under the key {name!r}; keys are site labels: td.from_captured("
                "{f'{layer}.pre_attn': array for layer, array in states.items()}) for what enters "
                "layer after layer"
            )
    if not any(_last_part(name).startswith("hook_") for name in states):
        names = require_order(list(states))
        require_layers(names, n_layers)
        return {name: states[name] for name in names}
    return _of_hooks(states, n_layers)


def of_hidden_states(output: Any) -> Any:
    """The hidden states of a `ModelOutput` of transformers.

    Raises:
        RecordingError: it holds none, or those of an encoder and a decoder.
    """
    given = {
        name: _entry(output, name)
        for name in ("hidden_states", *ENCODER_DECODER)
        if _has_entry(output, name)
    }
    present = [name for name, value in given.items() if value is not None]
    if not present:
        raise RecordingError(
            f"this {type(output).__name__} holds no hidden states; run the model with "
            "output_hidden_states=True: td.from_captured(model(**inputs, "
            "output_hidden_states=True))"
        )
    if present[0] != "hidden_states":
        raise RecordingError(
            f"this {type(output).__name__} has {' and '.join(present)}; say which: "
            f"td.from_captured(output.{present[-1]}, sites='hidden_states')"
        )
    return given["hidden_states"]


def holds_hidden_states(states: Any) -> bool:
    """Whether this is an output of transformers, or a dictionary of one's entries."""
    return any(_has_entry(states, name) for name in ("hidden_states", *ENCODER_DECODER))


def of_list(
    states: Sequence[Any], sites: Any, final: str | None, n_layers: int | None
) -> tuple[Named, str | None]:
    """Site to states of a list, one entry per site, and what its last entry is."""
    count = len(states)
    if sites is None:
        sites = _kind_of_list(count, n_layers)
    if not isinstance(sites, str):
        names = require_order(sites)
        require_layers(names, n_layers)
        if final is not None or len(names) != count:
            raise RecordingError(
                f"got {count} arrays, {len(names)} site labels and final={final!r}; give one label "
                "per array and no final=: td.from_captured([first, last], sites=['0.pre_attn', "
                "'final'])"
            )
        return dict(zip(names, states, strict=True)), None
    if sites == "hidden_states":
        final = final or "normed"
        names = [f"{layer}.pre_attn" for layer in range(count - 1)]
        expected = None if n_layers is None else n_layers + 1
    elif sites == "block_outputs":
        if final is None:
            raise RecordingError(
                "got the outputs of blocks, and not what the last is: final='stream' for hooks on "
                "the blocks, final='normed' for output.hidden_states[1:], whose last is normed: "
                "td.from_captured(outputs, sites='block_outputs', final='stream')"
            )
        names = [f"{layer}.pre_attn" for layer in range(1, count)]
        expected = n_layers
    else:
        raise RecordingError(
            f"got sites={sites!r}; it is 'hidden_states', 'block_outputs' or one label per array"
        )
    if expected is not None and count != expected:
        raise RecordingError(
            f"got {count} arrays as sites={sites!r} of {n_layers} layers; they are {expected}: "
            "hidden_states are one before each layer and one after the last, block_outputs one "
            "after each layer"
        )
    if final == "stream":
        names.append(labels.FINAL)
    if not names or (count < 2 and sites == "hidden_states"):
        raise RecordingError(
            f"got {count} arrays as sites={sites!r}, which leaves no site; transformers returns "
            "one before each layer and one after the last: td.from_captured(output)"
        )
    return dict(zip(names, states, strict=False)), final


def require_order(sites: Any) -> list[str]:
    """Refuse names that are no site labels, come twice, or are not in order of depth."""
    if not is_list(sites):
        raise RecordingError(f"got sites={sites!r}; they are a list: sites=['0.pre_attn', 'final']")
    names = list(sites)
    try:
        depths = [labels.depth(str(name)) for name in names]
    except ValueError as error:
        raise RecordingError(
            f"{error}; TransformerLens's names are taken too (blocks.7.hook_resid_pre)"
        ) from error
    if not names or depths != sorted(set(depths)):
        raise RecordingError(
            f"got sites {', '.join(map(str, names)) or 'of no name'}; give each once, in order of "
            "depth: 0.pre_attn, 0.pre_mlp, 1.pre_attn, ..., final"
        )
    return [str(name) for name in names]


def is_list(sites: Any) -> bool:
    """Whether sites are several labels, in a list or a numpy array."""
    if isinstance(sites, np.ndarray):
        return sites.ndim > 0
    return isinstance(sites, Sequence) and not isinstance(sites, str | bytes)


def require_layers(names: Sequence[str], n_layers: int | None) -> None:
    """Refuse sites of layers that the model does not have."""
    for name in names:
        if n_layers is not None and labels.parse(name)[0] >= n_layers:
            raise RecordingError(
                f"got the site {name} of a model of {n_layers} layers, whose last is {n_layers - 1}"
            )


def _kind_of_list(count: int, n_layers: int | None) -> str:
    if n_layers is not None and count == n_layers + 1:
        return "hidden_states"
    raise RecordingError(
        f"got a list of {count} arrays{'' if n_layers is None else f' of {n_layers} layers'}, "
        "which does not say whether the first enters block 0 or leaves it: td.from_captured("
        "output) for an output of transformers, td.from_captured(output.hidden_states, "
        "sites='hidden_states'), td.from_captured(outputs, sites='block_outputs', "
        "final='stream'), or one label per array"
    )


def _layers_of_cache(states: Any, n_layers: int | None) -> int | None:
    config = getattr(getattr(states, "model", None), "cfg", None)
    known = getattr(config, "n_layers", None)
    if not isinstance(known, int):
        return n_layers
    if n_layers not in (None, known):
        raise RecordingError(f"got n_layers={n_layers} for a cache of a model of {known} layers")
    return known


def _of_hooks(states: Mapping[str, Any], n_layers: int | None) -> Named:
    found: Named = {}
    names: dict[str, str] = {}
    hooks = _stream_hooks(states)
    highest = max(layer for layer, _ in hooks.values())
    for name, (layer, kind) in hooks.items():
        if n_layers is not None and layer >= n_layers:
            raise RecordingError(f"got {name} of a model of {n_layers} layers")
        label = (
            f"{layer}.{KINDS[kind]}" if kind in KINDS else _after(name, layer, highest, n_layers)
        )
        if label in found:
            _require_same(label, (names[label], found[label]), (name, states[name]))
        else:
            found[label], names[label] = states[name], name
    return {label: found[label] for label in sorted(found, key=labels.depth)}


def _stream_hooks(states: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    """Layer and kind of the names that hold the stream; other hooks of a cache are left out."""
    hooks = {}
    for name in states:
        match = HOOK.fullmatch(name)
        last = _last_part(name)
        if match and last.removeprefix("hook_") in SPELLED:
            hooks[name] = (int(match[1]), match[2])
        elif not last.startswith("hook_") or ("resid" in last and not last.endswith("_grad")):
            raise RecordingError(
                f"got {name!r} among names of TransformerLens, which is none that holds the "
                "stream of a block; those are blocks.7.hook_resid_pre, hook_resid_mid and "
                "hook_resid_post"
            )
    if not hooks:
        raise RecordingError(
            f"got {len(states)} hooks, the first {next(iter(states))!r}, and none holds the "
            "stream: run_with_cache(tokens, names_filter=lambda name: 'hook_resid' in name)"
        )
    return hooks


def _after(name: str, layer: int, highest: int, n_layers: int | None) -> str:
    """The site that the stream after a block belongs to."""
    if layer + 1 == n_layers:
        return labels.FINAL
    if n_layers is None and layer == highest:
        raise RecordingError(
            f"got {name}, and not whether block {layer} is the last of the model: give the cache "
            f"itself, which knows it, or td.from_captured(states, n_layers={layer + 1}) if it is"
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


def _has_entry(states: Any, name: str) -> bool:
    return (isinstance(states, Mapping) and name in states) or hasattr(states, name)


def _entry(states: Any, name: str) -> Any:
    if isinstance(states, Mapping) and name in states:
        return states[name]
    return getattr(states, name, None)

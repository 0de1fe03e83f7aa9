"""Site labels of a list of states: hidden states, outputs of blocks, or one label per array.

The stream after block i enters block i + 1, or is the final stream if i is the last block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.model.labels import FINAL, depth, parse


def sites_of_list(
    states: Sequence[Any], sites: Any, final: str | None, n_layers: int | None
) -> tuple[dict[str, Any], str | None]:
    """Map site labels to the entries of a list.

    Args:
        states: One array per site.
        sites: `"hidden_states"`, `"block_outputs"`, one label per array, or None.
        final: Kind of the last entry: `"normed"`, `"stream"`, or None.
        n_layers: Number of layers of the model, if known.

    Returns:
        Site label to states, and the kind of the last entry; None with one label per array.

    Raises:
        RecordingError: the site of an entry is not determined, or the numbers do not agree.
    """
    count = len(states)
    if sites is None:
        sites = _kind_of_list(count, n_layers)
    if not isinstance(sites, str):
        return _of_labels(states, sites, final, n_layers), None
    if sites not in ("hidden_states", "block_outputs"):
        raise RecordingError(
            f"got sites={sites!r}; it is 'hidden_states', 'block_outputs' or one label per array: "
            "td.Recording.from_activations(outputs, sites='hidden_states')"
        )
    inputs = sites == "hidden_states"
    if final is None and not inputs:
        raise RecordingError(
            "got the outputs of blocks without the kind of the last: final='stream' for hooks on "
            "the blocks, final='normed' for output.hidden_states[1:], whose last is normed: "
            "td.Recording.from_activations(outputs, sites='block_outputs', final='stream')"
        )
    final = final or "normed"
    if n_layers is not None and count != n_layers + inputs:
        raise RecordingError(
            f"got {count} arrays as sites={sites!r} of {n_layers} layers; they are "
            f"{n_layers + inputs}: hidden_states are one before each layer and one after the last, "
            "block_outputs one after each layer"
        )
    layers = range(count - 1) if inputs else range(1, count)
    names = [*(f"{layer}.pre_attn" for layer in layers), *([FINAL] if final == "stream" else [])]
    if not names or count < 1 + inputs:
        raise RecordingError(
            f"got {count} arrays as sites={sites!r}, which leaves no site; transformers returns "
            "one before each layer and one after the last: td.Recording.from_activations(output)"
        )
    return dict(zip(names, states, strict=False)), final


def _of_labels(
    states: Sequence[Any], sites: Any, final: str | None, n_layers: int | None
) -> dict[str, Any]:
    names = require_order(sites)
    require_layers(names, n_layers)
    if final is not None or len(names) != len(states):
        raise RecordingError(
            f"got {len(states)} arrays, {len(names)} site labels and final={final!r}; give one "
            "label per array and no final=: td.Recording.from_activations([first, last], "
            "sites=['0.pre_attn', 'final'])"
        )
    return dict(zip(names, states, strict=True))


def _kind_of_list(count: int, n_layers: int | None) -> str:
    if n_layers is not None and count == n_layers + 1:
        return "hidden_states"
    call = "td.Recording.from_activations"
    raise RecordingError(
        f"got a list of {count} arrays{'' if n_layers is None else f' of {n_layers} layers'}, "
        f"which does not say whether the first enters block 0 or leaves it: {call}(output) for an "
        f"output of transformers, {call}(output.hidden_states, sites='hidden_states'), "
        f"{call}(outputs, sites='block_outputs', final='stream'), or one label per array"
    )


def require_order(sites: Any) -> list[str]:
    """Return the labels, or refuse them.

    Raises:
        RecordingError: names that are no site labels, come twice, or are not in order of depth.
    """
    if not is_list(sites):
        raise RecordingError(f"got sites={sites!r}; they are a list: sites=['0.pre_attn', 'final']")
    names = list(sites)
    try:
        depths = [depth(str(name)) for name in names]
    except ValueError as error:
        raise RecordingError(
            f"{error}; names of TransformerLens are allowed too (blocks.7.hook_resid_pre)"
        ) from error
    if not names or depths != sorted(set(depths)):
        raise RecordingError(
            f"got sites {', '.join(map(str, names)) or 'of no name'}; give each once, in order of "
            "depth: 0.pre_attn, 0.pre_mlp, 1.pre_attn, ..., final"
        )
    return [str(name) for name in names]


def is_list(sites: Any) -> bool:
    """Whether `sites` holds several labels, in a list or a numpy array."""
    if isinstance(sites, np.ndarray):
        return sites.ndim > 0
    return isinstance(sites, Sequence) and not isinstance(sites, str | bytes)


def require_layers(names: Sequence[str], n_layers: int | None) -> None:
    """Refuse sites of layers that the model does not have.

    Raises:
        RecordingError: a label names such a layer.
    """
    for name in names:
        if n_layers is not None and parse(name)[0] >= n_layers:
            raise RecordingError(
                f"got the site {name} of a model of {n_layers} layers, whose last is {n_layers - 1}"
            )

"""States captured elsewhere become a recording: TransformerLens, nnsight, `output_hidden_states`.

What comes in is a mapping from site to states, a list of hidden states, or one array; torch tensors
in any precision, or arrays. Nothing is run and nothing is proved: the labels are taken at the
caller's word, and provenance says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.residual import labels

# What TransformerLens calls the stream.
HOOK = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|mid|post)")
HIDDEN_STATES = ("normed", "stream")


def from_captured(
    states: Any,
    *,
    sites: Sequence[str] | None = None,
    mask: Any = None,
    tokens: Any = None,
    positions: str = "last",
    final: str = "normed",
    provenance: Mapping[str, Any] | None = None,
) -> Recording:
    """A recording of states that something else captured.

    Args:
        states: a mapping from our labels, or from TransformerLens's names (as its ActivationCache),
            to `(text, position, unit)`, or `(position, unit)` for one text; or the hidden states
            that transformers returns, one such array before each layer and one after the last; or,
            with `sites`, one array `(text, position, site, unit)`, or `(sample, site, unit)`, which
            is taken as it is.
        sites: labels of the sites of one array.
        mask: `(text, position)`, 1 where a token is no padding, on whichever side; without it there
            is none.
        tokens: token ids `(text, position)`.
        positions: `"last"` or `"all"` of those that are no padding.
        final: what the last of the hidden states is: `"normed"` (transformers applies the last norm
            to it in nearly all families; it is left out) or the `"stream"` itself.
        provenance: anything JSON can hold that says where the states come from.

    Returns:
        A recording `(sample, site, unit)`.

    Raises:
        RecordingError: names that are no sites or out of order, shapes that do not fit each other,
            states that are not finite.
    """
    if positions not in ("last", "all") or final not in HIDDEN_STATES:
        raise RecordingError(
            f"got positions={positions!r}, final={final!r}; positions is 'last' or 'all', final "
            "'normed' or 'stream': td.from_captured(hidden_states, positions='all')"
        )
    origin = {"source": "captured", **(provenance or {})}
    if isinstance(states, Mapping) or hasattr(states, "cache_dict"):
        named = _by_name(getattr(states, "cache_dict", states))
    elif isinstance(states, Sequence):
        named = _by_layer(states, final)
        origin["final"] = final
    else:
        array = _array(states)
        names = _site_names(array, sites)
        if array.ndim == 3:
            _require_finite(array, names)
            return Recording.from_array(array, sites=names, provenance=origin)
        named = {name: array[:, :, place] for place, name in enumerate(names)}
    return _joined(named, mask, tokens, positions, origin)


def _array(value: Any) -> NDArray[Any]:
    """An array of floats; tensors leave their device, and bfloat16 becomes float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "float64" not in str(value.dtype):
            value = value.float()
        value = value.numpy()
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.floating):
        raise RecordingError(
            f"got states of dtype {array.dtype}; they are floats: "
            "td.from_captured(states.astype('float32'), sites=[...])"
        )
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _site_names(array: NDArray[Any], sites: Sequence[str] | None) -> list[str]:
    if array.ndim not in (3, 4) or sites is None or len(sites) != array.shape[-2]:
        raise RecordingError(
            f"got one array of shape {array.shape} and "
            f"{'no' if sites is None else len(sites)} site labels; it is (sample, site, unit) or "
            "(text, position, site, unit) with one label per site: "
            "td.from_captured(states, sites=['0.pre_attn', '0.pre_mlp', 'final'])"
        )
    return _require_order(list(sites))


def _by_name(states: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """States by our labels; of TransformerLens's names those of the stream, each once."""
    hooks = {name: match for name in states if (match := HOOK.fullmatch(str(name)))}
    if not hooks:
        return {name: _text_array(states[name]) for name in _require_order(list(states))}
    last = max(int(match[1]) for match in hooks.values())
    kinds = {"pre": "pre_attn", "mid": "pre_mlp"}
    found = {}
    for name, match in hooks.items():
        if match[2] != "post":
            found[f"{match[1]}.{kinds[match[2]]}"] = _text_array(states[name])
        elif int(match[1]) == last:
            found[labels.FINAL] = _text_array(states[name])
    return {name: found[name] for name in sorted(found, key=labels.depth)}


def _by_layer(states: Sequence[Any], final: str) -> dict[str, NDArray[Any]]:
    arrays = [_text_array(each) for each in states]
    if len(arrays) < 2:
        raise RecordingError(
            f"got {len(arrays)} hidden states; transformers returns one before each layer and one "
            "after the last: td.from_captured(output.hidden_states)"
        )
    named = {f"{layer}.pre_attn": array for layer, array in enumerate(arrays[:-1])}
    return named if final == "normed" else {**named, labels.FINAL: arrays[-1]}


def _text_array(value: Any) -> NDArray[Any]:
    array = _array(value)
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim != 3:
        raise RecordingError(
            f"got states of shape {array.shape} at one site; they are (text, position, unit), or "
            "(position, unit) for one text"
        )
    return array


def _require_order(names: list[str]) -> list[str]:
    try:
        depths = [labels.depth(name) for name in names]
    except ValueError as error:
        raise RecordingError(
            f"{error}; TransformerLens's names are taken too (blocks.7.hook_resid_pre)"
        ) from error
    if not names or depths != sorted(set(depths)):
        raise RecordingError(
            f"got sites {', '.join(names) or 'of no name'}; give each once, in order of depth: "
            "0.pre_attn, 0.pre_mlp, 1.pre_attn, ..., final"
        )
    return names


def _joined(
    named: Mapping[str, NDArray[Any]],
    mask: Any,
    tokens: Any,
    positions: str,
    origin: dict[str, Any],
) -> Recording:
    shapes = {name: array.shape for name, array in named.items()}
    if len(set(shapes.values())) > 1:
        raise RecordingError(f"got sites of different shapes ({shapes}); all have one")
    texts, length, _ = next(iter(shapes.values()))
    kept = (
        np.ones((texts, length), dtype=bool) if mask is None else _grid(mask, "mask", shapes) != 0
    )
    if not kept.any(axis=1).all():
        empty = int(np.flatnonzero(~kept.any(axis=1))[0])
        raise RecordingError(f"the mask leaves no token of text {empty}; leave empty texts out")
    position = kept.cumsum(axis=1) - 1
    if positions == "last":
        last = length - 1 - kept[:, ::-1].argmax(axis=1)
        kept = np.zeros_like(kept)
        kept[np.arange(texts), last] = True
    text = np.nonzero(kept)[0]
    coords = {"text": text, "position": position[kept]}
    if tokens is not None:
        coords["token_id"] = _grid(tokens, "tokens", shapes)[kept]
    values = np.stack([array[kept] for array in named.values()], axis=1)
    _require_finite(values, list(named))
    return Recording.from_array(values, sites=list(named), coords=coords, provenance=origin)


def _grid(value: Any, noun: str, shapes: Mapping[str, tuple[int, ...]]) -> NDArray[np.int64]:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    grid = np.asarray(value)
    wanted = next(iter(shapes.values()))[:2]
    if grid.ndim == 1:
        grid = grid[np.newaxis]
    if grid.shape != wanted:
        raise RecordingError(
            f"got {noun} of shape {grid.shape} for states of {wanted[0]} texts and {wanted[1]} "
            f"positions; it is (text, position): {noun}=inputs['attention_mask']"
        )
    return grid.astype(np.int64)


def _require_finite(values: NDArray[Any], names: Sequence[str]) -> None:
    bad = ~np.isfinite(values).all(axis=2)
    if bad.any():
        sample, site = np.argwhere(bad)[0]
        raise RecordingError(
            f"got NaN or infinite states at the site {names[site]} of sample {sample}; capture "
            "them in float32"
        )

"""States captured elsewhere become a recording: TransformerLens, nnsight, `output_hidden_states`.

What comes in is an output of transformers, a mapping from site to states, a list of states, or one
array; torch tensors in any precision, or arrays. Nothing is run and nothing is proved: the labels
are taken at the caller's word, and provenance says so. Where the same states could belong to two
sites, the caller is asked which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.importers import site_labels as captured_sites
from transformer_dynamics.recording.importers.arrays import (
    mask_grid,
    precision,
    require_finite,
    state_array,
    text_array,
    token_grid,
)
from transformer_dynamics.recording.provenance import plain_provenance
from transformer_dynamics.recording.recording import Recording

HIDDEN_STATES = ("normed", "stream")


def from_captured(
    states: Any,
    *,
    sites: Sequence[str] | str | None = None,
    mask: Any = None,
    tokens: Any = None,
    positions: str = "last",
    final: str | None = None,
    n_layers: int | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Recording:
    """A recording of states that something else captured.

    Args:
        states: an output of transformers run with `output_hidden_states=True`; or a mapping from
            our labels, or from TransformerLens's names (as its ActivationCache), to
            `(text, position, unit)`, or `(position, unit)` for one text; or a list of such arrays;
            or one array `(text, position, site, unit)`, or `(sample, site, unit)`, which is taken
            as it is.
        sites: for a list, `"hidden_states"` (what enters each block, and one array after the last),
            `"block_outputs"` (what leaves each block) or one label per array; for one array, the
            labels of its sites.
        mask: `(text, position)`, 1 or True where a token is no padding, on whichever side; without
            it there is none.
        tokens: token ids `(text, position)`.
        positions: `"last"` or `"all"` of those that are no padding.
        final: what the last of the hidden states or outputs is: `"normed"` (transformers applies
            the last norm to it in nearly all families; it is left out) or the `"stream"` itself.
            By default `"normed"` for hidden states; block outputs need it.
        n_layers: the model's number of layers. A list is checked against it, and it tells whether
            TransformerLens's `blocks.i.hook_resid_post` is the final stream or enters the next
            block; an ActivationCache knows it by itself.
        provenance: anything JSON can hold that says where the states come from; numpy's numbers and
            arrays, paths and sets are converted.

    Returns:
        A recording `(sample, site, unit)`, in float64 if the states are, else in float32.

    Raises:
        RecordingError: names that are no sites or out of order, states whose site is not known,
            shapes or precisions that do not fit each other, states that are not finite.

    >>> outputs = [np.full((2, 3, 4), depth) for depth in (1.0, 2.0, 3.0)]
    >>> from_captured(outputs, sites="block_outputs", final="stream").sites
    ('1.pre_attn', '2.pre_attn', 'final')
    """
    _require_options(positions, final, n_layers)
    origin = {"source": "captured", **plain_provenance(provenance)}
    if captured_sites.holds_hidden_states(states):
        states = captured_sites.of_hidden_states(states)
        sites = "hidden_states" if sites is None else sites
    if hasattr(states, "cache_dict") or isinstance(states, Mapping):
        _require_unused("a mapping, whose keys are the sites", sites=sites, final=final)
        named = captured_sites.of_mapping(states, n_layers)
    elif isinstance(states, Sequence) and not isinstance(states, str | bytes):
        named, final = captured_sites.of_list(states, sites, final, n_layers)
        if final is not None:
            origin["final"] = final
    else:
        _require_unused("one array, whose sites are labeled by sites=", final=final)
        array = state_array(states, "states")
        names = _site_names(array, sites)
        captured_sites.require_layers(names, n_layers)
        if array.ndim == 3:
            every = None if positions == "last" else positions
            taken = "(sample, site, unit), which is taken as it is"
            _require_unused(taken, mask=mask, tokens=tokens, positions=every)
            require_finite(array, names)
            return Recording.from_array(array, sites=names, provenance=origin)
        named = {name: array[:, :, place] for place, name in enumerate(names)}
    return _joined(named, mask, tokens, positions, origin)


def _require_options(positions: Any, final: Any, n_layers: Any) -> None:
    known = isinstance(positions, str) and positions in ("last", "all")
    if not known or not (final is None or (isinstance(final, str) and final in HIDDEN_STATES)):
        raise RecordingError(
            f"got positions={positions!r}, final={final!r}; positions is 'last' or 'all', final "
            "'normed' or 'stream': td.from_captured(output, positions='all')"
        )
    whole = isinstance(n_layers, int) and not isinstance(n_layers, bool) and n_layers > 0
    if n_layers is not None and not whole:
        raise RecordingError(
            f"got n_layers={n_layers!r}; it is the model's number of layers, such as "
            "n_layers=model.config.num_hidden_layers"
        )


def _require_unused(given: str, **arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise RecordingError(f"got {name}= with {given}; leave {name}= out")


def _site_names(array: NDArray[Any], sites: Any) -> list[str]:
    labeled = captured_sites.is_list(sites)
    if array.ndim not in (3, 4) or not labeled or len(sites) != array.shape[-2]:
        raise RecordingError(
            f"got one array of shape {array.shape} and "
            f"{len(sites) if labeled else 'no'} site labels; it is (sample, site, unit) or "
            "(text, position, site, unit) with one label per site: "
            "td.from_captured(states, sites=['0.pre_attn', '0.pre_mlp', 'final'])"
        )
    return captured_sites.require_order(sites)


def _joined(
    given: Mapping[str, Any], mask: Any, tokens: Any, positions: str, origin: dict[str, Any]
) -> Recording:
    named = {name: text_array(value, f"states at {name}") for name, value in given.items()}
    _require_alike("shapes", {name: array.shape for name, array in named.items()})
    _require_alike("precisions", {name: precision(value) for name, value in given.items()})
    texts, length, _ = next(iter(named.values())).shape
    kept = (
        np.ones((texts, length), dtype=bool) if mask is None else mask_grid(mask, (texts, length))
    )
    position = kept.cumsum(axis=1) - 1
    if positions == "last":
        last = length - 1 - kept[:, ::-1].argmax(axis=1)
        kept = np.zeros_like(kept)
        kept[np.arange(texts), last] = True
    coords = {"text": np.nonzero(kept)[0], "position": position[kept]}
    if tokens is not None:
        coords["token_id"] = token_grid(tokens, (texts, length), kept)
    values = np.stack([array[kept] for array in named.values()], axis=1)
    require_finite(values, list(named))
    return Recording.from_array(values, sites=list(named), coords=coords, provenance=origin)


def _require_alike(noun: str, properties: Mapping[str, Any]) -> None:
    first, *others = properties
    for other in others:
        if properties[other] != properties[first]:
            raise RecordingError(
                f"got sites of different {noun} ({first}: {properties[first]}, {other}: "
                f"{properties[other]}); all have one, in torch after states.float()"
            )

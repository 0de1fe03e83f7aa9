"""States captured by TransformerLens, nnsight or `output_hidden_states`, as a recording.

Input is an output of transformers, a mapping from site to states, a list of states, or one array;
torch tensors of any precision, or numpy arrays. No model is run and no residual identity is tested:
the labels are the caller's, and the provenance says so. States that could belong to two sites are
refused, and the message names the argument that decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.importers.arrays import (
    mask_grid,
    precision,
    require_finite,
    state_array,
    text_array,
    token_grid,
)
from transformer_dynamics.recording.importers.hooks import sites_of_mapping
from transformer_dynamics.recording.importers.outputs import hidden_states_of, holds_hidden_states
from transformer_dynamics.recording.importers.site_labels import (
    is_list,
    require_layers,
    require_order,
    sites_of_list,
)
from transformer_dynamics.recording.provenance import plain_provenance
from transformer_dynamics.recording.recording import Recording

HIDDEN_STATES = ("normed", "stream")


@dataclass(frozen=True)
class Layout:
    """Layout of captured states; the attributes are arguments of `Recording.from_activations`.

    Raises:
        RecordingError: a value that is not allowed.
    """

    sites: Any = None
    mask: Any = None
    tokens: Any = None
    positions: Any = "last"
    final: Any = None
    n_layers: Any = None

    def __post_init__(self) -> None:
        final, n_layers = self.final, self.n_layers
        known = isinstance(self.positions, str) and self.positions in ("last", "all")
        if not known or not (final is None or (isinstance(final, str) and final in HIDDEN_STATES)):
            raise RecordingError(
                f"got positions={self.positions!r}, final={final!r}; positions is 'last' or 'all', "
                "final 'normed' or 'stream': "
                "td.Recording.from_activations(output, positions='all')"
            )
        whole = isinstance(n_layers, int) and not isinstance(n_layers, bool) and n_layers > 0
        if n_layers is not None and not whole:
            raise RecordingError(
                f"got n_layers={n_layers!r}; it is the model's number of layers, such as "
                "n_layers=model.config.num_hidden_layers"
            )


def import_activations(
    states: Any, layout: Layout, provenance: Mapping[str, Any] | None
) -> Recording:
    """Make a recording of captured states; see `Recording.from_activations`."""
    origin = {"source": "captured", **plain_provenance(provenance)}
    sites = layout.sites
    if holds_hidden_states(states):
        states = hidden_states_of(states)
        sites = "hidden_states" if sites is None else sites
    if hasattr(states, "cache_dict") or isinstance(states, Mapping):
        _require_unused("a mapping, whose keys are the sites", sites=sites, final=layout.final)
        return _joined(sites_of_mapping(states, layout.n_layers), layout, origin)
    if isinstance(states, Sequence) and not isinstance(states, str | bytes):
        labeled, final = sites_of_list(states, sites, layout.final, layout.n_layers)
        return _joined(labeled, layout, origin if final is None else {**origin, "final": final})
    return _of_array(state_array(states, "states"), layout, origin)


def _of_array(array: NDArray[Any], layout: Layout, origin: Mapping[str, Any]) -> Recording:
    _require_unused("one array, whose sites are labeled by sites=", final=layout.final)
    names = _site_names(array, layout.sites)
    require_layers(names, layout.n_layers)
    if array.ndim == 4:
        labeled = {name: array[:, :, site] for site, name in enumerate(names)}
        return _joined(labeled, layout, origin)
    _require_unused(
        "(sample, site, unit), which is used unchanged",
        mask=layout.mask,
        tokens=layout.tokens,
        positions=None if layout.positions == "last" else layout.positions,
    )
    require_finite(array, names)
    return Recording.from_array(array, sites=names, provenance=origin)


def _require_unused(given: str, **arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise RecordingError(f"got {name}= with {given}; leave {name}= out")


def _site_names(array: NDArray[Any], sites: Any) -> list[str]:
    labeled = is_list(sites)
    if array.ndim not in (3, 4) or not labeled or len(sites) != array.shape[-2]:
        raise RecordingError(
            f"got one array of shape {array.shape} and "
            f"{len(sites) if labeled else 'no'} site labels; it is (sample, site, unit) or "
            "(text, position, site, unit) with one label per site: td.Recording.from_activations("
            "states, sites=['0.pre_attn', '0.pre_mlp', 'final'])"
        )
    return require_order(sites)


def _joined(given: Mapping[str, Any], layout: Layout, origin: Mapping[str, Any]) -> Recording:
    """Join states `(text, position, unit)` of several sites to a recording of their tokens."""
    labeled = {name: text_array(value, f"states at {name}") for name, value in given.items()}
    _require_alike("shapes", {name: array.shape for name, array in labeled.items()})
    _require_alike("precisions", {name: precision(value) for name, value in given.items()})
    n_texts, length, _ = next(iter(labeled.values())).shape
    if layout.mask is None:
        kept = np.ones((n_texts, length), dtype=bool)
    else:
        kept = mask_grid(layout.mask, (n_texts, length))
    position = kept.cumsum(axis=1) - 1
    if layout.positions == "last":
        last = length - 1 - kept[:, ::-1].argmax(axis=1)
        kept = np.zeros_like(kept)
        kept[np.arange(n_texts), last] = True
    coords = {"text": np.nonzero(kept)[0], "position": position[kept]}
    if layout.tokens is not None:
        coords["token_id"] = token_grid(layout.tokens, (n_texts, length), kept)
    values = np.stack([array[kept] for array in labeled.values()], axis=1)
    require_finite(values, list(labeled))
    return Recording.from_array(values, sites=list(labeled), coords=coords, provenance=origin)


def _require_alike(noun: str, properties: Mapping[str, Any]) -> None:
    first, *others = properties
    for other in others:
        if properties[other] != properties[first]:
            raise RecordingError(
                f"got sites of different {noun} ({first}: {properties[first]}, {other}: "
                f"{properties[other]}); all have one, in torch after states.float()"
            )

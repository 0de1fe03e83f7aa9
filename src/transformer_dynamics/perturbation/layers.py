"""Edits of single layers: skipped, swapped, replaced by random controls.

    skip     layer l is left out
    swap     layer l + 1 runs before layer l
    turned   layer l's update points in a random direction, with its norm at every position
    moved    layer l's update is kept, and a random displacement of its norm is added

`moved` is the control matched to `skip` in size. Cost: 2 L passes over the tokens of every
text. Source: arXiv 2406.19384; random controls and untrained twin: ours. Documentation:
docs/measures/perturbation.skip_and_swap.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.layer_edits import LayerEdits
from transformer_dynamics.nulls.layer_updates import moved_displacement, turned_updates
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    over_texts,
    texts_followed,
)
from transformer_dynamics.perturbation.systems import System
from transformer_dynamics.registry import perturbation

EDITS = ("skip", "swap", "turned", "moved")
AGREEMENT = {"units": "1", "denominator": "positions; whether the most likely next token stays"}
DIVERGENCE = {"units": "nats", "definition": "KL of the unedited next-token distribution from it"}


@perturbation(
    "perturbation.skip_and_swap",
    title="Layers left out, swapped, turned at random, or with the stream moved",
    source="arXiv 2406.19384; random controls: ours",
)
def skip_and_swap(
    systems: Sequence[System],
    *,
    n_texts: int = 12,
    n_tokens: int = 24,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Edit every layer in turn, in many texts.

    Args:
        systems: the model first, then its untrained twins.
        n_texts: number of texts, drawn from the texts of the recording.
        n_tokens: number of tokens at the beginning of each text; every position counts.
        seed: seed of the choice of texts and of the random directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `agreement` and `kl` `(system, sample, edit, layer)`; NaN for swapping the last layer, which
        no layer follows.

    Raises:
        InputError: too many texts, no tokens, or a system without a model.
    """
    if n_tokens < 1:
        raise InputError(f"got n_tokens={n_tokens}; give one at least: n_tokens=32")
    texts = chosen_texts(systems, n_texts, seed)

    def prepare(system: System) -> Experiment:
        return lambda text: {
            system.name: _edited(system, system.tokens(text)[:n_tokens], seed + text)
        }

    followed = texts_followed(systems, texts)
    return over_texts(systems, texts, prepare, followed=followed, on_progress=on_progress)


def _edited(system: System, tokens: Sequence[int], seed: int) -> xr.Dataset:
    """Agreement and divergence of one text, `(edit, layer)`."""
    model = system.require_model()
    edits = LayerEdits(model.hf_model, model.found_sites, tokens)
    n_layers = edits.n_layers
    agreement, divergence = np.full((2, len(EDITS), n_layers), np.nan)
    functions: list[Callable[[int], Tensor]] = [
        edits.skip,
        edits.swap,
        lambda layer: edits.replace(layer, turned_updates(edits.update(layer), seed=seed + layer)),
        lambda layer: edits.replace(
            layer, moved_displacement(edits.update(layer), seed=seed + layer)
        ),
    ]
    clean = edits.clean
    probability, most_likely = clean.exp(), clean.argmax(-1)
    for row, edit in enumerate(functions):
        for layer in range(n_layers - (EDITS[row] == "swap")):
            edited = edit(layer)
            agreement[row, layer] = float((edited.argmax(-1) == most_likely).double().mean())
            terms = (probability * (clean - edited)).nan_to_num(0.0)
            divergence[row, layer] = float(terms.sum(-1, dtype=torch.float64).mean())
    dims = ("edit", "layer")
    return xr.Dataset(
        {"agreement": (dims, agreement, AGREEMENT), "kl": (dims, divergence, DIVERGENCE)},
        coords={"edit": list(EDITS), "layer": np.arange(n_layers)},
    )

"""Layers left out or swapped: how much of the prediction is kept.

For each layer l, over the positions of a text's first tokens:

    skip     layer l is left out
    swap     layer l + 1 runs before layer l
    turned   layer l's update is turned in a random direction, its norm kept at every position
    moved    layer l's update stays, and a random displacement of its norm is added
    agreement  share of the positions whose most likely next token stays
    KL         of the next token's distribution from the unedited one, mean over positions, nats

A layer that adds little to a large stream can be left out for that reason alone, so the change
needs a control of the same size. In units of the update's norm, skipping displaces the stream by
1.00, `moved` by exactly 1.00 in a random direction, and `turned` by 1.41 on average (the root of 2,
since a random direction is nearly orthogonal to the update): `moved` is the matched control.

Cost: 2 L passes over the tokens of every text. Source: arXiv 2406.19384 (72 to 95 % kept in the
middle); the random controls and the untrained twin: ours.
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
from transformer_dynamics.perturbation.systems import (
    Progress,
    ProgressCounter,
    System,
    chosen_texts,
    gathered,
    texts_followed,
)
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
        systems: the model first, then baselines with other weights.
        n_texts: how many texts, drawn from those of the recording.
        n_tokens: how many tokens of each text's beginning run; every position counts.
        seed: of the choice of texts and of the random directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `agreement` and `kl` `(system, sample, edit, layer)`; NaN for swapping the last layer, which
        has none behind it.

    Raises:
        InputError: too many texts, no tokens, or a system without a model.
    """
    if n_tokens < 1:
        raise InputError(f"got n_tokens={n_tokens}; give one at least: n_tokens=32")
    texts = chosen_texts(systems, n_texts, seed)
    followed = texts_followed(systems, texts)
    work = ProgressCounter(sum(map(len, followed.values())), on_progress)
    results = {
        system.name: [
            _edited(system, system.tokens(text)[:n_tokens], seed + text)
            for text in work.each(followed[system.name])
        ]
        for system in systems
    }
    return gathered(results, texts, systems[0].recording)


def _edited(system: System, tokens: Sequence[int], seed: int) -> xr.Dataset:
    model = system.require_model()
    edits = LayerEdits(model.hf_model, model.found_sites, tokens)
    n_layers = edits.n_layers
    agreement, divergence = np.full((2, len(EDITS), n_layers), np.nan)
    kinds: list[Callable[[int], Tensor]] = [
        edits.skip,
        edits.swap,
        lambda layer: edits.replace(layer, turned_updates(edits.update(layer), seed=seed + layer)),
        lambda layer: edits.replace(
            layer, moved_displacement(edits.update(layer), seed=seed + layer)
        ),
    ]
    clean = edits.clean
    chances, likeliest = clean.exp(), clean.argmax(-1)
    for row, edit in enumerate(kinds):
        for layer in range(n_layers - (EDITS[row] == "swap")):
            changed = edit(layer)
            agreement[row, layer] = float((changed.argmax(-1) == likeliest).double().mean())
            apart = (chances * (clean - changed)).nan_to_num(0.0)
            divergence[row, layer] = float(apart.sum(-1, dtype=torch.float64).mean())
    dims = ("edit", "layer")
    return xr.Dataset(
        {"agreement": (dims, agreement, AGREEMENT), "kl": (dims, divergence, DIVERGENCE)},
        coords={"edit": list(EDITS), "layer": np.arange(n_layers)},
    )

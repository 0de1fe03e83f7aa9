"""Edits of single layers: skipped, swapped, replaced by random controls.

    skip     layer l is left out
    swap     layer l + 1 runs before layer l
    turned   layer l's update points in a random direction, with its norm at every position
    moved    layer l's update is kept, and a random displacement of its norm is added

`moved` is the control matched to `skip` in size. Cost: 2 L passes over the tokens of each of the
first six texts, L of the others, L / 2 of those of a twin that is only skipped. Source: arXiv
2406.19384; random controls and untrained twin: ours. Documentation:
docs/measures/perturbation.skip_and_swap.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.layer_edits import Edit, LayerEdits
from transformer_dynamics.nulls.layer_updates import moved_displacement, turned_updates
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    over_texts,
    texts_followed,
)
from transformer_dynamics.perturbation.systems import System, is_further_twin
from transformer_dynamics.registry import perturbation

EDITS = ("skip", "swap", "turned", "moved")
# Edits that a claim compares, those of twins the first one. The others are only shown, for the
# first few texts.
COMPARED = ("skip", "moved")
SHOWN_TEXTS = 6
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
        no layer follows, for `swap` and `turned` beyond the first six texts, and for all edits but
        `skip` of the twins, except those of the first twin in the first six texts.

    Raises:
        InputError: too many texts, no tokens, or a system without a model.
    """
    if n_tokens < 1:
        raise InputError(f"got n_tokens={n_tokens}; give one at least: n_tokens=32")
    texts = chosen_texts(systems, n_texts, seed)

    def prepare(system: System) -> Experiment:
        compared = COMPARED if system is systems[0] else COMPARED[:1]

        def experiment(text: int) -> dict[str, xr.Dataset]:
            is_shown = text in texts[:SHOWN_TEXTS] and not is_further_twin(system.name)
            kinds = EDITS if is_shown else compared
            tokens = system.tokens(text)[:n_tokens]
            return {system.name: _edited(system, tokens, seed + text, kinds)}

        return experiment

    followed = texts_followed(systems, texts)
    return over_texts(systems, texts, prepare, followed=followed, on_progress=on_progress)


def _edited(system: System, tokens: Sequence[int], seed: int, kinds: Sequence[str]) -> xr.Dataset:
    """Agreement and divergence of one text, `(edit, layer)`; NaN for edits that are not made."""
    model = system.require_model()
    edits = LayerEdits(model.hf_model, model.found_sites, tokens)
    makers: dict[str, Callable[[int], Edit]] = {
        "skip": edits.skipped,
        "swap": edits.swapped,
        "turned": lambda layer: edits.replaced(
            layer, turned_updates(edits.update(layer), seed=seed + layer)
        ),
        "moved": lambda layer: edits.replaced(
            layer, moved_displacement(edits.update(layer), seed=seed + layer)
        ),
    }
    places = [
        (EDITS.index(kind), layer)
        for kind in kinds
        for layer in range(edits.n_layers - (kind == "swap"))
    ]
    made = [makers[EDITS[row]](layer) for row, layer in places]
    agreement, divergence = np.full((2, len(EDITS), edits.n_layers), np.nan)
    compared = _Comparison(edits.clean)
    for index, edited in edits.log_probabilities(made):
        agreement[places[index]], divergence[places[index]] = compared.to(edited)
    dims = ("edit", "layer")
    return xr.Dataset(
        {"agreement": (dims, agreement, AGREEMENT), "kl": (dims, divergence, DIVERGENCE)},
        coords={"edit": list(EDITS), "layer": np.arange(edits.n_layers)},
    )


class _Comparison:
    """Comparison of predictions with the unedited ones, `(position, token)`."""

    def __init__(self, clean: Tensor) -> None:
        self._clean, self._probability = clean, clean.exp()
        self._most_likely = clean.argmax(-1)
        self._is_finite = bool(torch.isfinite(clean).all())

    def to(self, edited: Tensor) -> tuple[float, float]:
        """Share of positions with the same most likely token, and mean divergence in nats."""
        agreement = float((edited.argmax(-1) == self._most_likely).double().mean())
        terms = (self._clean - edited).mul_(self._probability)
        if not self._is_finite:
            terms = terms.nan_to_num(0.0)  # 0 log 0 = 0
        return agreement, float(terms.sum(-1, dtype=torch.float64).mean())

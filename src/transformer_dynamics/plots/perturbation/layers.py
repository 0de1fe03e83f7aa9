"""Figures of `perturbation.skip_and_swap`: predictions after the edit of one layer."""

from __future__ import annotations

from typing import Literal

import xarray as xr

from transformer_dynamics.perturbation.layers import EDITS, SHOWN_TEXTS
from transformer_dynamics.perturbation.systems import shown_systems
from transformer_dynamics.plots.backend import Drawing, Lines
from transformer_dynamics.plots.backend.bands import text_series
from transformer_dynamics.plots.backend.captions import words
from transformer_dynamics.plots.perturbation.systems import role_of, system_caption
from transformer_dynamics.registry import figure


@figure("perturbation.skip_and_swap")
def draw_layers(result: xr.Dataset) -> list[Drawing]:
    """Draw agreement and divergence by layer for every edit and system."""
    return [
        _lines(
            result,
            "agreement",
            "Agreement of predictions after one edited layer",
            "Share of positions whose most likely next token stays the same",
            "positions whose most likely next token stays (1)",
        ),
        _lines(
            result,
            "kl",
            "Divergence of predictions after one edited layer",
            "KL divergence of the next-token distribution from the unedited one",
            "KL from the unedited distribution (nats)",
            "log",
        ),
    ]


def _lines(
    result: xr.Dataset,
    name: str,
    title: str,
    quantity: str,
    y_label: str,
    y_scale: Literal["linear", "log"] = "linear",
) -> Lines:
    series, has_more = [], result.sizes["sample"] > SHOWN_TEXTS
    for system in shown_systems(result):
        for edit in EDITS:
            values = result[name].sel(system=system, edit=edit).transpose("sample", ...)
            # The last layer has no next one to be swapped with.
            kept = values[:, : values.shape[1] - (edit == "swap")]
            series.append(text_series(kept, f"{words(system)}, {edit}", role=role_of(system)))
    return Lines(
        title=title,
        x_label="layer (index)",
        y_label=y_label,
        series=series,
        y_scale=y_scale,
        caption=system_caption(
            result,
            f"{quantity}, when one layer is skipped, swapped with the next, or its update turned "
            "or moved at random (turned moves the state 1.41 times as far), mean over texts"
            + (f"; swapped and turned in {SHOWN_TEXTS} of them" if has_more else ""),
        ),
        interpretation=(
            "Learned robustness keeps predictions better when a layer is skipped than when the "
            "state is moved as far at random, and better than in the untrained network."
        ),
    )

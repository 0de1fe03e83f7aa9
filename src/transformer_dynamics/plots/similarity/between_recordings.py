"""Figures of `similarity.between_recordings`: CKA and Procrustes distance, matched and all."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Heatmap, Lines
from transformer_dynamics.plots.backend.bands import Band, band_series, deviation_band, null_series
from transformer_dynamics.plots.backend.captions import BOOTSTRAP, caption, n_samples
from transformer_dynamics.plots.backend.depth import names_of
from transformer_dynamics.plots.side_by_side import recording_name
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import attribute

# Title, axis, and the side of the null model on which similar recordings lie.
QUANTITIES = {
    "cka": ("Debiased CKA", "CKA (1; 1: same up to rotation)", "above"),
    "procrustes": ("Procrustes distance", "Procrustes distance (1; 0: same)", "below"),
}


@figure("similarity.between_recordings")
def draw_comparison(result: xr.Dataset) -> list[Drawing]:
    """Draw both quantities at the same relative depth with their null model, and of all pairs."""
    names = [
        recording_name(attribute(result, key).get("provenance", {}))
        for key in ("recording", "other")
    ]
    return [
        drawing
        for quantity in QUANTITIES
        for drawing in (_matched(result, quantity, names), _all_pairs(result, quantity, names))
    ]


def _all_pairs(result: xr.Dataset, quantity: str, names: list[str]) -> Heatmap:
    title, label, _ = QUANTITIES[quantity]
    return Heatmap(
        title=f"{title} of all sites",
        x_label=f"site of {names[0]} (label)",
        y_label=f"site of {names[1]} (label)",
        color_label=label,
        values=result[quantity].values.T,
        x_names=names_of(result, "site"),
        y_names=names_of(result, "other_site"),
        symmetric=False,
        caption=caption(
            f"{title} between each site of one recording and each of the other",
            n=n_samples(result),
        ),
        interpretation=(
            "A ridge shows common stages only if it is far above the null model of the figure at "
            "the same relative depth, and higher than with an untrained network."
        ),
    )


def _matched(result: xr.Dataset, quantity: str, names: list[str]) -> Lines:
    title, y_label, side = QUANTITIES[quantity]
    value, low, high, permuted, deviation = (
        result[f"matched_{quantity}{suffix}"].values.astype(np.float64)
        for suffix in ("", "_low", "_high", "_permuted", "_permuted_sd")
    )
    pairs = zip(names_of(result, "site"), result["matched_site"].values, strict=True)
    labels = [f"{site} and {matched}" for site, matched in pairs]
    depth = result["relative_depth"].values
    model = "same relative depth (95 % over texts)"
    null = "permuted samples (± 2 sd)"
    return Lines(
        title=f"{title}: {names[0]} and {names[1]}",
        x_label="relative depth (1; first site 0, last site 1)",
        y_label=y_label,
        series=[
            band_series(model, Band(value, low, high), x=depth, labels=labels),
            null_series(null, deviation_band(permuted, deviation), x=depth, labels=labels),
        ],
        caption=caption(
            f"{title} of the two recordings at the same relative depth",
            n=n_samples(result),
            interval=f"{BOOTSTRAP}; for the null model two standard deviations",
            null="permuted samples",
        ),
        interpretation=(
            f"A line {side} the null model shows that both depend on the text, which training "
            "explains only if an untrained network gives another value."
        ),
    )

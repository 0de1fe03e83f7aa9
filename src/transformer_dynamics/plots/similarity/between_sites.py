"""Figures of `similarity.between_sites`: CKA and Procrustes distance, neighbors and all sites."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Heatmap, Lines
from transformer_dynamics.plots.backend.bands import deviation_band, null_series
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.plots.backend.depth import (
    STEP_LABEL,
    by_step_kind,
    depth_series,
    names_of,
)
from transformer_dynamics.registry import figure

WALK = "random walk of independent steps"
# Title, label of the matrix, limits on the axis, and the reading of the matrix.
QUANTITIES = {
    "cka": (
        "Debiased CKA",
        "CKA (1)",
        "CKA (1; 1: same up to rotation)",
        "A block is a stage of processing only if its edge is sharper than the slow decay of a sum "
        "of independent steps and does not come from a few massive units.",
    ),
    "procrustes": (
        "Procrustes distance",
        "distance (1)",
        "Procrustes distance (1; 0: same, √2 at most)",
        "Distances are of the leading components and comparable only within this figure, because "
        "they fall as units outnumber samples.",
    ),
}


@figure("similarity.between_sites")
def draw_similarity(result: xr.Dataset) -> list[Drawing]:
    """Draw both quantities between neighboring sites with their null models, and of all sites."""
    return [
        drawing
        for quantity in QUANTITIES
        for drawing in (_neighbors(result, quantity), _all_pairs(result, quantity))
    ]


def _all_pairs(result: xr.Dataset, quantity: str) -> Heatmap:
    title, label, _, interpretation = QUANTITIES[quantity]
    return Heatmap(
        title=f"{title} of all sites",
        x_label="site (label)",
        y_label="other site (label)",
        color_label=label,
        values=result[quantity].values.T,
        x_names=names_of(result, "site"),
        y_names=names_of(result, "other_site"),
        symmetric=False,
        caption=caption(f"{title} between the states of all pairs of sites", n=n_samples(result)),
        interpretation=interpretation,
    )


def _neighbors(result: xr.Dataset, quantity: str) -> Lines:
    title, _, y_label, _ = QUANTITIES[quantity]
    name = f"neighbor_{quantity}"
    mean, deviation = (
        result[f"{name}_permuted{suffix}"].values.astype(np.float64) for suffix in ("", "_sd")
    )
    line = depth_series("neighboring sites", result[name])
    permuted = deviation_band(mean, deviation)
    return Lines(
        title=f"{title} of neighboring sites",
        x_label=STEP_LABEL,
        y_label=y_label,
        series=[
            *by_step_kind(line, result["step_kind"].values),
            depth_series("independent steps", result[f"{name}_walk"], role="null"),
            null_series("permuted samples (± 2 sd)", permuted, labels=line.labels),
        ],
        caption=caption(
            f"{title} between the states at the two ends of each step",
            n=n_samples(result),
            interval="two standard deviations of the permutations",
            null=f"{WALK}, permuted samples",
        ),
        interpretation=(
            "A step depends on the state it is added to only where the line differs from the "
            "random walk, since neighboring sites of any sum are similar."
        ),
    )

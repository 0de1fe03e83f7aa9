"""Figure of `similarity.dsa`: the distance of two dynamics, with its controls."""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Interval, Intervals
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.registry import figure


@figure("similarity.dsa")
def draw_dsa(result: xr.Dataset) -> list[Drawing]:
    """Draw the distance of the recordings and its controls, one below the other."""
    rows = [
        Interval(
            name=str(pair),
            value=float(value),
            low=float(value),
            high=float(value),
            role="null" if index else "model",
        )
        for index, (pair, value) in enumerate(
            zip(result["pair"].values, result["dsa"].values, strict=True)
        )
    ]
    return [
        Intervals(
            title="Dynamical similarity",
            x_label="DSA (1; 0: the same rule up to rotation)",
            y_label="comparison (name)",
            intervals=rows,
            caption=caption(
                "Distance between the linear rules of motion of two recordings",
                n=n_samples(result),
                null="halves of the texts of one recording, the same states without their order",
            ),
            interpretation=(
                "Two rules are alike if their distance is about that of the halves and both maps "
                "have skill well above 0; the maps are averages over depth."
            ),
        )
    ]

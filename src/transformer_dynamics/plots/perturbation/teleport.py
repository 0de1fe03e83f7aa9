"""Figures of `perturbation.teleport`: recovery by depth, and trajectories of one text."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Lines, Path, Paths
from transformer_dynamics.plots.backend.bands import text_series
from transformer_dynamics.plots.backend.captions import caption, words
from transformer_dynamics.plots.backend.depth import SITE_LABEL, names_of
from transformer_dynamics.plots.perturbation.systems import (
    role_of,
    site_indices,
    system_caption,
)
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import STREAM

READINGS = {
    "recovery_ratio": ("Recovery in D dimensions", "recovery ratio in D dimensions (1)"),
    "plane_recovery_ratio": ("Recovery in the plane", "recovery ratio in the plane (1)"),
    "relative_recovery": (
        "Recovery relative to the norm",
        "distance over the stream's norm, over its start (1)",
    ),
}


@figure("perturbation.teleport")
def draw_teleport(result: xr.Dataset) -> list[Drawing]:
    """Draw recovery by depth for every system, and trajectories of one text in the plane."""
    starts = result["start"].values.tolist()
    return [
        *(_recovery(result, name) for name in READINGS),
        *(_trajectories(result, start) for start in starts),
    ]


def _recovery(result: xr.Dataset, name: str) -> Lines:
    title, y_label = READINGS[name]
    starts, labels = result["start"].values.tolist(), names_of(result, "site")
    series = []
    for start in starts:
        x = site_indices(result, start)
        for system in result["system"].values.tolist():
            ratios = result[name].sel(system=system, start=start, kind="grid").isel(site=x)
            line = text_series(
                xr.apply_ufunc(np.log, ratios),
                f"{words(system)}, perturbed at {start}",
                labels=labels[x[0] :],
                role=role_of(system),
                x=x,
                logs=True,
                hidden=start != starts[1 % len(starts)],
            )
            series.append(line)
    return Lines(
        title=f"{title}, states replaced by a grid",
        x_label=SITE_LABEL,
        y_label=y_label,
        series=series,
        y_scale="log",
        caption=system_caption(
            result,
            "Distance of perturbed states from the unperturbed trajectory over the distance at the "
            "start, geometric mean over texts",
        ),
        interpretation=(
            "Correction brings the model below 1 in all dimensions and below the untrained "
            "network, and below zero update where the norm divides the distance."
        ),
    )


def _trajectories(result: xr.Dataset, start: str) -> Paths:
    """The states of the first text in the plane, with depth as the third axis."""
    x = site_indices(result, start)
    depth = x[:, np.newaxis]
    scores = result["example_score"].sel(start=start).values[:, x]
    unperturbed = result["example_clean_score"].values[x]
    gap = np.full((1, 3), np.nan)
    parts = [part for score in scores for part in (np.hstack([score, depth]), gap)]
    return Paths(
        title=f"Trajectories of one text perturbed at {start}",
        x_label=f"PC1 ({STREAM})",
        y_label=f"PC2 ({STREAM})",
        z_label=SITE_LABEL,
        paths=[
            Path(name="perturbed to a grid", points=np.concatenate(parts[:-1]), role="null"),
            Path(name="unperturbed", points=np.hstack([unperturbed, depth])),
        ],
        caption=caption(
            "Scores of the perturbed states and of the unperturbed trajectory in the plane, by "
            "depth",
            n=f"1 text, {len(scores)} perturbed states",
        ),
        interpretation=(
            "An attractor brings the states together in all dimensions, while states on the grid "
            "look alike from the start because they share all dimensions off the plane."
        ),
    )

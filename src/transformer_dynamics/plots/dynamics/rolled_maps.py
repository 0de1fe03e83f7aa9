"""Figures of trajectories rolled forward by linear maps of low rank."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Lines, Series
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.plots.backend.depth import SITE_LABEL, level, names_of

SHOWN_RANKS = (1, 8, 32)
MEAN_PATH = "mean path"
PARALLEL = "constant distance from the mean path"


def rolled_by_rank(result: xr.Dataset) -> Lines:
    """Draw the explained share of later states by rank, one line for each start."""
    ranks = result["rank"].values
    series = [
        Series(
            name=f"from {start}",
            x=np.log2(ranks),
            y=result["rolled_mean"].sel(start=start).values,
            labels=[f"rank {rank}" for rank in ranks.tolist()],
        )
        for start in result["start"].values.tolist()
    ]
    return Lines(
        title="Later states explained by linear maps of rank K",
        x_label="log2 K, K the rank of the maps (1)",
        y_label="share of the squared distance from the mean path, mean over later sites (1)",
        series=series,
        caption=caption(
            "Share of the squared distance from the mean path that maps of rank K explain, rolled "
            "forward from one site, on held-out texts",
            n=n_samples(result),
            null=MEAN_PATH,
        ),
        interpretation="A low-order system levels off at a small rank and at a high share.",
    )


def rolled_from(result: xr.Dataset, start: str) -> Lines:
    """Draw the explained share of the states after one start by site, for some ranks."""
    labels, chosen = names_of(result, "site"), result.sel(start=start)
    later = slice(labels.index(start) + 1, None)
    index = np.arange(len(labels))[later]
    series = [
        Series(
            name=f"maps of rank {rank}",
            x=index,
            y=chosen["rolled_explained"].sel(rank=rank).values[later],
            labels=labels[later],
            hidden=rank not in SHOWN_RANKS,
        )
        for rank in result["rank"].values.tolist()
    ]
    parallel = chosen["parallel_explained"].values[later]
    series.append(Series(name=PARALLEL, x=index, y=parallel, role="reference"))
    return Lines(
        title=f"Later states explained by linear maps from {start}",
        x_label=SITE_LABEL,
        y_label="share of the squared distance from the mean path (1)",
        series=[*series, level(MEAN_PATH, index, 0.0)],
        caption=caption(
            f"Share of the squared distance from the mean path that maps explain, rolled forward "
            f"from {start}, on held-out texts",
            n=n_samples(result),
            null=f"{PARALLEL}, {MEAN_PATH}",
        ),
        interpretation=(
            "Linear maps of low rank predict the path of a text only where the curve lies above "
            "both null models."
        ),
    )

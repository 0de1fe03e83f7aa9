"""Figures of `units.communities`: sorted correlations, modularity and agreement over depth."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Heatmap, Lines, Series
from transformer_dynamics.plots.backend.bands import draw_band, null_series
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.plots.backend.depth import SITE_LABEL, names_of
from transformer_dynamics.registry import figure

# Communities of fewer units than this share of the axis have no tick: their names would overlap.
LEAST_SHARE = 0.04
AGREEMENTS = {
    "adjusted_rand": "neighboring sites, adjusted Rand",
    "adjusted_mutual_information": "neighboring sites, adjusted mutual information",
}


@figure("units.communities")
def draw_communities(result: xr.Dataset) -> list[Drawing]:
    """Draw the correlation matrix in order of communities, modularity and agreement over depth."""
    return [_correlations(result), _modularity(result), _agreement(result)]


def _correlations(result: xr.Dataset) -> Heatmap:
    label = result["shown_community"].values
    ticks = [
        (float(np.flatnonzero(label == community).mean()), f"{community}")
        for community in np.unique(label[label >= 0])
        if (label == community).sum() >= LEAST_SHARE * label.size
    ]
    site = result["correlation"].attrs["site"]
    return Heatmap(
        title=f"Correlation of units by community, {site}",
        x_label="unit, in order of community (number of the community, 0 the largest)",
        y_label="unit, in the same order (index)",
        color_label="|r| over samples (1), up to the 99.9th percentile",
        values=result["correlation"].values,
        x_ticks=ticks,
        symmetric=False,
        caption=caption(
            f"Absolute Pearson correlation of {label.size} units over samples, at one site",
            n=n_samples(result),
        ),
        interpretation=(
            "Sorting by communities shows blocks in noise too, so the modularity must exceed that "
            "of its null models."
        ),
    )


def _modularity(result: xr.Dataset) -> Lines:
    depth, labels = result["depth"].values, names_of(result, "site")
    model = Series(name="recording", x=depth, y=result["modularity"].values, labels=labels)
    names = result["null"].values.tolist()
    nulls = [
        null_series(
            name.replace("_", " "),
            draw_band(result["null_modularity"].sel(null=name).values),
            x=depth,
            labels=labels,
        )
        for name in names
    ]
    n_draws = result.sizes["draw"]
    return Lines(
        title="Modularity of the graph of units over depth",
        x_label=SITE_LABEL,
        y_label="modularity (1)",
        series=[model, *nulls],
        caption=caption(
            "Modularity of the graph of correlated units at each site",
            n=n_samples(result),
            interval=f"range of {n_draws} draws of each null model",
            null=", ".join(name.replace("_", " ") for name in names),
        ),
        interpretation=(
            "Communities exist where the modularity exceeds that of independent units, and belong "
            "to single units where it also exceeds that of a random basis."
        ),
    )


def _agreement(result: xr.Dataset) -> Lines:
    depth = result["depth"].values
    between, pairs = (depth[1:] + depth[:-1]) / 2, names_of(result, "pair")
    series = [
        Series(name=name, x=between, y=result[variable].values, labels=pairs)
        for variable, name in AGREEMENTS.items()
    ]
    rerun = Series(
        name="same site, another seed, adjusted Rand",
        x=depth,
        y=result["rerun_adjusted_rand"].values,
        labels=names_of(result, "site"),
        role="reference",
    )
    return Lines(
        title="Agreement of communities over depth",
        x_label=SITE_LABEL,
        y_label="agreement (1; 0: chance, 1: equal)",
        series=[*series, rerun],
        caption=caption(
            "Agreement of the communities at one studied site with those at the next; dashed: two "
            "seeds at the same site",
            n=n_samples(result),
            null="chance, at 0 by the adjustment",
        ),
        interpretation=(
            "Communities persist over depth where neighboring sites agree about as well as two "
            "seeds at one site."
        ),
    )

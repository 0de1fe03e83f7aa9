"""Figures of `population.communities`: sorted correlations, modularity and agreement over depth."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.drawing import Drawing, Heatmap, Lines, Series

# Communities of fewer units than this share of the axis have no tick: their names would overlap.
LEAST_SHARE = 0.04


def draw_communities(result: xr.Dataset) -> list[Drawing]:
    """Correlation matrix in order of communities, modularity over depth, agreement over depth."""
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
        title=f"Correlation of units in order of their communities, {site}",
        x_label="unit, in order of community (community, 0 the largest)",
        y_label="unit, in the same order (index)",
        colour_label="|r| over samples (1), up to the 99.9th percentile",
        values=result["correlation"].values,
        x_ticks=ticks,
        symmetric=False,
        shows="Absolute correlation of pairs of units; the largest community comes first.",
        requires="Sorting by communities shows blocks in noise too; modularity must exceed that of "
        "its nulls.",
    )


def _modularity(result: xr.Dataset) -> Lines:
    depth = result["depth"].values
    labels = [str(label) for label in result["site"].values]
    series = [Series(name="recording", x=depth, y=result["modularity"].values, labels=labels)]
    for name in result["null"].values.tolist():
        draws = result["null_modularity"].sel(null=name).values
        series.append(
            Series(
                name=name.replace("_", " "),
                x=depth,
                y=draws.mean(axis=0),
                low=draws.min(axis=0),
                high=draws.max(axis=0),
                labels=labels,
                role="null",
            )
        )
    return Lines(
        title="Modularity of the graph of units over depth",
        x_label="site (index)",
        y_label="modularity (1)",
        series=series,
        shows=f"Modularity per site; nulls with the mean and range of {result.sizes['draw']} "
        "draws.",
        requires="Communities of units must exceed independent units, and a random basis if they "
        "belong to single units.",
    )


def _agreement(result: xr.Dataset) -> Lines:
    depth = result["depth"].values
    between = (depth[1:] + depth[:-1]) / 2
    pairs = [str(pair) for pair in result["pair"].values]
    sites = [str(site) for site in result["site"].values]
    names = {
        "adjusted_rand": "neighboring sites, adjusted Rand",
        "adjusted_mutual_information": "neighboring sites, adjusted mutual information",
    }
    series = [
        Series(name=name, x=between, y=result[variable].values, labels=pairs)
        for variable, name in names.items()
    ]
    series.append(
        Series(
            name="same site, another seed, adjusted Rand",
            x=depth,
            y=result["rerun_adjusted_rand"].values,
            labels=sites,
            role="reference",
        )
    )
    return Lines(
        title="Agreement of partitions over depth",
        x_label="site (index)",
        y_label="agreement (1; 0: chance, 1: equal)",
        series=series,
        shows="How far the communities of one site are those of the next one studied.",
        requires="Communities that persist agree about as well as two runs at one site do.",
    )

"""Figures of `units.communities`: sorted correlations, modularity and agreement over depth."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.measures.units.correlation import STEP_LABEL
from transformer_dynamics.measures.units.density import INDICES
from transformer_dynamics.numerics.arrays import band, defined_mean
from transformer_dynamics.plots.backend import Drawing, Heatmap, Lines, Series
from transformer_dynamics.registry import figure

# Communities of fewer units than this share of the axis have no tick: their names would overlap.
LEAST_SHARE = 0.04
INFORMATION_LABEL = "mutual information (nats)"
CORRELATION_LABEL = "Pearson correlation over samples (1)"
KIND_NAMES = {
    "attention": "attention steps (within a layer)",
    "mlp": "MLP steps (across layers)",
}


@figure("units.communities")
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
        color_label="|r| over samples (1), up to the 99.9th percentile",
        values=result["correlation"].values,
        x_ticks=ticks,
        symmetric=False,
        caption="Absolute correlation of pairs of units; the largest community comes first.",
        interpretation=(
            "Sorting by communities shows blocks in noise too; modularity must exceed that of "
            "its nulls."
        ),
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
        caption=(
            f"Modularity per site; nulls with the mean and range of {result.sizes['draw']} draws."
        ),
        interpretation=(
            "Communities of units must exceed independent units, and a random basis if they "
            "belong to single units."
        ),
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
        caption="How far the communities of one site are those of the next one studied.",
        interpretation="Communities that persist agree about as well as two runs at one site do.",
    )


@figure("units.density")
def draw_density(result: xr.Dataset) -> list[Drawing]:
    """The three indices over depth, then the norm on a logarithmic scale."""
    indices = [_over_samples(result, key, name) for key, name in INDICES.items()]
    return [
        Lines(
            title="Density of activation",
            x_label="site (index)",
            y_label="density (1)",
            series=indices,
            caption="Three readings of how many units are active, side by side over depth.",
            interpretation=(
                "Density would have to rise in the two scale-free readings; the absolute one "
                "rises with the norm alone."
            ),
        ),
        Lines(
            title="Norm of the stream",
            x_label="site (index)",
            y_label="norm (stream units)",
            series=[_over_samples(result, "norm", "norm")],
            y_scale="log",
            caption="The length of the states over depth, on which absolute readings depend.",
            interpretation=(
                "Nothing is claimed of it; it is what the other readings must be freed of."
            ),
        ),
    ]


def _over_samples(result: xr.Dataset, key: str, name: str) -> Series:
    values = result[key].values.T
    low, high = band(values)
    return Series(
        name=f"{name}: mean (5-95 % of samples)",
        x=np.arange(len(values)),
        y=defined_mean(values),
        low=low,
        high=high,
        labels=[str(site) for site in result["site"].values],
    )


@figure("units.mutual_information")
def draw_mutual_information(result: xr.Dataset) -> list[Drawing]:
    """Mean and band over units per step, the flagged steps marked, and the walk's curve."""
    mean = result["mean"].values
    low, high = band(result["information"].values)
    steps = np.arange(mean.size)
    names = [str(name) for name in result["step"].values]
    walk = 0.5 * np.log(steps + 2)
    series = [
        Series(name="mean (5-95 % of units)", x=steps, y=mean, low=low, high=high, labels=names),
        Series(name="plain walk, ln(s+1)/2", x=steps, y=walk, labels=names, role="reference"),
    ]
    source = str(result["information"].attrs["estimator"])
    at = np.flatnonzero(result["near_discrete"].values) if "near_discrete" in result else steps[:0]
    if at.size:
        labels = [names[step] for step in at]
        flag = "near-discrete states"
        series += [Series(name=flag, x=at, y=mean[at], labels=labels, role="detail", markers=True)]
    if "n_distinct_first" in result:
        distinct = result["n_distinct_first"]
        source += f"; {distinct.item()} {distinct.attrs['units']}"
    title = f"Information between neighboring sites ({source})"
    return [
        Lines(
            title=title,
            x_label=STEP_LABEL,
            y_label=INFORMATION_LABEL,
            series=series,
            caption="How many nats a unit's value shares with its value at the next site.",
            interpretation=(
                "A loss of the past would be a fall below the walk's curve at steps whose states "
                "are not near-discrete."
            ),
        )
    ]


@figure("units.correlation")
def draw_correlation(result: xr.Dataset) -> list[Drawing]:
    """Mean over units per step, attention and MLP steps told apart, and the walk's curve."""
    mean = result["mean"].values
    low, high = band(result["correlation"].values)
    steps = np.arange(mean.size)
    names = [str(name) for name in result["step"].values]
    kinds = result["step_kind"].values
    walk = np.sqrt((steps + 1) / (steps + 2))
    series = [
        Series(name="mean (5-95 % of units)", x=steps, y=mean, low=low, high=high, labels=names),
        Series(name="plain walk, sqrt(s/(s+1))", x=steps, y=walk, labels=names, role="reference"),
    ]
    for kind, name in KIND_NAMES.items():
        at = np.flatnonzero(kinds == kind)
        labels = [names[step] for step in at]
        points = Series(name=name, x=at, y=mean[at], labels=labels, role="detail", markers=True)
        series += [points] if at.size else []
    return [
        Lines(
            title="Correlation of single units between neighboring sites",
            x_label=STEP_LABEL,
            y_label=CORRELATION_LABEL,
            series=series,
            caption=(
                "How well a unit's value at one site tells its value at the next, over samples."
            ),
            interpretation="Continuity beyond that of sums would lie above the plain walk's curve.",
        )
    ]


@figure("units.correlation_pairs")
def draw_correlation_pairs(result: xr.Dataset) -> list[Drawing]:
    """The mean over units as a matrix of sites."""
    return [
        Heatmap(
            title="Correlation of single units between all pairs of sites, mean over units",
            x_label="site (label)",
            y_label="other site (index)",
            color_label=CORRELATION_LABEL,
            values=result["mean"].values.T,
            x_names=[str(name) for name in result["site"].values],
            caption="Over which stretches of depth units keep their value.",
            interpretation=(
                "Stages of processing would be blocks; a walk fades with distance evenly."
            ),
        )
    ]


@figure("units.correlation_by_lag")
def draw_correlation_by_lag(result: xr.Dataset) -> list[Drawing]:
    """Mean and band over units as a function of lag, and what a plain random walk gives."""
    lags = result["lag"].values
    walk = np.empty(lags.size)
    for index, lag in enumerate(lags):
        start = np.arange(1, lags.size + 2 - lag)
        walk[index] = np.sqrt(start / (start + lag)).mean()
    mean, low, high = (result[name].values for name in ("mean", "low", "high"))
    series = [
        Series(name="mean (5-95 % of units)", x=lags, y=mean, low=low, high=high),
        Series(name="plain walk, mean of sqrt(s/(s+lag))", x=lags, y=walk, role="reference"),
    ]
    return [
        Lines(
            title="Correlation of single units between sites by their distance",
            x_label="lag (sites)",
            y_label=CORRELATION_LABEL,
            series=series,
            caption="How fast units lose their value with distance over depth.",
            interpretation="Memory beyond that of sums would fall more slowly than the plain walk.",
        )
    ]

"""Figures of the autoencoder: what it explains beside PCA, its gain, and the path in its plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.measures.dimension.held_out_pca import MASSIVE, READINGS
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import (
    Drawing,
    Group,
    Histogram,
    Interval,
    Intervals,
    Lines,
    Path,
    Paths,
    Role,
    Series,
)
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import STREAM, attribute

N_PATHS = 3
SHOWN_COMPONENTS = 10


@figure("dimension.autoencoder")
def draw_autoencoder(result: xr.Dataset) -> list[Drawing]:
    """Variance explained, gain on PCA, the unexplained share over depth, and the latent path."""
    drawings: list[Drawing] = [_overall(result), _gain(result), _autoencoder_by_site(result)]
    narrowest = int(np.argmin(result["bottleneck"].values))
    if result.sizes["axis"] == 2 and result["n_epochs"].values[narrowest]:
        drawings.append(_paths(result, narrowest))
    return drawings


def _overall(result: xr.Dataset) -> Intervals:
    rows = []
    about = "global mean"
    for bottleneck in result["bottleneck"].values:
        for method in ("autoencoder", "PCA"):
            at = {"described_by": method, "about": about, "bottleneck": bottleneck}
            numbers = (float(result[f"overall{end}"].sel(at)) for end in ("", "_low", "_high"))
            name = f"{method}, {bottleneck} numbers per state"
            role: Role = "model" if method == "autoencoder" else "reference"
            rows.append(_interval(name, *numbers, role=role))
    at = {"described_by": "site mean", "about": about, "bottleneck": result["bottleneck"].values[0]}
    numbers = (float(result[f"overall{end}"].sel(at)) for end in ("", "_low", "_high"))
    rows.append(_interval("the site's mean, no number per state", *numbers, role="reference"))
    return Intervals(
        title="Held-out variance about the global mean",
        x_label="share of variance explained, all sites together (1)",
        intervals=rows,
        caption=" ".join(attribute(result, "finding")),
        interpretation=(
            "For a low-dimensional curved path of each text, the autoencoder would have to beat "
            "both PCA of equal rank and the site's mean, which knows nothing of the text."
        ),
    )


def _gain(result: xr.Dataset) -> Intervals:
    rows = []
    for bottleneck in result["bottleneck"].values:
        at = {"about": "global mean", "bottleneck": bottleneck}
        numbers = (float(result[f"gain{end}"].sel(at)) for end in ("", "_low", "_high"))
        rows.append(_interval(f"{bottleneck} numbers per state", *numbers, role="model"))
    rows.append(_interval("no gain", 0.0, 0.0, 0.0, role="reference"))
    return Intervals(
        title="What the autoencoder gains on PCA of equal rank",
        x_label="explained by the autoencoder - by PCA, about the global mean (1)",
        intervals=rows,
        caption=" ".join(attribute(result, "finding")),
        interpretation=(
            "That the interval lies above zero, and that the autoencoder beats the site's mean "
            "too: bending along the path that all texts share is a gain on PCA as well. The "
            "interval is over texts and leaves out the training's own luck."
        ),
    )


def _interval(name: str, value: float, low: float, high: float, *, role: Role) -> Interval:
    return Interval(name=name, value=value, low=low, high=high, role=role)


def _autoencoder_by_site(result: xr.Dataset) -> Lines:
    labels = result["site"].values.tolist()
    index = np.arange(len(labels))
    series = [
        Series(
            name=f"{method}, {bottleneck} numbers",
            x=index,
            y=1
            - result["explained"]
            .sel(described_by=method, about="site mean", bottleneck=bottleneck)
            .values,
            labels=labels,
            role="model" if method == "autoencoder" else "reference",
        )
        for method in ("autoencoder", "PCA")
        for bottleneck in result["bottleneck"].values
    ]
    one = Series(
        name="the site's mean, no number", x=index, y=np.ones(len(labels)), role="reference"
    )
    return Lines(
        title="Squared error over the site's own variance, on held-out texts",
        x_label="site (index)",
        y_label="squared error / variance about the site's mean (1)",
        y_scale="log",
        series=[*series, one],
        caption=(
            "Where a few numbers say more about a text's state than its depth does (below 1), and "
            "where they say less (above 1)."
        ),
        interpretation=(
            "That the error is well below 1 at most sites; an error of 1 means that the numbers "
            "only tell how deep the state lies."
        ),
    )


def _paths(result: xr.Dataset, narrowest: int) -> Paths:
    labels = result["site"].values.tolist()
    mean = result["latent_mean"].values[narrowest][:, :2]
    paths = [Path(name="mean over scored texts", points=mean, labels=labels)]
    paths += [
        Path(name=f"sample {sample}", points=points, labels=labels, role="detail")
        for sample, points in zip(
            result["scored"].values[:N_PATHS], result["latent_path"].values, strict=False
        )
    ]
    return Paths(
        title="Path over depth in the autoencoder's two latents",
        x_label="latent 1 (1)",
        y_label="latent 2 (1)",
        paths=paths,
        caption="How the states of held-out texts move over depth in the bottleneck's plane.",
        interpretation=(
            "That the latents tell texts apart, and that another seed gives the same shape: the "
            "plane of an autoencoder can be bent at will, so a curve in it shows nothing by itself."
        ),
    )


@figure("dimension.pca")
def draw_pca(result: xr.Dataset) -> list[Drawing]:
    """The mean path in the first two and three components, and both shares per site."""
    points, labels = result["mean_score"].values, result["site"].values.tolist()
    path = Path(name="mean over samples", points=points, labels=labels)
    axes = [
        f"PC{index} ({STREAM}; {100 * share:.1f} % of pooled variance)"
        for index, share in enumerate(result["explained_variance_ratio"].values, start=1)
    ]
    plane = "Mean path in the plane of the first two principal components"
    space = "Mean path in the first three principal components"
    drawings: list[Drawing] = []
    if len(axes) >= 2:
        flat = Paths(
            title=plane,
            x_label=axes[0],
            y_label=axes[1],
            paths=[path],
            caption="The mean path over depth along the directions in which all states vary most.",
            interpretation=(
                "A curve would mean dynamics only if a walk's were less curved: its own first "
                "components bend as well, with 0.61, 0.15 and 0.07 of the variance."
            ),
        )
        drawings.append(flat)
        if len(axes) >= 3:
            drawings.append(replace(flat, title=space, z_label=axes[2]))
    about = {
        "about the global mean": result["explained_about_global_mean"].values,
        "about the site's own mean": result["explained_about_site_mean"].values,
    }
    title = f"Variance of each site explained by {len(axes)} pooled components"
    return [*drawings, _share_lines(result, title, about)]


def _share_lines(result: xr.Dataset, title: str, shares: Mapping[str, Floats]) -> Lines:
    labels = result["site"].values.tolist()
    series = [
        Series(name=name, x=np.arange(share.size), y=share, labels=labels)
        for name, share in shares.items()
    ]
    y_label = "share of the site's variance (1)"
    return Lines(
        title=title,
        x_label="site (index)",
        y_label=y_label,
        series=series,
        caption="How much of the variance at each site a few components hold.",
        interpretation=(
            "For a low-dimensional stream the share would have to be high about each site's own "
            "mean and on other texts; about the global mean a common drift alone makes it high."
        ),
    )


@figure("dimension.pca_per_site")
def draw_pca_per_site(result: xr.Dataset) -> list[Drawing]:
    """Share of each site's variance that its own leading components explain."""
    shares = result["explained_variance_ratio"].values.T
    title = "Variance of each site, about its own mean, explained by its own components"
    named = {f"PC{index}": share for index, share in enumerate(shares, start=1)}
    return [_share_lines(result, title, named)]


@figure("dimension.held_out_pca")
def draw_held_out(result: xr.Dataset) -> list[Drawing]:
    """Variance explained against the number of components, and over depth for ten of them."""
    counts = result["n_components"].values
    chance = Series(
        name="random directions, K/D",
        x=counts,
        y=np.minimum(counts / result.attrs["n_units"], 1.0),
        role="reference",
    )
    # Massive units or not, the colors are those of the readings: lines, and points.
    kinds = MASSIVE if attribute(result, "massive_unit") else MASSIVE[:1]
    lines = [
        Series(
            name=reading + ("" if kind == MASSIVE[0] else f", {kind}"),
            x=counts,
            y=result["overall"].sel(massive=kind, reading=reading).values,
            low=result["overall_low"].sel(massive=kind, reading=reading).values,
            high=result["overall_high"].sel(massive=kind, reading=reading).values,
            role="model" if kind == MASSIVE[0] else "detail",
            markers=kind != MASSIVE[0],
        )
        for kind in kinds
        for reading in READINGS
    ]
    return [
        Lines(
            title="Held-out variance by number of principal components",
            x_label="components, fitted on other texts (number)",
            y_label="share of variance explained (1)",
            series=[*lines, chance],
            caption=(
                "How many directions, found on half of the texts, it takes to describe the other "
                "half: about the mean of all sites, and about each site's own mean."
            ),
            interpretation=(
                "That few directions are enough about the site's own mean too; about the global "
                "mean the way all texts share, or a few massive units, is enough to make it so."
            ),
        ),
        _held_out_by_site(result, kinds[-1]),
    ]


def _held_out_by_site(result: xr.Dataset, massive: str) -> Lines:
    """Shares by site for ten components, or the most below that there are everywhere."""
    counts, labels = result["n_components"].values, result["site"].values.tolist()
    defined = np.isfinite(result["overall"].sel(massive=massive).values).all(axis=0)
    count = int(counts[defined & (counts <= SHOWN_COMPONENTS)].max(initial=counts[0]))
    at = {"massive": massive, "n_components": count}
    return Lines(
        title=f"Held-out variance of each site, K = {count}, {massive}",
        x_label="site (index)",
        y_label="share of variance explained (1)",
        series=[
            Series(
                name=reading,
                x=np.arange(len(labels)),
                y=result[f"explained_{reading.replace(' ', '_')}"].sel(at).values,
                labels=labels,
            )
            for reading in READINGS
        ],
        caption="Depth at which few components explain most of the between-text variance.",
        interpretation=(
            "That the texts differ in more than their last token: at the first sites texts that "
            "end alike are alike, and few directions hold all there is."
        ),
    )


@figure("dimension.intrinsic_dimension")
def draw_dimension(result: xr.Dataset) -> list[Drawing]:
    """Participation ratio, TwoNN with its decimation, and the paths with their doubles."""
    labels = result["site"].values.tolist()
    index = np.arange(len(labels))

    def line(name: str, values: Floats, **kwargs: Any) -> Series:
        return Series(name=name, x=index, y=values, labels=labels, **kwargs)

    shares = result["fraction"].values
    # Three of the model's lines can be told apart by color; the others wait in the legend.
    two = [
        line(
            f"1/{1 / share:.0f} of the samples", result["two_nn"].values[:, place], hidden=order > 2
        )
        for order, (place, share) in enumerate(sorted(enumerate(shares), key=lambda s: -s[1]))
    ]
    gaussian = result["gaussian_two_nn"].values[:, 0]
    return [
        Lines(
            title="Participation ratio of the samples at each site",
            x_label="site (index)",
            y_label="participation ratio (1)",
            series=[
                line(
                    "corrected for the number of samples",
                    result["participation_ratio_corrected"].values,
                ),
                line("as it is", result["participation_ratio"].values, role="detail"),
            ],
            caption="How many directions share the variance between texts at each depth.",
            interpretation=(
                "Texts must be independent of each other, and no single massive unit may hold "
                "most of the variance, or the number is about that unit."
            ),
        ),
        Lines(
            title="TwoNN dimension of the samples at each site",
            x_label="site (index)",
            y_label="intrinsic dimension (1)",
            series=[
                *two,
                line("Gaussian cloud of the same covariance, all samples", gaussian, role="null"),
            ],
            caption="The local dimension of the cloud of texts, on ever fewer of them.",
            interpretation=(
                "The lines for fewer samples must lie on the one for all: where they part, "
                "texts are too few. Only what lies below the Gaussian cloud goes beyond covariance."
            ),
        ),
        *(
            Histogram(
                title=f"{noun} of each sample's path over depth",
                x_label=f"{noun} (1)",
                groups=[
                    Group(name="samples", values=result[f"path_{name}"].values),
                    Group(
                        name="same step lengths, all steps at right angles",
                        values=result[f"right_angled_path_{name}"].values,
                        role="null",
                    ),
                ],
                y_label="share of samples per bin (1)",
                caption="How many dimensions the way of a text through depth takes up.",
                interpretation=(
                    "The model's paths must part from those with the same step lengths and no "
                    "direction kept, which also are curved and of low dimension."
                ),
            )
            for noun, name in (
                ("Participation ratio", "participation_ratio"),
                ("TwoNN dimension", "two_nn"),
            )
        ),
    ]

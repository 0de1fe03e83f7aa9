"""Figures of the autoencoder: what it explains beside PCA, its gain, and the path in its plane."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.attributes import attribute
from transformer_dynamics.drawing import (
    Drawing,
    Interval,
    Intervals,
    Lines,
    Path,
    Paths,
    Role,
    Series,
)

N_PATHS = 3


def draw_autoencoder(result: xr.Dataset) -> list[Drawing]:
    """Variance explained, gain on PCA, the unexplained share over depth, and the latent path."""
    drawings: list[Drawing] = [_overall(result), _gain(result), _over_depth(result)]
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
        shows=" ".join(attribute(result, "finding")),
        requires=(
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
        shows=" ".join(attribute(result, "finding")),
        requires=(
            "That the interval lies above zero, and that the autoencoder beats the site's mean "
            "too: bending along the path that all texts share is a gain on PCA as well. The "
            "interval is over texts and leaves out the training's own luck."
        ),
    )


def _interval(name: str, value: float, low: float, high: float, *, role: Role) -> Interval:
    return Interval(name=name, value=value, low=low, high=high, role=role)


def _over_depth(result: xr.Dataset) -> Lines:
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
        shows=(
            "Where a few numbers say more about a text's state than its depth does (below 1), and "
            "where they say less (above 1)."
        ),
        requires=(
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
        shows="How the states of held-out texts move over depth in the bottleneck's plane.",
        requires=(
            "That the latents tell texts apart, and that another seed gives the same shape: the "
            "plane of an autoencoder can be bent at will, so a curve in it shows nothing by itself."
        ),
    )

"""Figures of `dimension.autoencoder`: variance, gain, error by site, latent paths, layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import (
    Drawing,
    Interval,
    Intervals,
    Lines,
    Path,
    Paths,
    Role,
    Series,
)
from transformer_dynamics.plots.backend.bands import quantile_band
from transformer_dynamics.plots.backend.captions import BOOTSTRAP, OVER_TEXTS_SPREAD, caption
from transformer_dynamics.plots.backend.depth import (
    SITE_LABEL,
    STEP_LABEL,
    depth_series,
    level,
    names_of,
)
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import attribute

N_PATHS = 3
METHODS: dict[str, Role] = {"autoencoder": "model", "PCA": "reference"}
BASELINES = "PCA of equal rank, mean of the site"


@figure("dimension.autoencoder")
def draw_autoencoder(result: xr.Dataset) -> list[Drawing]:
    """Draw variance explained, gain over PCA, error over depth, latent paths, and the layers."""
    drawings: list[Drawing] = [_overall(result), _gain(result), _by_site(result)]
    narrowest = int(np.argmin(result["bottleneck"].values))
    if result.sizes["axis"] == 2 and result["n_epochs"].values[narrowest]:
        drawings += [_paths(result, narrowest), _step_lengths(result)]
        # Last, so that results of earlier versions, which lack it, keep the others in their places.
        if widths := attribute(result, "encoder_widths", []):
            drawings.append(layer_widths_drawing(widths))
    return drawings


def _interval(
    result: xr.Dataset, name: str, variable: str, at: Mapping[Any, Any], role: Role
) -> Interval:
    value, low, high = (float(result[f"{variable}{end}"].sel(at)) for end in ("", "_low", "_high"))
    return Interval(name=name, value=value, low=low, high=high, role=role)


def _n(result: xr.Dataset) -> str:
    return f"{result.attrs['n_scored_samples']} held-out samples"


def _overall(result: xr.Dataset) -> Intervals:
    bottlenecks = result["bottleneck"].values
    rows = []
    for bottleneck in bottlenecks:
        for method, role in METHODS.items():
            at = {"described_by": method, "about": "global mean", "bottleneck": bottleneck}
            name = f"{method}, {bottleneck} numbers per state"
            rows.append(_interval(result, name, "overall", at, role))
    at = {"described_by": "site mean", "about": "global mean", "bottleneck": bottlenecks[0]}
    name = "mean of the site, no number per state"
    rows.append(_interval(result, name, "overall", at, "reference"))
    return Intervals(
        title="Held-out variance about the global mean",
        x_label="share of variance explained, all sites together (1)",
        intervals=rows,
        caption=caption(
            "Share of held-out variance explained by the autoencoder, all sites together",
            n=_n(result),
            interval=BOOTSTRAP,
            null=BASELINES,
        )
        + " "
        + " ".join(attribute(result, "finding")),
        interpretation=(
            "A low-dimensional curved path requires that the autoencoder explains more than both "
            "PCA of equal rank and the mean of the site, which knows nothing of the text."
        ),
    )


def _gain(result: xr.Dataset) -> Intervals:
    rows = [
        _interval(
            result,
            f"{bottleneck} numbers per state",
            "gain",
            {"about": "global mean", "bottleneck": bottleneck},
            "model",
        )
        for bottleneck in result["bottleneck"].values
    ]
    return Intervals(
        title="Gain of the autoencoder over PCA",
        x_label="explained by the autoencoder - by PCA, about the global mean (1)",
        intervals=[*rows, Interval(name="no gain", value=0.0, low=0.0, high=0.0, role="reference")],
        caption=caption(
            "Variance explained by the autoencoder less that explained by PCA of equal rank",
            n=_n(result),
            interval=f"{BOOTSTRAP}, for one training run",
            null="no gain",
        ),
        interpretation=(
            "An interval above zero shows a curved path of single texts only if the autoencoder "
            "also explains more than the mean of the site, since bending along the common path is "
            "a gain over PCA as well."
        ),
    )


def _by_site(result: xr.Dataset) -> Lines:
    explained = result["explained"].sel(about="site mean")
    series = [
        depth_series(
            f"{method}, {bottleneck} numbers",
            1 - explained.sel(described_by=method, bottleneck=bottleneck),
            role=role,
        )
        for method, role in METHODS.items()
        for bottleneck in result["bottleneck"].values
    ]
    return Lines(
        title="Unexplained share of each site's variance",
        x_label=SITE_LABEL,
        y_label="squared error / variance about the site's mean (1)",
        y_scale="log",
        series=[*series, level("mean of the site, no number", series[0].x, 1.0)],
        caption=caption(
            "Squared error on held-out texts over the variance about the mean of the site",
            n=_n(result),
            null=BASELINES,
        ),
        interpretation=(
            "The numbers describe how texts differ only where the error is well below 1; at 1 they "
            "encode depth alone."
        ),
    )


def _paths(result: xr.Dataset, narrowest: int) -> Paths:
    labels = names_of(result, "site")
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
        caption=caption(
            f"Latents of held-out texts by depth: their mean, and {len(paths) - 1} single texts",
            n=_n(result),
        ),
        interpretation=(
            "A curve in this plane shows nothing by itself, because an autoencoder may bend the "
            "plane at will; another seed must give the same shape."
        ),
    )


def _step_lengths(result: xr.Dataset) -> Lines:
    lengths = result["latent_path"].astype(np.float64).diff("site", label="lower")
    lengths = lengths.reduce(np.linalg.norm, "axis")
    spread = quantile_band(lengths.values)
    mean = depth_series("mean", lengths[0].copy(data=spread.mean), low=spread.low, high=spread.high)
    return Lines(
        title="Length of steps in the autoencoder's two latents",
        x_label=STEP_LABEL,
        y_label="|z[s+1] - z[s]| (1)",
        series=[mean],
        caption=caption(
            "Distance between consecutive points of a text's path through the bottleneck",
            n=_n(result),
            interval=OVER_TEXTS_SPREAD,
        ),
        interpretation=(
            "The unit of length is the autoencoder's own. Long steps show where the network "
            "separates depths, and nothing about the length of steps in the stream."
        ),
    )


def layer_widths_drawing(widths: Sequence[int], *, panel: str = "") -> Lines:
    """Draw the widths of the layers of both halves of an autoencoder.

    Args:
        widths: number of units of each layer of the encoder, stream and bottleneck included.
        panel: beginning of the title.
    """
    both = np.array([*widths, *list(widths)[-2::-1]])
    return Lines(
        title=f"{panel}Widths of the autoencoder's layers, bottleneck {widths[-1]}",
        x_label="layer (index)",
        y_label="units (count)",
        series=[Series(name="encoder, then decoder", x=np.arange(both.size), y=both)],
        y_scale="log",
        caption=caption(
            "Number of units in each layer of the encoder and the decoder", n="1 network"
        ),
        interpretation="The widths fall by one ratio from layer to layer, as in the paper.",
    )

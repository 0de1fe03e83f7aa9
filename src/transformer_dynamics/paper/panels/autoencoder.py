"""Panels 3A to 3C of arXiv 2502.12131: an autoencoder with a bottleneck of two numbers.

One autoencoder per condition (`dimension.autoencoder`: ten layers a half, split by text); panels
show held-out texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.measures.dimension.autoencoder import PAPER
from transformer_dynamics.measures.dimension.autoencoder_network import layer_widths
from transformer_dynamics.numerics.arrays import band
from transformer_dynamics.paper.conditions import (
    BOTTLENECK,
    SOURCE,
    Condition,
    each_condition,
    over_conditions,
)
from transformer_dynamics.paper.figures import lines, n_scored, with_scored
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Path, Paths
from transformer_dynamics.plots.dimension.autoencoder import layer_widths_drawing
from transformer_dynamics.registry import panel


def draw_3a(result: xr.Dataset) -> list[Drawing]:
    """Widths of the layers from the stream to the bottleneck and back."""
    widths = result["width"].values
    return [layer_widths_drawing(widths[: len(widths) // 2 + 1].tolist(), panel="3A. ")]


@panel(
    "paper.3A",
    title="3A. The autoencoder",
    source=SOURCE,
    reports="Ten layers in each half, whose widths fall by one ratio to a bottleneck of two.",
    draw=draw_3a,
    stand_ins=("dimension.autoencoder#5",),
)
def panel_3a(conditions: Sequence[Condition]) -> xr.Dataset:
    """`width` `(layer)`, units of the layers of both halves; `n_epochs` `(condition)` trained."""
    widths = layer_widths(conditions[0].sublayers.shape[2], BOTTLENECK, PAPER.n_layers)
    result = over_conditions(
        conditions, lambda each: each.autoencoder[["n_epochs"]].isel(bottleneck=0, drop=True)
    )
    return result.assign(width=("layer", [*widths, *widths[-2::-1]], {"units": "units"}))


def draw_3b(result: xr.Dataset) -> list[Drawing]:
    """Draw the mean latent path of the model and of each control."""
    labels = [str(site) for site in result["site"].values]
    return [
        Paths(
            title=f"3B. Latent path, mean over {n_scored(result)}",
            x_label="first number (1)",
            y_label="second number (1)",
            paths=[
                Path(
                    name=name,
                    points=each["latent"].values,
                    labels=labels,
                    role="model" if name == MODEL else "null",
                )
                for name, each in each_condition(result)
            ],
            caption="Mean path over texts through the bottleneck, first sublayer to last.",
            interpretation=(
                "Each condition has an autoencoder of its own, so positions and scales cannot be "
                "compared; the path of a random walk is curved as well."
            ),
        )
    ]


@panel(
    "paper.3B",
    title="3B. Latent path",
    source=SOURCE,
    reports="A curved path through the two numbers, from the first sublayer to the last.",
    draw=draw_3b,
    stand_ins=("dimension.autoencoder#3",),
)
def panel_3b(conditions: Sequence[Condition]) -> xr.Dataset:
    """`latent` `(condition, site, axis)`, mean over held-out texts, without unit."""

    def one(condition: Condition) -> xr.Dataset:
        return xr.Dataset({"latent": condition.autoencoder["latent_path"].mean("scored")})

    result = over_conditions(conditions, one)
    result["latent"].attrs = {"units": "1", "pooling": "mean over held-out texts"}
    return with_scored(result, conditions)


def draw_3c(result: xr.Dataset) -> list[Drawing]:
    """Mean step length over depth with its band."""
    return [
        lines(
            result,
            "length",
            title=f"3C. Latent step length, mean and 5-95 % of {n_scored(result)}",
            y_label="|z[s+1] - z[s]| (1)",
            caption="Distance between consecutive points of each text in the bottleneck.",
            interpretation="Each autoencoder has its own unit of length; compare depths of peaks.",
        )
    ]


@panel(
    "paper.3C",
    title="3C. Latent step length",
    source=SOURCE,
    reports="Steps in the bottleneck vary over depth; no numbers are printed.",
    draw=draw_3c,
    stand_ins=("dimension.autoencoder#4",),
)
def panel_3c(conditions: Sequence[Condition]) -> xr.Dataset:
    """Length of steps through the bottleneck over depth.

    Returns:
        `length` `(condition, step)`, mean over held-out texts, without unit; `length_low` and
        `length_high`, 5 % and 95 % of the texts.
    """

    def one(condition: Condition) -> xr.Dataset:
        path = condition.autoencoder["latent_path"].values.astype(np.float64)
        length = np.linalg.norm(np.diff(path, axis=1), axis=2)  # (scored, step)
        low, high = band(length.T)
        ends = {"units": "1", "definition": "5 % and 95 % quantile over held-out texts"}
        mean = {"units": "1", "definition": "|z[s+1] - z[s]|", "pooling": "mean over texts"}
        return xr.Dataset(
            {
                "length": ("step", length.mean(axis=0), mean),
                "length_low": ("step", low, ends),
                "length_high": ("step", high, ends),
            },
            coords=condition.sublayers.step_coords,
        )

    return with_scored(over_conditions(conditions, one), conditions)

"""Figure 3 of arXiv 2502.12131: the autoencoder with a bottleneck of two numbers.

One autoencoder per condition (`dimension.autoencoder`: ten layers a half, split by text); all
panels show the texts that it was not trained on.
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
from transformer_dynamics.paper.figures import lines
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Lines, Path, Paths, Series
from transformer_dynamics.registry import panel


def _scored(result: xr.Dataset) -> str:
    return f"{int(result.attrs['n_scored'])} held-out texts"


def _with_scored(result: xr.Dataset, conditions: Sequence[Condition]) -> xr.Dataset:
    return result.assign_attrs(n_scored=conditions[0].autoencoder.sizes["scored"])


def draw_3a(result: xr.Dataset) -> list[Drawing]:
    """Widths of the layers from the stream to the bottleneck and back."""
    widths = result["width"].values
    return [
        Lines(
            title=f"3A. Widths of the autoencoder's layers, bottleneck {BOTTLENECK}",
            x_label="layer (index)",
            y_label="units (count)",
            series=[Series(name="encoder, then decoder", x=np.arange(widths.size), y=widths)],
            y_scale="log",
            caption="How the stream is narrowed to two numbers and widened again.",
            interpretation=(
                "The widths fall by one ratio from layer to layer, as the paper has them."
            ),
        )
    ]


@panel(
    "paper.3A",
    title="3A. The autoencoder",
    source=SOURCE,
    reports="Ten layers in each half, whose widths fall by one ratio to a bottleneck of two.",
    draw=draw_3a,
)
def panel_3a(conditions: Sequence[Condition]) -> xr.Dataset:
    """`width` `(layer)`, units of the layers of both halves; `n_epochs` `(condition)` trained."""
    widths = layer_widths(conditions[0].sublayers.shape[2], BOTTLENECK, PAPER.n_layers)
    found = over_conditions(
        conditions, lambda each: each.autoencoder[["n_epochs"]].isel(bottleneck=0, drop=True)
    )
    return found.assign(width=("layer", [*widths, *widths[-2::-1]], {"units": "units"}))


def draw_3b(result: xr.Dataset) -> list[Drawing]:
    """The mean latent path of the model and of each control."""
    labels = [str(site) for site in result["site"].values]
    return [
        Paths(
            title=f"3B. Latent path, mean over {_scored(result)}",
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
            caption="The way of the mean over texts through the bottleneck, from depth to depth.",
            interpretation=(
                "Each condition has an autoencoder of its own, so places and scales cannot be "
                "compared; a walk's path is curved as well."
            ),
        )
    ]


@panel(
    "paper.3B",
    title="3B. Latent path",
    source=SOURCE,
    reports="A curved path through the two numbers, from the first sublayer to the last.",
    draw=draw_3b,
)
def panel_3b(conditions: Sequence[Condition]) -> xr.Dataset:
    """`latent` `(condition, site, axis)`, mean over held-out texts, without unit."""

    def one(condition: Condition) -> xr.Dataset:
        return xr.Dataset({"latent": condition.autoencoder["latent_path"].mean("scored")})

    found = over_conditions(conditions, one)
    found["latent"].attrs = {"units": "1", "pooling": "mean over held-out texts"}
    return _with_scored(found, conditions)


def draw_3c(result: xr.Dataset) -> list[Drawing]:
    """Mean step length over depth with its band."""
    return [
        lines(
            result,
            "length",
            title=f"3C. Latent step length, mean and 5-95 % of {_scored(result)}",
            y_label="|z[s+1] - z[s]| (1)",
            caption="How far each text moves through the bottleneck at every step.",
            interpretation="Lengths are in each autoencoder's own unit; compare where they peak.",
        )
    ]


@panel(
    "paper.3C",
    title="3C. Latent step length",
    source=SOURCE,
    reports="Steps in the bottleneck vary over depth; no numbers are printed.",
    draw=draw_3c,
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

    return _with_scored(over_conditions(conditions, one), conditions)


def draw_3d(result: xr.Dataset) -> list[Drawing]:
    """Explained variance about the global mean, then the error over the sublayer's own variance."""
    own = result.sel(about="site mean")
    # Two numbers leave many times the variance between texts at an early sublayer.
    error = xr.Dataset(
        {
            "error": 1 - own["explained"],
            "error_low": 1 - own["explained_high"],
            "error_high": 1 - own["explained_low"],
        }
    )
    return [
        lines(
            result.sel(about="global mean"),
            "explained",
            along="site",
            title=f"3D. Variance explained about the global mean, 95 % over {_scored(result)}",
            y_label="explained variance (1)",
            caption="How much of the variance of each sublayer two numbers per state explain.",
            interpretation="About the global mean the depth of a state alone explains much.",
        ),
        lines(
            error,
            "error",
            along="site",
            y_scale="log",
            title=f"3D. Error over the sublayer's own variance, 95 % over {_scored(result)}",
            y_label="1 - explained variance about the sublayer's own mean (1)",
            caption="The error of the same reconstruction over the variance between texts.",
            interpretation=(
                "Above 1 two numbers describe a text worse than its sublayer's mean does."
            ),
        ),
    ]


@panel(
    "paper.3D",
    title="3D. Variance explained by the autoencoder",
    source=SOURCE,
    reports="Two numbers explain 0.60 to 0.77 of the variance.",
    draw=draw_3d,
)
def panel_3d(conditions: Sequence[Condition]) -> xr.Dataset:
    """Variance of held-out texts that the autoencoder explains.

    Returns:
        `explained` `(condition, about, site)` and `overall` `(condition, about)`, each with its
        95 % interval over texts as `_low` and `_high`.
    """
    names = [f"{name}{end}" for name in ("explained", "overall") for end in ("", "_low", "_high")]

    def one(condition: Condition) -> xr.Dataset:
        found = condition.autoencoder[names].sel(described_by="autoencoder", drop=True)
        return found.isel(bottleneck=0, drop=True)

    return _with_scored(over_conditions(conditions, one), conditions)

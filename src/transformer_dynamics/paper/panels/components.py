"""Panels 4A and 4B of arXiv 2502.12131: pooled principal components.

The components are those of all texts and sublayers about one mean, without the final site.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.paper.conditions import (
    SOURCE,
    Condition,
    each_condition,
    over_conditions,
)
from transformer_dynamics.paper.figures import counted, n_texts
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Lines, Path, Paths, Series
from transformer_dynamics.registry import panel
from transformer_dynamics.storage.attributes import STREAM

N_PATHS = 6


def draw_4a(result: xr.Dataset) -> list[Drawing]:
    """Paths of some texts and the mean in the plane of the first two components."""
    model = result.sel(condition=MODEL)
    labels = [str(site) for site in result["site"].values]
    shares = model["explained"].values
    paths = [
        Path(name=f"text {int(text)}", points=points, labels=labels, role="reference")
        for text, points in zip(result["text"].values, model["path"].values, strict=True)
    ]
    mean = Path(name="mean", points=model["mean_path"].values, labels=labels)
    turned = model["angle"].values
    return [
        Paths(
            title=f"4A. Paths in the pooled principal plane ({n_texts(result)})",
            x_label=f"PC1 ({STREAM}; {100 * shares[0]:.1f} % of pooled variance)",
            y_label=f"PC2 ({STREAM}; {100 * shares[1]:.1f} % of pooled variance)",
            paths=[*paths, mean],
            caption=(
                "Paths of single texts and of their mean in the plane of the sublayers. "
                "With the final site included, "
                f"the first component turns by {turned[0]:.1f} degrees and the second by "
                f"{turned[1]:.1f}."
            ),
            interpretation="A random walk is curved in its own principal plane as well.",
        )
    ]


@panel(
    "paper.4A",
    title="4A. Paths in the pooled principal plane",
    source=SOURCE,
    reports="A curved path from the first sublayer to the last.",
    draw=draw_4a,
    claims=("C7",),
    stand_ins=("C7#1", "dimension.pca#0"),
)
def panel_4a(conditions: Sequence[Condition]) -> xr.Dataset:
    """Paths in the first two principal components of the sublayers.

    Returns:
        `path` `(condition, text, site, component)` of the first texts, `mean_path`
        `(condition, site, component)`, in stream units; `explained` `(condition, component)`, share
        of the pooled variance; `angle` `(condition, component)`, in degrees, to the component with
        the final site included.
    """

    def one(condition: Condition) -> xr.Dataset:
        plane = condition.pca.isel(component=slice(2))
        _, first = np.unique(condition.sublayers.text_index, return_index=True)
        shown = first[:N_PATHS]
        return xr.Dataset(
            {
                "path": (
                    ("text", "site", "component"),
                    plane["score"].values[shown],
                    {"units": STREAM},
                ),
                "mean_path": plane["mean_score"],
                "explained": plane["explained_variance_ratio"],
                "angle": ("component", _angle(condition), {"units": "degrees"}),
            },
            coords={"text": condition.sublayers.text_index[shown]},
        )

    return counted(over_conditions(conditions, one), conditions)


def _angle(condition: Condition) -> Floats:
    """Angles between the first two components without and with the final site, in degrees."""
    if condition.recording.sites == condition.sublayers.sites:
        return np.zeros(2)
    other = pca(condition.recording.load_if_small(), n_components=2)["loading"].values
    cosine = np.abs((condition.pca["loading"].values[:2] * other).sum(axis=1))
    return np.asarray(np.degrees(np.arccos(np.minimum(cosine, 1.0))))


def draw_4b(result: xr.Dataset) -> list[Drawing]:
    """Cumulative share of the pooled variance by number of components."""
    return [
        Lines(
            title=f"4B. Pooled variance by number of components ({n_texts(result)})",
            x_label="components (count)",
            y_label="share of the variance of all sublayers together (1)",
            series=[
                Series(
                    name=name,
                    x=result["component"].values,
                    y=each["cumulative"].values,
                    role="model" if name == MODEL else "null",
                )
                for name, each in each_condition(result)
            ],
            caption="Cumulative share of the pooled variance by number of principal components.",
            interpretation=("A random walk with the model's step covariance has a similar curve."),
        )
    ]


@panel(
    "paper.4B",
    title="4B. Variance by number of components",
    source=SOURCE,
    reports="A few components hold most of the variance; up to 100 are shown.",
    draw=draw_4b,
    claims=("C12",),
    stand_ins=("dimension.held_out_pca#0", "C12#0"),
)
def panel_4b(conditions: Sequence[Condition]) -> xr.Dataset:
    """`cumulative` `(condition, component)`, share of the pooled variance."""

    def one(condition: Condition) -> xr.Dataset:
        return xr.Dataset(
            {"cumulative": condition.pca["explained_variance_ratio"].cumsum("component")}
        )

    result = over_conditions(conditions, one)
    result["cumulative"].attrs = {"units": "1", "denominator": "variance pooled over sublayers"}
    return counted(result, conditions)

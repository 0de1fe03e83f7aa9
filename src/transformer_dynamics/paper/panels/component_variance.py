"""Panel 4C of arXiv 2502.12131: variance of each sublayer that the pooled components explain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import ratio
from transformer_dynamics.paper.conditions import (
    SOURCE,
    Condition,
    over_conditions,
)
from transformer_dynamics.paper.figures import counted, lines, n_texts
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.registry import panel

COUNTS = (2, 10, 100)


def draw_4c(result: xr.Dataset) -> list[Drawing]:
    """Shares by sublayer of the model, one figure per denominator, then of every condition."""
    labels = [str(site) for site in result["site"].values]
    model = result.sel(condition=MODEL)
    drawings: list[Drawing] = []
    for name, words in (
        ("about_global_mean", "about the global mean"),
        ("about_site_mean", "about the sublayer's own mean"),
    ):
        series = [
            Series(
                name=f"{count} components",
                x=np.arange(len(labels)),
                y=share,
                labels=labels,
            )
            for count, share in zip(
                result["count"].values.tolist(), model[name].values, strict=True
            )
        ]
        model_lines = Lines(
            title=f"4C. Variance {words}, model ({n_texts(result)})",
            x_label="sublayer (index)",
            y_label="share of the sublayer's variance (1)",
            series=series,
            caption="Share of each sublayer's variance that the pooled components explain.",
            interpretation=(
                "The variance about the global mean includes a drift common to all texts; the "
                "variance about the sublayer's own mean is the between-text variance alone."
            ),
        )
        most = int(result["count"].values[-1])
        all_conditions = lines(
            result.isel(count=-1),
            name,
            along="site",
            title=f"4C. Variance {words}, {most} components",
            y_label=model_lines.y_label,
            caption="The same share for the model and its controls, with all components.",
            interpretation=(
                "A low dimension that was learned would exceed the share of the untrained network."
            ),
        )
        drawings += [model_lines, all_conditions]
    return drawings


@panel(
    "paper.4C",
    title="4C. Variance by sublayer",
    source=SOURCE,
    reports="100 components explain nearly all of the variance of most sublayers.",
    draw=draw_4c,
    claims=("C12",),
    stand_ins=("dimension.pca#2", "C12#0"),
)
def panel_4c(conditions: Sequence[Condition]) -> xr.Dataset:
    """Share of each sublayer's variance that the first pooled components explain.

    Returns:
        `about_global_mean` and `about_site_mean` `(condition, count, site)`, by number of
        components, with the two denominators of `dimension.pca`.
    """

    def one(condition: Condition) -> xr.Dataset:
        components = condition.pca
        counts = [count for count in COUNTS if count < components.sizes["component"]]
        counts.append(components.sizes["component"])
        score = components["score"].values.astype(np.float64)
        parts = {
            "about_global_mean": (score**2, components["explained_about_global_mean"].values),
            "about_site_mean": (
                (score - score.mean(axis=0)) ** 2,
                components["explained_about_site_mean"].values,
            ),
        }
        variables = {}
        for name, (squares, of_all) in parts.items():
            held = np.cumsum(squares.sum(axis=0), axis=-1).T  # (component, site)
            share = of_all * ratio(held, held[-1:])
            denominator = "the sublayer's variance " + name.replace("_", " ")
            chosen = share[np.array(counts) - 1]
            variables[name] = (
                ("count", "site"),
                chosen,
                {"units": "1", "denominator": denominator},
            )
        return xr.Dataset(variables, coords={**condition.sublayers.site_coords, "count": counts})

    return counted(over_conditions(conditions, one), conditions)

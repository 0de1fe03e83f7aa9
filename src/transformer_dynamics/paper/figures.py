"""Figures that the panels share: units by depth, and one line per condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.paper.conditions import SHUFFLED, Condition, each_condition
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Heatmap, Lines, Series, shown_rows

LABELS = {
    "step": "step (index of the sublayer it starts from)",
    "site": "sublayer (index)",
}
WALK_COSINE = "plain walk, sqrt(s/(s+1))"


def heatmaps(
    result: xr.Dataset, name: str, by: Floats, *, symmetric: bool, **words: Any
) -> list[Drawing]:
    """Units by depth for the model and for shuffled tokens, units in ascending order of `by`.

    Args:
        result: result with the dimension `condition`.
        name: variable `(condition, site or step, unit)`.
        by: values that sort each condition's units, `(condition, unit)`.
        symmetric: whether the color scale is centered on zero.
        words: title, labels and sentences of the drawing.
    """
    maps: list[Drawing] = []
    along = next(dim for dim in result[name].dims if dim in ("site", "step"))
    for row, condition in enumerate(result["condition"].values.tolist()):
        if condition not in (MODEL, SHUFFLED):
            continue
        order = np.argsort(by[row], kind="stable")
        shown = order[shown_rows(order.size)]
        title = f"{words['title']}, {condition.replace('_', ' ')}"
        maps.append(
            Heatmap(
                **{**words, "title": title},
                values=result[name].isel(condition=row).values.T[shown],
                x_names=[str(label) for label in result[along].values],
                symmetric=symmetric,
                role="model" if condition == MODEL else "null",
            )
        )
    return maps


def lines(
    result: xr.Dataset,
    name: str,
    extra: Sequence[Series] = (),
    *,
    along: str = "step",
    y_scale: Literal["linear", "log"] = "linear",
    **words: str,
) -> Lines:
    """Draw a variable `(condition, site or step)`, with its band if it has one, as lines."""
    series = []
    for condition, each in each_condition(result):
        low, high = (
            each[f"{name}_{end}"].values if f"{name}_{end}" in each else None
            for end in ("low", "high")
        )
        series.append(
            Series(
                name=condition,
                x=np.arange(each.sizes[along]),
                y=each[name].values,
                low=low,
                high=high,
                labels=[str(label) for label in each[along].values],
                role="model" if condition == MODEL else "null",
            )
        )
    return Lines(series=[*series, *extra], x_label=LABELS[along], y_scale=y_scale, **words)


def plain_walk(result: xr.Dataset) -> Series:
    """Cosine, and correlation, of consecutive states of a plain random walk."""
    steps = np.arange(result.sizes["step"])
    walk = np.sqrt((steps + 1) / (steps + 2))
    return Series(name=WALK_COSINE, x=steps, y=walk, role="reference")


def n_texts(result: xr.Dataset) -> str:
    """Number of samples, for a title."""
    return f"N = {int(result.attrs['n_samples'])}"


def counted(result: xr.Dataset, conditions: Sequence[Condition]) -> xr.Dataset:
    """Add the number of samples to the result's attrs."""
    return result.assign_attrs(n_samples=conditions[0].recording.shape[0])


def n_scored(result: xr.Dataset) -> str:
    """Number of held-out texts, for a title."""
    return f"{int(result.attrs['n_scored'])} held-out texts"


def with_scored(result: xr.Dataset, conditions: Sequence[Condition]) -> xr.Dataset:
    """Add the number of held-out texts to the result's attrs."""
    return result.assign_attrs(n_scored=conditions[0].autoencoder.sizes["scored"])

"""Figures that the panels share: units by depth, and one line per condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.paper.conditions import SHUFFLED, Condition, each_condition
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Heatmap, Lines, Series

# Rows of a heat map: units at even ranks where there are more.
SHOWN_UNITS = 768
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
        result: with `condition`.
        name: a variable `(condition, site or step, unit)`.
        by: what each condition's units are sorted by, `(condition, unit)`.
        symmetric: whether the colors are centered on zero.
        words: title, labels and sentences of the drawing.
    """
    maps: list[Drawing] = []
    along = next(dim for dim in result[name].dims if dim in ("site", "step"))
    for place, condition in enumerate(result["condition"].values.tolist()):
        if condition not in (MODEL, SHUFFLED):
            continue
        order = np.argsort(by[place], kind="stable")
        shown = order[np.unique(np.linspace(0, order.size - 1, SHOWN_UNITS).round().astype(int))]
        title = f"{words['title']}, {condition.replace('_', ' ')}"
        maps.append(
            Heatmap(
                **{**words, "title": title},
                values=result[name].isel(condition=place).values.T[shown],
                x_names=[str(label) for label in result[along].values],
                symmetric=symmetric,
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
    """A variable `(condition, site or step)` with its band if it has one, a line per condition."""
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
    """The result with the number of samples in its attrs."""
    return result.assign_attrs(n_samples=conditions[0].recording.shape[0])

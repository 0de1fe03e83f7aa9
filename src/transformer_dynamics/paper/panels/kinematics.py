"""Panels 1E and 1F of arXiv 2502.12131: cosine of consecutive states, and speed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.paper.conditions import SOURCE, Condition, over_conditions
from transformer_dynamics.paper.figures import counted, lines, n_texts, plain_walk
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import panel


def _bootstrapped_mean(condition: Condition, name: str) -> xr.Dataset:
    """Mean and 95 % interval over texts of a variable of the kinematics, `(step)`."""
    values = condition.kinematics[name]

    def mean(_: Recording, weights: Floats) -> Floats:
        return np.asarray(weights @ values.values)

    value, low, high = condition.bootstrapped(mean)
    ends = {"units": values.attrs["units"], "definition": "95 % interval over texts"}
    pooled = {**values.attrs, "pooling": "mean over texts"}
    return xr.Dataset(
        {
            name: ("step", value, pooled),
            f"{name}_low": ("step", low, ends),
            f"{name}_high": ("step", high, ends),
        },
        coords=condition.sublayers.step_coords,
    )


def draw_1e(result: xr.Dataset) -> list[Drawing]:
    """Mean cosine by step of every condition."""
    return [
        lines(
            result,
            "cosine",
            [plain_walk(result)],
            title=f"1E. Cosine of consecutive states, 95 % over texts ({n_texts(result)})",
            y_label="cosine (1)",
            caption="Cosine between the states of consecutive sublayers, mean over texts.",
            interpretation=(
                "A direction that settles beyond the null model lies above the random walk."
            ),
        )
    ]


@panel(
    "paper.1E",
    title="1E. Cosine of consecutive states",
    source=SOURCE,
    reports="About 0.52 at the first step, 0.97 to 0.99 late, with a dip at the end.",
    draw=draw_1e,
    claims=("C4",),
    stand_ins=("C4#0", "paths.kinematics#2"),
)
def panel_1e(conditions: Sequence[Condition]) -> xr.Dataset:
    """`cosine` `(condition, step)`, mean over texts, with `cosine_low` and `cosine_high`."""
    result = over_conditions(conditions, lambda each: _bootstrapped_mean(each, "cosine"))
    return counted(result, conditions)


def draw_1f(result: xr.Dataset) -> list[Drawing]:
    """Mean speed by step of every condition, on a logarithmic scale."""
    return [
        lines(
            result,
            "speed",
            y_scale="log",
            title=f"1F. Speed, mean and 95 % over texts ({n_texts(result)})",
            y_label="speed (stream units per step)",
            caption="Length of the update at each step, mean over texts, on a logarithmic scale.",
            interpretation=(
                "The matched random walk has the model's own step sizes, so it cannot decide."
            ),
        )
    ]


@panel(
    "paper.1F",
    title="1F. Speed over depth",
    source=SOURCE,
    reports="Below 1 at the start, 2 to 5 in the middle, up to about 24 near sublayer 61 of 64.",
    draw=draw_1f,
    claims=("C2",),
    stand_ins=("C2#0", "paths.kinematics#0"),
)
def panel_1f(conditions: Sequence[Condition]) -> xr.Dataset:
    """`speed` `(condition, step)`, mean over texts, with `speed_low` and `speed_high`."""
    result = over_conditions(conditions, lambda each: _bootstrapped_mean(each, "speed"))
    return counted(result, conditions)

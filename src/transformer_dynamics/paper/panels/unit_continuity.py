"""Panels 1B and 1C of arXiv 2502.12131: activations of single units, their correlation over depth.

Controls are drawn in every panel; heat maps of the model and of shuffled tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from transformer_dynamics.numerics.arrays import band, defined_mean
from transformer_dynamics.paper.conditions import SOURCE, Condition, over_conditions
from transformer_dynamics.paper.figures import counted, heatmaps, lines, n_texts, plain_walk
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.registry import panel

SITE_LABEL = "sublayer (label)"
R_LABEL = "Pearson r over texts (1)"


def draw_1b(result: xr.Dataset) -> list[Drawing]:
    """Units by sublayer, the model and shuffled tokens."""
    values = result["activation"].values
    return heatmaps(
        result,
        "activation",
        values[:, -1],
        symmetric=True,
        title=f"1B. Mean activation ({n_texts(result)})",
        x_label=SITE_LABEL,
        y_label="unit (rank at the last sublayer)",
        color_label="mean activation (stream units; end colors: 99th percentile)",
        caption=("Activation of every unit at every sublayer, mean over texts."),
        interpretation="Horizontal bands show continuity; sums of independent steps have them too.",
    )


@panel(
    "paper.1B",
    title="1B. Mean activation of units",
    source=SOURCE,
    reports="Units keep their sign and rank over many sublayers, and activations grow.",
    draw=draw_1b,
    claims=("C1", "C1-basis"),
    stand_ins=("C1#1", "orbits.phase_portrait#1"),
)
def panel_1b(conditions: Sequence[Condition]) -> xr.Dataset:
    """Mean activation over texts, `activation` `(condition, site, unit)`, in stream units."""
    result = over_conditions(conditions, lambda each: each.portrait[["activation"]])
    return counted(result, conditions)


def draw_1c(result: xr.Dataset) -> list[Drawing]:
    """Units by step, then the mean over units of every condition."""
    values = result["correlation"].values
    maps = heatmaps(
        result,
        "correlation",
        defined_mean(values.swapaxes(1, 2)),
        symmetric=True,
        title=f"1C. Correlation of adjacent sublayers ({n_texts(result)})",
        x_label="step (label of the sublayer it starts from)",
        y_label="unit (rank by its mean correlation)",
        color_label=R_LABEL,
        caption="Correlation over texts of each unit with itself at the next sublayer.",
        interpretation="In a plain random walk every unit has sqrt(s/(s+1)) at step s.",
    )
    means = lines(
        result,
        "mean",
        [plain_walk(result)],
        title="1C. Correlation of adjacent sublayers, mean and 5-95 % of units",
        y_label=R_LABEL,
        caption="Mean of the same correlation over units, for the model and its controls.",
        interpretation="Continuity beyond the null model lies above the matched random walk.",
    )
    return [*maps, means]


@panel(
    "paper.1C",
    title="1C. Unit correlation of adjacent sublayers",
    source=SOURCE,
    reports="r above 0.8 from the first step on, higher within a layer than across layers.",
    draw=draw_1c,
    claims=("C1", "C1-basis"),
    stand_ins=("C1#0", "units.correlation#0"),
)
def panel_1c(conditions: Sequence[Condition]) -> xr.Dataset:
    """Pearson r over texts of a unit at adjacent sublayers.

    Returns:
        `correlation` `(condition, step, unit)`; over units `mean`, and `mean_low`, `mean_high`, its
        5 % and 95 % quantiles, `(condition, step)`.
    """

    def one(condition: Condition) -> xr.Dataset:
        result = condition.correlation[["correlation", "mean"]]
        low, high = band(result["correlation"].values)
        quantile = {"units": "1", "definition": "5 % and 95 % quantile over units"}
        return result.assign(mean_low=("step", low, quantile), mean_high=("step", high, quantile))

    return counted(over_conditions(conditions, one), conditions)

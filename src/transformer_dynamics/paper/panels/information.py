"""Panels 1G and 1H of arXiv 2502.12131: mutual information of units at adjacent sublayers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import defined_mean
from transformer_dynamics.paper.conditions import SOURCE, Condition, over_conditions
from transformer_dynamics.paper.figures import counted, heatmaps, lines, n_texts
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Series
from transformer_dynamics.registry import panel


def draw_1g(result: xr.Dataset) -> list[Drawing]:
    """Units by step with the kernel estimate, then with the copula."""
    words = {
        "x_label": "step (label of the sublayer it starts from)",
        "color_label": "mutual information (nats)",
        "caption": "Mutual information over texts of each unit with itself at the next sublayer.",
        "interpretation": (
            "The first state depends on the last token alone, here on "
            f"{_distinct(result)}: the kernel estimate then counts noise as information."
        ),
    }
    drawings: list[Drawing] = []
    for name, unit, title in (
        ("kde", "kde_unit", f"kernel estimate, {result.sizes['kde_unit']} units"),
        ("copula", "unit", "Gaussian copula, all units"),
    ):
        values = defined_mean(result[name].transpose("condition", unit, "step").values)
        drawings += heatmaps(
            result,
            name,
            values,
            symmetric=False,
            title=f"1G. Information, {title} ({n_texts(result)})",
            y_label="unit (rank by its mean information)",
            **words,
        )
    return drawings


@panel(
    "paper.1G",
    title="1G. Mutual information of adjacent sublayers, by unit",
    source=f"{SOURCE} (kernel estimate); Gaussian copula: Ince et al. 2017",
    reports="Information is high at the first step and falls within a few sublayers.",
    draw=draw_1g,
    claims=("C5", "C5-consecutive"),
    stand_ins=("C5#0",),
)
def panel_1g(conditions: Sequence[Condition]) -> xr.Dataset:
    """Mutual information over texts of a unit at adjacent sublayers, in nats.

    Returns:
        `kde` `(condition, step, kde_unit)`, the paper's kernel plug-in estimate for evenly spaced
        units; `copula` `(condition, step, unit)`; `n_distinct` `(condition)`, number of distinct
        last tokens, or of distinct first states if the tokens are unknown.
    """

    def one(condition: Condition) -> xr.Dataset:
        kde = condition.kde["information"].rename("kde").rename(unit="kde_unit")
        copula = condition.copula["information"].rename("copula")
        distinct = condition.copula["n_distinct_first"].rename("n_distinct")
        return xr.merge([kde, copula, distinct], compat="no_conflicts")

    return counted(over_conditions(conditions, one), conditions)


def _distinct(result: xr.Dataset) -> str:
    count = int(result["n_distinct"].sel(condition=MODEL))
    return f"{count} {result['n_distinct'].attrs['units']}"


def draw_1h(result: xr.Dataset) -> list[Drawing]:
    """Mean information by step, one figure for each estimate."""
    walk = 0.5 * np.log(np.arange(result.sizes["step"]) + 2)
    steps = np.arange(walk.size)
    return [
        lines(
            result,
            name,
            [Series(name="plain walk, ln(s+1)/2", x=steps, y=walk, role="reference")],
            title=f"1H. Information, mean over units, {estimate} ({n_texts(result)})",
            y_label="mutual information (nats)",
            caption="Mutual information of adjacent sublayers, mean over units.",
            interpretation=(
                "Information lost early lies below the random walk at steps that do not start from "
                f"a few distinct tokens; here there are {_distinct(result)}."
            ),
        )
        for name, estimate in (("kde", "kernel estimate"), ("copula", "Gaussian copula"))
    ]


@panel(
    "paper.1H",
    title="1H. Mutual information of adjacent sublayers, mean over units",
    source=f"{SOURCE} (kernel estimate); Gaussian copula: Ince et al. 2017",
    reports="4.4 nats at step 0, about 1.0 by step 5, about 1.5 at the end.",
    draw=draw_1h,
    claims=("C5-consecutive",),
    stand_ins=("C5-consecutive#0", "units.mutual_information#0"),
)
def panel_1h(conditions: Sequence[Condition]) -> xr.Dataset:
    """`kde` and `copula` `(condition, step)`, means over units in nats; `n_distinct` as in 1G."""

    def one(condition: Condition) -> xr.Dataset:
        return xr.Dataset(
            {
                "kde": condition.kde["mean"],
                "copula": condition.copula["mean"],
                "n_distinct": condition.copula["n_distinct_first"],
            }
        )

    return counted(over_conditions(conditions, one), conditions)

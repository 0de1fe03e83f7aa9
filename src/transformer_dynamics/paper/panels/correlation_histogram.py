"""Panel 1D of arXiv 2502.12131: histogram of unit correlations over pairs of sublayers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.measures.units.site_pairs import correlation_pairs
from transformer_dynamics.paper.conditions import SOURCE, Condition, each_condition, over_conditions
from transformer_dynamics.paper.figures import counted, n_texts
from transformer_dynamics.paper.panels.unit_continuity import R_LABEL
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.registry import panel

N_BINS = 100
WITHIN, ACROSS = "adjacent, within a layer", "adjacent, across layers"
KINDS = {"attention": WITHIN, "mlp": ACROSS}


def draw_1d(result: xr.Dataset) -> list[Drawing]:
    """Histograms of the model by kind of pair, then of adjacent pairs in every condition."""
    middle = result["bin"].values
    groups = result["pairs"].values.tolist()
    words: dict[str, Any] = {
        "x_label": R_LABEL,
        "y_label": f"share of units and pairs in a bin of {middle[1] - middle[0]:.2g} (1)",
    }
    model = result.sel(condition=MODEL)
    kinds = Lines(
        title=f"1D. Correlations of units by kind of pair, model ({n_texts(result)})",
        series=[
            Series(
                name=f"{group}: mean {mean:.3f}",
                x=middle,
                y=share,
                role="reference" if group == "all" else "model",
            )
            for group, mean, share in zip(
                groups, model["mean"].values, model["share"].values, strict=True
            )
        ],
        caption=(
            "Distribution of the correlations of single units over all pairs and adjacent pairs."
        ),
        interpretation="The paper finds adjacent sublayers of one layer above those of two layers.",
        **words,
    )
    adjacent = Lines(
        title=f"1D. Correlations of adjacent sublayers, by condition ({n_texts(result)})",
        series=[
            Series(
                name=condition,
                x=middle,
                y=each["share"].sel(pairs="adjacent").values,
                role="model" if condition == MODEL else "null",
            )
            for condition, each in each_condition(result)
        ],
        caption="Distribution over adjacent pairs, for the model and its controls.",
        interpretation="A distribution shared by the matched random walk follows from sums alone.",
        **words,
    )
    return [kinds, adjacent]


@panel(
    "paper.1D",
    title="1D. Histogram of unit correlations",
    source=SOURCE,
    reports="Adjacent sublayers correlate near 1, those of one layer more than those of two.",
    draw=draw_1d,
    claims=("C1",),
    stand_ins=("units.correlation_by_lag#0", "units.correlation#0"),
)
def panel_1d(conditions: Sequence[Condition]) -> xr.Dataset:
    """Histograms of unit correlations over pairs of sublayers.

    Returns:
        `share` `(condition, pairs, bin)`, of the correlations of all units and pairs of a kind, in
        bins of equal width from -1 to 1, labeled by their centers; `mean` `(condition, pairs)`.
        Kinds of `pairs`: all, adjacent, adjacent within a layer, adjacent across layers.
    """
    edges = np.linspace(-1, 1, N_BINS + 1)

    def one(condition: Condition) -> xr.Dataset:
        adjacent = condition.correlation["correlation"].values
        kinds = condition.sublayers.step_kinds
        everything = correlation_pairs(condition.sublayers)["correlation"].values
        pairs = {"all": everything[np.triu_indices(len(everything), 1)], "adjacent": adjacent}
        pairs |= {name: adjacent[kinds == kind] for kind, name in KINDS.items() if kind in kinds}
        defined = {name: values[np.isfinite(values)] for name, values in pairs.items()}
        counts = [np.histogram(values, edges)[0] for values in defined.values()]
        shares = [count / max(1, count.sum()) for count in counts]
        means = [values.mean(dtype=np.float64) for values in defined.values()]
        per_kind = {"units": "1", "denominator": "units times pairs where r is defined"}
        return xr.Dataset(
            {
                "share": (("pairs", "bin"), np.stack(shares), per_kind),
                "mean": ("pairs", np.array(means), per_kind),
            },
            coords={
                "pairs": np.array(list(pairs), dtype=object),
                "bin": (edges[1:] + edges[:-1]) / 2,
            },
        )

    return counted(over_conditions(conditions, one), conditions)

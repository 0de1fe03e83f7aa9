"""Figure 1 of arXiv 2502.12131: single units over depth, and the speed and direction of the stream.

Controls beside the model in every panel; heat maps of the model and of shuffled tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.measures.units.site_pairs import correlation_pairs
from transformer_dynamics.numerics.arrays import Floats, band, defined_mean
from transformer_dynamics.paper.conditions import SOURCE, Condition, each_condition, over_conditions
from transformer_dynamics.paper.figures import counted, heatmaps, lines, n_texts, plain_walk
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import panel

N_BINS = 100
SITE_LABEL = "sublayer (label)"
R_LABEL = "Pearson r over texts (1)"
WITHIN, ACROSS = "adjacent, within a layer", "adjacent, across layers"
KINDS = {"attention": WITHIN, "mlp": ACROSS}


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
        caption=(
            "The activation of every unit, mean over texts, from the first sublayer to the last."
        ),
        interpretation="Horizontal bands show continuity; sums of independent steps have them too.",
    )


@panel(
    "paper.1B",
    title="1B. Mean activation of units",
    source=SOURCE,
    reports="Units keep their sign and rank over many sublayers, and activations grow.",
    draw=draw_1b,
)
def panel_1b(conditions: Sequence[Condition]) -> xr.Dataset:
    """Mean activation over texts, `activation` `(condition, site, unit)`, in stream units."""
    found = over_conditions(conditions, lambda each: each.portrait[["activation"]])
    return counted(found, conditions)


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
        caption="How well the value of each unit predicts its value at the next sublayer.",
        interpretation="A plain random walk has sqrt(s/(s+1)) in every unit at step s.",
    )
    means = lines(
        result,
        "mean",
        [plain_walk(result)],
        title="1C. Correlation of adjacent sublayers, mean and 5-95 % of units",
        y_label=R_LABEL,
        caption="The mean over units of the same correlation, for the model and its controls.",
        interpretation="Continuity beyond that of sums lies above the matched random walk.",
    )
    return [*maps, means]


@panel(
    "paper.1C",
    title="1C. Unit correlation of adjacent sublayers",
    source=SOURCE,
    reports="r above 0.8 from the first step on, higher within a layer than across layers.",
    draw=draw_1c,
)
def panel_1c(conditions: Sequence[Condition]) -> xr.Dataset:
    """Pearson r over texts of a unit at adjacent sublayers.

    Returns:
        `correlation` `(condition, step, unit)`; over units `mean`, and `mean_low`, `mean_high`, its
        5 % and 95 % quantiles, `(condition, step)`.
    """

    def one(condition: Condition) -> xr.Dataset:
        found = condition.correlation[["correlation", "mean"]]
        low, high = band(found["correlation"].values)
        quantile = {"units": "1", "definition": "5 % and 95 % quantile over units"}
        return found.assign(mean_low=("step", low, quantile), mean_high=("step", high, quantile))

    return counted(over_conditions(conditions, one), conditions)


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
            "How the correlations of single units spread over all pairs and over adjacent ones."
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
        caption="The same histogram of adjacent pairs for the model and its controls.",
        interpretation="A spread that the matched random walk shares is that of sums of updates.",
        **words,
    )
    return [kinds, adjacent]


@panel(
    "paper.1D",
    title="1D. Histogram of unit correlations",
    source=SOURCE,
    reports="Adjacent sublayers correlate near 1, those of one layer more than those of two.",
    draw=draw_1d,
)
def panel_1d(conditions: Sequence[Condition]) -> xr.Dataset:
    """Histograms of unit correlations over pairs of sublayers.

    Returns:
        `share` `(condition, pairs, bin)`, of the correlations of all units and pairs of a kind, in
        bins of equal width from -1 to 1 named after their middles; `mean` `(condition, pairs)`.
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


def _bootstrapped_mean(condition: Condition, name: str) -> xr.Dataset:
    """A per-text variable of the kinematics: mean and 95 % interval over texts, `(step)`."""
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
            caption="How far the direction of the stream turns from one sublayer to the next.",
            interpretation=(
                "A direction that settles beyond sums of updates lies above the random walk."
            ),
        )
    ]


@panel(
    "paper.1E",
    title="1E. Cosine of consecutive states",
    source=SOURCE,
    reports="About 0.52 at the first step, 0.97 to 0.99 late, with a dip at the end.",
    draw=draw_1e,
)
def panel_1e(conditions: Sequence[Condition]) -> xr.Dataset:
    """`cosine` `(condition, step)`, mean over texts, with `cosine_low` and `cosine_high`."""
    found = over_conditions(conditions, lambda each: _bootstrapped_mean(each, "cosine"))
    return counted(found, conditions)


def draw_1f(result: xr.Dataset) -> list[Drawing]:
    """Mean speed by step of every condition, on a logarithmic scale."""
    return [
        lines(
            result,
            "speed",
            y_scale="log",
            title=f"1F. Speed, mean and 95 % over texts ({n_texts(result)})",
            y_label="speed (stream units per step)",
            caption="How far the stream moves at each step, on a logarithmic scale.",
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
)
def panel_1f(conditions: Sequence[Condition]) -> xr.Dataset:
    """`speed` `(condition, step)`, mean over texts, with `speed_low` and `speed_high`."""
    found = over_conditions(conditions, lambda each: _bootstrapped_mean(each, "speed"))
    return counted(found, conditions)


def draw_1g(result: xr.Dataset) -> list[Drawing]:
    """Units by step with the kernel estimate, then with the copula."""
    words = {
        "x_label": "step (label of the sublayer it starts from)",
        "color_label": "mutual information (nats)",
        "caption": "How many nats each unit shares with its value at the next sublayer.",
        "interpretation": (
            "The first step starts from a function of the last token alone, here of "
            f"{_distinct(result)}: the kernel estimate then reads noise as information."
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
)
def panel_1g(conditions: Sequence[Condition]) -> xr.Dataset:
    """Mutual information over texts of a unit at adjacent sublayers, in nats.

    Returns:
        `kde` `(condition, step, kde_unit)`, the paper's kernel plug-in estimate of some units,
        evenly spaced; `copula` `(condition, step, unit)`; `n_distinct` `(condition)`, of last
        tokens, or of first states where the tokens are not known.
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
            caption="The mean over units of the information that adjacent sublayers share.",
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

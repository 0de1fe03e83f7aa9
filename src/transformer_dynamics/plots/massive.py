"""Figures of massive activations: what the top units hold, and what of each result they carry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.measures.massive.activations import BASES
from transformer_dynamics.measures.massive.profile import LEAST_RATIO
from transformer_dynamics.numerics.arrays import ratio
from transformer_dynamics.plots.backend import Drawing, Interval, Intervals, Lines, Series
from transformer_dynamics.plots.backend.depth import SITE_LABEL
from transformer_dynamics.registry import figure

# Where a profile begins on the axis of sites: a turn is named after its middle one.
FIRST = {"site": 0, "step": 0, "turn": 1}
STEP_OR_TURN_LABEL = "site that a step starts from or a turn is at (index)"


@figure("massive.activations")
def draw_massive(result: xr.Dataset) -> list[Drawing]:
    """Energy of the top units by site, relative changes, their profiles, and largest ratios."""
    return [
        _energy_lines(result),
        _change_intervals(result),
        _change_lines(result, ("norm", "participation_ratio"), SITE_LABEL),
        _change_lines(result, ("speed", "cosine", "turning_angle"), STEP_OR_TURN_LABEL),
        _ratio_lines(result),
    ]


def _energy_lines(result: xr.Dataset) -> Lines:
    labels = [str(label) for label in result["site"].values]
    series = [
        Series(
            name=f"top {top} {'in the random basis' if basis == 'random' else 'by energy'}",
            x=np.arange(len(labels)),
            y=result["energy_share"].sel(basis=basis, top=top).values,
            labels=labels,
            role="null" if basis == "random" else "model",
        )
        for basis in BASES
        for top in result["top"].values
    ]
    return Lines(
        title="Share of a site's energy that its top units hold",
        x_label=SITE_LABEL,
        y_label="share of the sum of squares over samples and units (1)",
        series=series,
        caption="How much of the squared length of the states lies in one, two or three units.",
        interpretation=(
            "Single units matter as units only where their share exceeds that of the top"
            " units in a random basis, in which lengths and angles are the same."
        ),
    )


def _change_intervals(result: xr.Dataset) -> Intervals:
    rows = [
        Interval(
            name=str(name).replace("_", " "),
            value=float(result["relative_change"].sel(quantity=name)),
            low=float(result["relative_change_low"].sel(quantity=name)),
            high=float(result["relative_change_high"].sel(quantity=name)),
        )
        for name in result["quantity"].values
    ]
    if int(result["n_massive_by_variance"].sel(basis="random")) == 0:
        rows.append(Interval(name="random basis", value=0.0, low=0.0, high=0.0, role="null"))
    n_massive = int(result["n_massive_by_variance"].sel(basis="units"))
    return Intervals(
        title=f"What {n_massive} massive units carry of each result",
        x_label="relative change when massive units are standardized (1)",
        y_label="result (each in its own unit)",
        intervals=rows,
        caption=(
            "By what part each result changes when the massive units are given the deviation of the"
            " median unit; the bar is the 95 % interval over texts. In a random basis no unit is"
            " massive and nothing changes."
        ),
        interpretation=(
            "A result speaks of the population, and not of a few units, only if its change is"
            " small beside what it is compared with."
        ),
    )


def _change_lines(result: xr.Dataset, names: Sequence[str], x_label: str) -> Lines:
    series = []
    for name in names:
        recorded, other = result[name].values
        along = str(result[name].dims[1])
        series.append(
            Series(
                name=name.replace("_", " "),
                x=np.arange(FIRST[along], FIRST[along] + recorded.size),
                y=ratio(other - recorded, np.abs(recorded)),
                labels=[str(label) for label in result[along].values],
            )
        )
    nouns = ", ".join(line.name for line in series)
    return Lines(
        title=f"Where massive units carry the results: {nouns}",
        x_label=x_label,
        y_label="relative change when massive units are standardized (1)",
        series=series,
        caption="At which depths each result changes when the massive units are standardized.",
        interpretation=(
            "A result at a site speaks of the population only where its line stays near zero."
        ),
    )


def _ratio_lines(result: xr.Dataset) -> Lines:
    labels = [str(label) for label in result["site"].values]
    x = np.arange(len(labels))
    model, null = (result["largest_ratio"].sel(basis=basis).values for basis in BASES)
    series = [
        Series(name="units of the model", x=x, y=model, labels=labels),
        Series(name="random basis", x=x, y=null, labels=labels, role="null"),
    ]
    threshold = Series(
        name="massive by magnitude", x=x, y=np.full(x.size, LEAST_RATIO), role="reference"
    )
    return Lines(
        title="Largest activation beside the median one of its state",
        x_label=SITE_LABEL,
        y_label="largest over samples of |x| / median |x| of the state (1)",
        series=[*series, threshold],
        y_scale="log",
        caption="How far the largest activation at each site stands out from its state.",
        interpretation=(
            "An activation is massive by magnitude only above the upper line, and with"
            " |x| > 100 as well."
        ),
    )

"""Figures of `massive.activations`: energy of the top units, and their share in each result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.measures.massive.activations import BASES
from transformer_dynamics.measures.massive.profile import LEAST_RATIO
from transformer_dynamics.numerics.arrays import ratio
from transformer_dynamics.plots.backend import Drawing, Interval, Intervals, Lines, Series
from transformer_dynamics.plots.backend.captions import BOOTSTRAP, caption, n_samples
from transformer_dynamics.plots.backend.depth import SITE_LABEL, depth_series, level, names_of
from transformer_dynamics.registry import figure

# Position of a profile's first point on the axis of sites: a turn has the name of its middle site.
FIRST = {"site": 0, "step": 0, "turn": 1}
STEP_OR_TURN_LABEL = "first site of a step, or middle site of a turn (index)"
RANDOM_BASIS = "the same states in a random basis"


@figure("massive.activations")
def draw_massive(result: xr.Dataset) -> list[Drawing]:
    """Draw energy of the top units, relative changes, their profiles, and largest ratios."""
    return [
        _energy(result),
        _changes(result),
        _profiles(result, ("norm", "participation_ratio"), SITE_LABEL),
        _profiles(result, ("speed", "cosine", "turning_angle"), STEP_OR_TURN_LABEL),
        _ratios(result),
    ]


def _energy(result: xr.Dataset) -> Lines:
    series = [
        depth_series(
            f"top {top} {'in the random basis' if basis == 'random' else 'by energy'}",
            result["energy_share"].sel(basis=basis, top=top),
            role="null" if basis == "random" else "model",
        )
        for basis in BASES
        for top in result["top"].values
    ]
    return Lines(
        title="Share of each site's energy in its top units",
        x_label=SITE_LABEL,
        y_label="share of the sum of squares over samples and units (1)",
        series=series,
        caption=caption(
            "Share of the squared norm of the states in the units with most of it",
            n=n_samples(result),
            null=RANDOM_BASIS,
        ),
        interpretation=(
            "Single units matter only where their share exceeds that of the top units in a random "
            "basis, in which norms and angles are the same."
        ),
    )


def _changes(result: xr.Dataset) -> Intervals:
    rows = []
    for quantity in result["quantity"].values:
        value, low, high = (
            float(result[f"relative_change{end}"].sel(quantity=quantity))
            for end in ("", "_low", "_high")
        )
        name = str(quantity).replace("_", " ")
        rows.append(Interval(name=name, value=value, low=low, high=high))
    if int(result["n_massive_by_variance"].sel(basis="random")) == 0:
        rows.append(Interval(name="random basis", value=0.0, low=0.0, high=0.0, role="null"))
    n_massive = int(result["n_massive_by_variance"].sel(basis="units"))
    return Intervals(
        title=f"Contribution of {n_massive} massive units to each result",
        x_label="relative change when massive units are standardized (1)",
        y_label="result (each in its own unit)",
        intervals=rows,
        caption=caption(
            "Relative change of each result when massive units receive the standard deviation of "
            "the median unit",
            n=n_samples(result),
            interval=BOOTSTRAP,
            null=f"{RANDOM_BASIS}, where no unit is massive and nothing changes",
        ),
        interpretation=(
            "A result describes the population, and not a few units, only if its change is small "
            "relative to the effect it is cited for."
        ),
    )


def _profiles(result: xr.Dataset, names: Sequence[str], x_label: str) -> Lines:
    series = []
    for name in names:
        recorded, standardized = result[name].values
        dim = str(result[name].dims[1])
        series.append(
            Series(
                name=name.replace("_", " "),
                x=np.arange(FIRST[dim], FIRST[dim] + recorded.size),
                y=ratio(standardized - recorded, np.abs(recorded)),
                labels=names_of(result, dim),
            )
        )
    return Lines(
        title=f"Contribution of massive units: {', '.join(line.name for line in series)}",
        x_label=x_label,
        y_label="relative change when massive units are standardized (1)",
        series=series,
        caption=caption(
            "Relative change of each result by depth when massive units are standardized",
            n=n_samples(result),
        ),
        interpretation=(
            "A result at a site describes the population only where its line stays near zero."
        ),
    )


def _ratios(result: xr.Dataset) -> Lines:
    model, null = (result["largest_ratio"].sel(basis=basis) for basis in BASES)
    line = depth_series("units of the model", model)
    return Lines(
        title="Largest activation over the median one",
        x_label=SITE_LABEL,
        y_label="largest over samples of |x| / median |x| of the state (1)",
        series=[
            line,
            depth_series("random basis", null, role="null"),
            level("massive by magnitude", line.x, LEAST_RATIO),
        ],
        y_scale="log",
        caption=caption(
            "Largest ratio of an activation to the median magnitude of its state, at each site",
            n=n_samples(result),
            null=RANDOM_BASIS,
        ),
        interpretation=(
            "An activation is massive by magnitude only above the constant line, and if |x| > 100 "
            "as well."
        ),
    )

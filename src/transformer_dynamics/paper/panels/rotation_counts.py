"""Panel 2B of arXiv 2502.12131: rotation counts of mean traces, with the paper's null and ours.

Counts are of traces averaged over texts and signed: motion in the plane of activation and gradient
is clockwise, so they are negative. The paper's null permutes the points (activation, gradient) of a
trace; each turn then has either sign, and the signed mean is near zero for traces of any kind. Our
nulls change the increments of the mean trace and keep one of their properties.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.measures.orbits.rotation import (
    RANDOM_WALK_TURNS,
    permuted_points_rotation_count,
    rotation_count,
)
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.paper.conditions import SOURCE, Condition, each_condition, over_conditions
from transformer_dynamics.paper.figures import counted, n_texts
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Group, Histogram
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS, panel

N_SHUFFLES = 1000
N_DRAWS = 100
POINTS = "permuted_points"
# Nulls of the mean trace; the walk's steps have the sizes of the mean steps.
TRACE_NULLS = (
    "sign_flipped_increments",
    "permuted_increments",
    "phase_randomized_increments",
    "random_walk",
    "sign_flipped_layers",
    "autoregressive_increments",
)
TURNS = {"units": "turns", "trace": "mean over texts", "sign": "negative: clockwise"}


def draw_counts(result: xr.Dataset) -> list[Drawing]:
    """Histogram of signed counts with the nulls of the model, then of every condition."""
    model = result.sel(condition=MODEL)
    groups = [Group(name=_means("model", model["count"].values), values=model["count"].values)]
    for null in result["null"].values.tolist():
        drawn = model["null_count"].sel(null=null).values
        name = _means(null.replace("_", " "), drawn)
        groups.append(Group(name=name, values=drawn, role="null", hidden=null in TRACE_NULLS[1:3]))
    words: dict[str, Any] = {
        "x_label": "rotation count of the mean trace, negative: clockwise (turns)",
        "y_label": "share of units per bin (1)",
    }
    walk = float(result["plain_walk"])
    return [
        Histogram(
            title=f"2. Rotation counts and nulls; plain walk: {walk:.2f} ({n_texts(result)})",
            groups=groups,
            caption="Signed turns of every unit, and one draw of each null of the mean trace.",
            interpretation=(
                "The paper's permuted points turn in either direction, unlike a random walk; "
                "orbits would have to exceed the nulls that keep the increments."
            ),
            **words,
        ),
        Histogram(
            title=f"2. Rotation counts by condition ({n_texts(result)})",
            groups=[
                Group(
                    name=_means(name, each["count"].values),
                    values=each["count"].values,
                    role="model" if name == MODEL else "null",
                )
                for name, each in each_condition(result)
            ],
            caption="Signed turns of every unit in the model and its controls.",
            interpretation=(
                "Rotation that shuffled texts or an untrained network share was not learned."
            ),
            **words,
        ),
    ]


def _means(name: str, counts: Floats) -> str:
    defined = counts[np.isfinite(counts)]
    if not defined.size:
        return name
    return f"{name}: mean {defined.mean():.2f}, mean magnitude {np.abs(defined).mean():.2f}"


@panel(
    "paper.2B",
    title="2. Rotation counts of single units",
    source=f"{SOURCE} (count, permuted points); the other nulls: ours",
    reports="A mean of 10.74 turns, units spread over 6 to 16, and about 0 for permuted points.",
    draw=draw_counts,
    claims=("C6-turns",),
    stand_ins=("C6-turns#0", "orbits.rotation_counts#0"),
)
def panel_2b(
    conditions: Sequence[Condition], *, n_shuffles: int = N_SHUFFLES, n_draws: int = N_DRAWS
) -> xr.Dataset:
    """Rotation counts of mean traces, with the paper's null and ours.

    Args:
        conditions: the model first.
        n_shuffles: number of draws of the paper's permuted points.
        n_draws: number of draws of each other null.

    Returns:
        `count` `(condition, unit)`; `null_count` `(condition, null, unit)`, one draw of each null;
        over units and draws `null_mean` and `null_magnitude` `(condition, null)`, and `null_sd`,
        the standard deviation over draws of the mean over units. All in turns and signed, except
        the magnitudes. `plain_walk`, the mean count of a Gaussian walk with as many sites.
    """

    def one(condition: Condition) -> xr.Dataset:
        activation = condition.portrait["activation"].values
        traces = Recording.from_array(activation[np.newaxis], sites=condition.sublayers.sites)
        seeds = np.random.default_rng(condition.seed).integers(2**31, size=n_shuffles).tolist()
        drawn = {
            POINTS: np.stack(
                [permuted_points_rotation_count(activation.T, seed=seed) for seed in seeds]
            )
        }
        for name in TRACE_NULLS:
            null = NULLS.get(name).function
            drawn[name] = np.stack(
                [rotation_count(null(traces, seed=seed).values[0].T) for seed in seeds[:n_draws]]
            )
        return _counts(rotation_count(activation.T), drawn)

    result = over_conditions(conditions, one)
    walk = RANDOM_WALK_TURNS * (conditions[0].sublayers.shape[1] - 2)
    return counted(result.assign(plain_walk=((), walk, {"units": "turns"})), conditions)


def _counts(counts: Floats, drawn: dict[str, Floats]) -> xr.Dataset:
    """Counts `(unit)` and draws `(draw, unit)` by null, as one result."""
    means = {name: np.nanmean(each, axis=1) for name, each in drawn.items()}
    magnitude = [float(np.nanmean(np.abs(each))) for each in drawn.values()]
    return xr.Dataset(
        {
            "count": ("unit", counts, TURNS),
            "null_count": (("null", "unit"), np.stack([each[0] for each in drawn.values()]), TURNS),
            "null_mean": ("null", [float(each.mean()) for each in means.values()], TURNS),
            "null_sd": ("null", [float(each.std()) for each in means.values()], TURNS),
            "null_magnitude": ("null", magnitude, {"units": "turns"}),
        },
        coords={"null": np.array(list(drawn), dtype=object)},
    )

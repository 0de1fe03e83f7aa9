"""Panel 4D of arXiv 2502.12131: states replaced in the principal plane, and followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls.flow_maps import zero_update
from transformer_dynamics.paper.conditions import (
    SOURCE,
    Condition,
    each_condition,
)
from transformer_dynamics.paper.teleport import FIXED, HORIZON, OWN, teleport_prompt
from transformer_dynamics.perturbation.driver import stacked
from transformer_dynamics.perturbation.states.prompt import HALF_RANGE
from transformer_dynamics.perturbation.systems import MODEL, ZERO_UPDATE
from transformer_dynamics.plots.backend import Drawing, Field, Lines, Series
from transformer_dynamics.registry import panel
from transformer_dynamics.storage.attributes import STREAM

RANGES = {
    FIXED: f"-{HALF_RANGE:g} to {HALF_RANGE:g}",
    OWN: "range of the texts",
}
SITE_LABEL = "site (index)"


def draw_4d(result: xr.Dataset) -> list[Drawing]:
    """Arrows in the plane at every start, then the squared error over depth, for both ranges."""
    drawings: list[Drawing] = []
    model = result.sel(condition=MODEL)
    for name, words in RANGES.items():
        field = model.sel(range=name)
        drawings.append(
            Field(
                title=f"4D. Displacement over {HORIZON} sublayers, {words}",
                x_label=f"PC1 ({STREAM})",
                y_label=f"PC2 ({STREAM})",
                slider_label="state replaced at",
                labels=[str(start) for start in result["start"].values],
                points=field["point_score"].values,
                arrows=field["displacement"].values,
                caption=(
                    "Displacement in the plane of states of one prompt replaced by points of the "
                    "plane; an arrow ends at the last site if fewer sublayers follow."
                ),
                interpretation=(
                    "All points have the same component off the plane, so that equal arrows alone "
                    "do not indicate an attractor."
                ),
            )
        )
        drawings.append(_error_lines(result.sel(range=name), words))
    return drawings


def _error_lines(result: xr.Dataset, words: str) -> Lines:
    labels = [str(site) for site in result["site"].values]
    starts = result["start"].values.tolist()
    series = []
    for start in starts:
        first = labels.index(start)
        for name, each in each_condition(result.sel(start=start)):
            series.append(
                Series(
                    name=f"{name}, replaced at {start}",
                    x=np.arange(first, len(labels)),
                    y=each["squared_error"].values[first:],
                    labels=labels[first:],
                    role="model" if name == MODEL else "null",
                )
            )
    shown = starts[1 % len(starts)]
    hidden = [
        each if each.name.endswith(shown) or each.role == "model" else replace(each, hidden=True)
        for each in series
    ]
    return Lines(
        title=f"4D. Squared error to the unperturbed trajectory, {words}",
        x_label=SITE_LABEL,
        y_label=f"mean squared error ({STREAM}^2)",
        series=hidden,
        y_scale="log",
        caption="Squared distance of replaced states to the unperturbed trajectory, over depth.",
        interpretation="Recovery is a fall below zero update, which ignores the perturbation.",
    )


@panel(
    "paper.4D",
    title="4D. States replaced in the principal plane",
    source=SOURCE,
    reports="States replaced at layers 7, 15 and 23 recover, at 0 and 31 they do not; no numbers.",
    draw=draw_4d,
    claims=("C8-grid", "C8", "C8-shift", "C8-towards", "C8-end", "C8-readout"),
    stand_ins=("perturbation.teleport#0", "C8-grid#0"),
)
def panel_4d(conditions: Sequence[Condition]) -> xr.Dataset:
    """Replace the state of the paper's prompt by a grid in the plane, at five depths.

    Returns:
        The variables of `teleport_prompt` along `condition`: those with a flow map, and the
        model's zero update, a control that ignores the perturbation.

    Raises:
        InputError: no condition has a flow map.
    """
    results = {each.name: each.teleport for each in conditions if each.teleport is not None}
    first = next((each for each in conditions if each.flow is not None), None)
    if first is None or first.flow is None:
        raise InputError(
            "no condition has a flow map of the prompt; this panel needs a causal model with a "
            "tokenizer: paper_conditions(recording, model=model)"
        )
    ignoring = zero_update(first.flow)
    results[ZERO_UPDATE] = teleport_prompt(ignoring, first.recording, first.pca)
    return stacked(results, "condition")

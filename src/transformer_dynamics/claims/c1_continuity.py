"""C1: single units are continuous over depth. C1-basis: more continuous than other directions.

Statistic: Pearson r over texts of a unit at neighboring sublayers, mean over the units where it is
defined and over steps. A random walk of equal steps has sqrt(s/(s+1)) at step s.
Source: arXiv 2502.12131 (r above 0.8 from the start). Cost: one pass over the states per draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.curves import Curve, standard_figures
from transformer_dynamics.claims.figures import null_name
from transformer_dynamics.claims.profiles import mean_traces
from transformer_dynamics.measures.units.weighted_correlation import mean_step_correlation
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing, Heatmap, shown_note, shown_rows
from transformer_dynamics.recording.recording import Recording

CURVE = Curve(
    title="Correlation of a unit with itself at the next sublayer, mean over units",
    y_label="Pearson r over texts (1)",
    statistic="mean Pearson r over units and steps (1)",
    walk_reference=True,
    caption="Correlation over texts between neighboring sublayers, mean over units, by step.",
    interpretation=(
        "Continuity beyond a sum of unrelated updates requires values above the random walk; "
        "C1-basis requires values above a random basis."
    ),
)


def profile(recording: Recording, weights: Floats) -> Floats:
    """Mean correlation over units, `(draw, step)`."""
    return mean_step_correlation(recording, weights)


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Compare steps within a layer with steps across layers."""
    correlation, kinds = evidence["profile"].values, recording.step_kinds
    if not {"attention", "mlp"} <= set(kinds):
        return ""
    within, across = (correlation[kinds == kind].mean() for kind in ("attention", "mlp"))
    order = "above" if within > across else "not above"
    return (
        f"Mean r is {within:.3f} for steps within a layer, which is {order} the {across:.3f} for "
        "steps across layers; the paper reports it above."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Correlation by step, mean traces as maps, and the statistic with its nulls."""
    lines, intervals = standard_figures(evidence, CURVE)
    return [lines, trace_maps(evidence, ("random_walk", "untrained", "random_basis")), intervals]


def trace_maps(evidence: xr.Dataset, nulls: Sequence[str]) -> Heatmap:
    """Mean trace of every unit, sorted by the last sublayer, and one draw of some nulls."""
    names = [name for name in nulls if name in evidence["null"].values]
    maps = [evidence["illustration"].values]
    maps += [evidence["null_illustration"].sel(null=name).values for name in names]
    n_units = maps[0].shape[1]
    shown = shown_rows(n_units)
    panels = [_scaled(traces[:, np.argsort(traces[-1])[shown]].T) for traces in maps]
    gap = np.full((len(panels[0]), 2), np.nan)
    width = panels[0].shape[1] + gap.shape[1]
    titles = ["recording", *map(null_name, names)]
    return Heatmap(
        title="Mean trace of every unit over depth, each panel on its own scale",
        x_label="sublayers from first to last, in each panel (index)",
        y_label=f"unit (sorted by its value at the last sublayer{shown_note(n_units)})",
        color_label="activation / its 99th percentile (1)",
        values=np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1),
        x_ticks=[(index * width + width / 2 - 1, title) for index, title in enumerate(titles)],
        own_columns=panels[0].shape[1],
        caption="Activation of every unit over depth, mean over texts, and one draw of each null.",
        interpretation=(
            "Horizontal bands are units that keep their value; a random walk shows bands as well, "
            "since a sum keeps most of its value."
        ),
    )


def _scaled(traces: NDArray[Any]) -> NDArray[Any]:
    """Traces over the 99th percentile of their magnitude; those of untrained twins are small."""
    scale = float(np.percentile(np.abs(traces), 99))
    return traces / scale if scale > 0 else traces


CLAIM = Claim(
    id="C1",
    statement="Single units are continuous over depth.",
    statistic="Pearson r over texts between neighboring sublayers, mean over units and steps (1)",
    source="arXiv 2502.12131: r > 0.8 from the start (Llama 3.1 8B)",
    profile=profile,
    threshold=0.8,
    nulls={
        "random_walk": "keeps the size of every step and makes the steps independent",
        "permuted_units": "keeps the states of every site and breaks the identity of units",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    illustration=mean_traces,
    note=note,
    curve=CURVE,
    draw=draw,
).register()
BASIS = replace(
    CLAIM,
    id="C1-basis",
    statement="Single units are more continuous over depth than other directions.",
    source="arXiv 2502.12131: units are continuous although the basis is not privileged",
    threshold=0.0,
    nulls={"random_basis": "keeps all distances and angles and replaces the units by directions"},
    shown={},
    note=lambda recording, evidence: "",
).register()

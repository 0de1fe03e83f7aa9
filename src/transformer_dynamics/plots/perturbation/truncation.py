"""Figures of `perturbation.truncation`: predictions from states cut to K directions."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.perturbation.states.truncation import KINDS
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.plots.backend.bands import text_series
from transformer_dynamics.plots.backend.captions import BOOTSTRAP, caption, words
from transformer_dynamics.plots.backend.depth import level
from transformer_dynamics.plots.perturbation.systems import n_texts, role_of
from transformer_dynamics.registry import figure

ANOTHER_TEXT = "another text's prediction"


@figure("perturbation.truncation")
def draw_truncation(result: xr.Dataset) -> list[Drawing]:
    """Draw KL by K for singular and random directions of every system, one figure per site."""
    return [_lines(result, start) for start in result["start"].values.tolist()]


def _lines(result: xr.Dataset, start: str) -> Lines:
    systems = result["system"].values.tolist()
    x = np.log2(result["rank"].values)
    series = [_line(result, start, system, kind) for system in systems for kind in KINDS]
    if MODEL in systems:
        unrelated = float(result["unrelated_kl"].sel(system=MODEL).mean())
        series.append(level(ANOTHER_TEXT, x, unrelated))
    controls = [f"{kind.replace('_', ' ')} directions" for kind in KINDS[1:]]
    nulls = [name.replace("_", " ") for name in systems if name != MODEL]
    return Lines(
        title=f"Predictions from states cut to K directions at {start}",
        x_label="log2 of the number of directions K (1)",
        y_label="KL from the unperturbed next-token distribution (nats)",
        series=series,
        caption=caption(
            "KL divergence of the next-token distribution when the state keeps K directions, mean "
            "over texts",
            n=n_texts(result),
            interval=BOOTSTRAP,
            null=", ".join([*controls, *nulls, ANOTHER_TEXT]),
        ),
        interpretation=(
            "Low-dimensional states need few singular directions after every layer, far fewer than "
            "random ones and few relative to the number of units."
        ),
    )


def _line(result: xr.Dataset, start: str, system: str, kind: str) -> Series:
    return text_series(
        result["kl"].sel(system=system, kind=kind, start=start),
        f"{words(system)}, {words(kind)}",
        labels=[f"K = {rank}" for rank in result["rank"].values.tolist()],
        # Other directions are the control of the model, and have the look of one.
        role=role_of(system if kind == "singular" else kind),
        x=np.log2(result["rank"].values),
        # Without the mean state the prediction is lost, and with it the scale of the figure.
        hidden=kind == "random",
    )

"""Lines of several systems over depth: the model, its untrained twins, and its nulls."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.perturbation.jacobians.spectrum import MEANINGS
from transformer_dynamics.perturbation.systems import MODEL, UNTRAINED, shown_systems
from transformer_dynamics.plots.backend import Lines, Role
from transformer_dynamics.plots.backend.bands import text_series
from transformer_dynamics.plots.backend.captions import BOOTSTRAP, caption, n_samples, words
from transformer_dynamics.plots.backend.depth import names_of

STEP_LABEL = "layer (index of the step from its first site to the next layer's)"


def role_of(system: str) -> Role:
    """Role of a system's line: all but the model are nulls."""
    return "model" if system == MODEL else "null"


def system_caption(result: xr.Dataset, quantity: str, *, interval: str = BOOTSTRAP) -> str:
    """A caption with the number of texts, whose null models are the other systems drawn."""
    nulls = [name.replace("_", " ") for name in shown_systems(result) if name != MODEL]
    null = ", ".join(nulls) or "none"
    return caption(quantity, n=n_texts(result), interval=interval, null=null)


def n_texts(result: xr.Dataset) -> str:
    """Number of texts of the model, and of each untrained network where it follows fewer."""
    text = n_samples(result, "texts")
    if "sample" not in result.sizes or UNTRAINED not in result["system"]:
        return text
    untrained = result.sel(system=UNTRAINED)
    followed = np.zeros(result.sizes["sample"], dtype=bool)
    for values in untrained.data_vars.values():
        if "sample" in values.dims:
            defined = values.notnull()
            followed |= defined.any([dim for dim in defined.dims if dim != "sample"]).values
    if followed.all():
        return text
    return f"{text} for the model, {followed.sum()} for each untrained network"


def depth_lines(
    result: xr.Dataset, name: str, title: str, *, quantity: str, interpretation: str
) -> Lines:
    """One quantity of every system by layer, mean over texts with its 95 % band.

    Args:
        result: with the dimensions `system`, `sample` and `step`.
        name: variable of the result.
        title: title of the figure.
        quantity: plotted quantity, for the caption.
        interpretation: one sentence on the reading of the figure.
    """
    labels = names_of(result, "step")
    return Lines(
        title=title,
        x_label=STEP_LABEL,
        y_label=MEANINGS[name][0],
        series=[
            text_series(
                result[name].sel(system=system), words(system), labels=labels, role=role_of(system)
            )
            for system in shown_systems(result)
        ],
        caption=system_caption(result, f"{quantity}, mean over texts"),
        interpretation=interpretation,
    )


def site_indices(result: xr.Dataset, start: str) -> np.ndarray:
    """Indices of a start and of the sites after it."""
    return np.arange(names_of(result, "site").index(start), result.sizes["site"])

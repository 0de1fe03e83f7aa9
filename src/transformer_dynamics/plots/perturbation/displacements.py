"""Labels and lines that the figures of `perturbation.recovery` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.model.labels import parse
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.systems import UNTRAINED, ZERO_UPDATE
from transformer_dynamics.plots.backend import Series
from transformer_dynamics.plots.backend.bands import draw_band, null_series, text_series
from transformer_dynamics.plots.backend.captions import words
from transformer_dynamics.plots.backend.depth import level, names_of

LAYER = "layer of injection (index)"
RATIO = "distance / initial distance (1)"
KIND_NAMES = {
    "grid": "paper's grid, state replaced",
    "shift": "directions in the plane",
    "random": "random directions",
    "towards": "towards other texts",
}


def against_nulls(result: xr.Dataset, logs: xr.DataArray) -> list[Series]:
    """Log values `(system, sample, start)` of the model, mean of the twins, and zero update.

    Twins without values are left out.
    """
    name = result["system"].values.tolist()[0]
    untrained = [twin for twin in twins(result) if logs.sel(system=twin).notnull().any()]
    series = [model_line(logs.sel(system=name), name)]
    if untrained:
        means = logs.sel(system=untrained).mean("sample").transpose("system", "start").values
        noun = f"{len(untrained)} untrained networks" if len(untrained) > 1 else UNTRAINED
        series.append(null_series(noun, draw_band(means).exp(), x=layers(result)))
    return [*series, zero_update(result)]


def model_line(logs: xr.DataArray, name: str, **look: Any) -> Series:
    """Exponential of the mean over texts of `(sample, start)`, with its 95 % band."""
    starts = names_of(logs, "start")
    x = np.array([layer_of(start) for start in starts])
    return text_series(logs, words(name), labels=starts, x=x, logs=True, **look)


def zero_update(result: xr.Dataset) -> Series:
    """The line of the network without updates, which keeps every distance."""
    return level(words(ZERO_UPDATE), layers(result), 1.0)


def twins(result: xr.Dataset) -> list[str]:
    """Names of the untrained networks."""
    return [name for name in result["system"].values.tolist() if name.startswith(UNTRAINED)]


def leading_kind(kinds: Sequence[str]) -> str:
    """Kind of displacement that is shown at first."""
    return "random" if "random" in kinds else kinds[0]


def layer_of(start: str) -> int:
    """Layer of a site, by its name."""
    return parse(str(start))[0]


def layers(result: xr.Dataset) -> Floats:
    """Layers of injection, `(start,)`."""
    return np.array([float(layer_of(start)) for start in result["start"].values])


def shown_horizon(result: xr.Dataset) -> str:
    """Longest horizon of at most half the depth; the last site where all are longer."""
    half = (result.sizes["site"] - 1) // 2
    names = result["horizon"].values.tolist()
    fitting = [name for name in names if name.isdigit() and int(name) <= half]
    return str((fitting or names)[-1])


def after(horizon: str) -> str:
    """A horizon in words."""
    return f"after {horizon} sublayers" if horizon.isdigit() else "at the last site"

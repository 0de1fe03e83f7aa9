"""Lines over depth with their bands over texts, one per system."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.drawing import Lines, Role, Series
from transformer_dynamics.inference.bootstrap import percentile_interval, text_weights
from transformer_dynamics.perturbation.matrices import MEANINGS
from transformer_dynamics.perturbation.systems import MODEL, shown_systems
from transformer_dynamics.residual.flow_map import Floats

N_BOOTSTRAP = 499
STEP_LABEL = "layer (index of the step from its first site to the next layer's)"


def depth_lines(result: xr.Dataset, name: str, title: str, *, shows: str, requires: str) -> Lines:
    """One quantity of every system by layer, mean over texts with its 95 % band."""
    labels = [str(label) for label in result["step"].values]
    return Lines(
        title=f"{title}, mean over texts",
        x_label=STEP_LABEL,
        y_label=MEANINGS[name][0],
        series=[
            banded(result[name].sel(system=system), system, labels)
            for system in shown_systems(result)
        ],
        shows=shows,
        requires=requires,
    )


def banded(
    values: xr.DataArray,
    name: str,
    labels: Sequence[str] = (),
    *,
    role: Role | None = None,
    x: Floats | None = None,
    logs: bool = False,
) -> Series:
    """Mean over texts with its 95 % bootstrap band; texts without any value are left out.

    Args:
        values: `(sample, place)`, with the coordinate `group` where texts are resampled by group.
        name: name of the line.
        labels: name of each place.
        role: role of the line; by default that of the model for its name, else that of a null.
        x: where the places lie; by default at their index.
        logs: whether the values are logarithms; the exponential of their mean is drawn.
    """
    values = values.transpose("sample", ...)
    values = values[np.isfinite(values.values).any(axis=1)]
    mean, low, high = mean_and_band(values)
    if logs:
        mean, low, high = np.exp(mean), np.exp(low), np.exp(high)
    return Series(
        name=name.replace("_", " "),
        x=np.arange(values.shape[1]) if x is None else x,
        y=mean,
        low=low,
        high=high,
        labels=labels,
        role=role or role_of(name),
    )


def role_of(system: str) -> Role:
    """Role of a system's line."""
    return "model" if system == MODEL else "null"


def mean_and_band(values: xr.DataArray) -> tuple[Floats, Floats, Floats]:
    """Mean over the dimension `sample`, 2.5 % and 97.5 % of its bootstrap over groups of texts.

    Texts are resampled one by one where `values` has no coordinate `group`. NaN without any text.
    """
    found = values.transpose("sample", ...).values
    if not len(found):
        return (np.full(found.shape[1:], np.nan),) * 3
    groups = values["group"].values if "group" in values.coords else np.arange(len(found))
    low, high = percentile_interval(np.tensordot(text_weights(groups, N_BOOTSTRAP), found, 1))
    return found.mean(axis=0), low, high

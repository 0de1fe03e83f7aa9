"""Lines over depth with their bands over texts, one per system."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.drawing import Lines, Series
from transformer_dynamics.inference.bootstrap import percentile_interval, text_weights
from transformer_dynamics.perturbation.matrices import MEANINGS
from transformer_dynamics.perturbation.systems import MODEL, shown_systems
from transformer_dynamics.residual.flow_map import Floats

STEP_LABEL = "layer (index of the step from its first site to the next layer's)"


def depth_lines(result: xr.Dataset, name: str, title: str, *, shows: str, requires: str) -> Lines:
    """One quantity of every system by layer, mean over texts with its 95 % band."""
    labels = [str(label) for label in result["step"].values]
    return Lines(
        title=f"{title}, mean over texts",
        x_label=STEP_LABEL,
        y_label=MEANINGS[name][0],
        series=[
            banded(result[name].sel(system=system).values, system, labels)
            for system in shown_systems(result)
        ],
        shows=shows,
        requires=requires,
    )


def banded(
    values: Floats,
    name: str,
    labels: Sequence[str] = (),
    *,
    system: str = "",
    x: Floats | None = None,
) -> Series:
    """Mean over texts of `(sample, place)` with its 95 % band over texts; texts of NaN left out.

    Args:
        values: `(sample, place)`.
        name: what the line is called, the system's name by itself if it is one per system.
        labels: what each place is called.
        system: the system, where it is not the name.
        x: where the places lie; by default at their index.
    """
    values = values[np.isfinite(values).any(axis=1)]
    draws = text_weights(np.arange(len(values)), 499, seed=0) @ values
    low, high = percentile_interval(draws)
    return Series(
        name=name.replace("_", " "),
        x=np.arange(values.shape[1]) if x is None else x,
        y=values.mean(axis=0),
        low=low,
        high=high,
        labels=labels,
        role="model" if (system or name) == MODEL else "null",
    )

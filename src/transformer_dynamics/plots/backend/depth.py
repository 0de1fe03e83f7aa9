"""Lines over depth from a result: means over samples, attention and MLP steps, reference levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.plots.backend.bands import band_series, quantile_band
from transformer_dynamics.plots.backend.lines import Series
from transformer_dynamics.plots.backend.style import Numbers, Role

STEP_LABEL = "step (index of the site it starts from)"
SITE_LABEL = "site (index)"
TURN_LABEL = "turn (index of its middle site)"
KIND_NAMES = {
    "attention": "attention steps (within a layer)",
    "mlp": "MLP steps (across layers)",
}


def names_of(values: xr.Dataset | xr.DataArray, dim: str) -> list[str]:
    """Names of the entries along a dimension, or their numbers where they have no names."""
    coordinate = values[dim].values if dim in values.coords else np.arange(values.sizes[dim])
    return [str(entry) for entry in coordinate]


def depth_series(
    name: str,
    values: xr.DataArray,
    *,
    low: Numbers | None = None,
    high: Numbers | None = None,
    first: int = 0,
    **look: Any,
) -> Series:
    """A line over depth from a variable of one dimension.

    Args:
        name: name in the legend.
        values: `(point,)`, where the coordinate of the dimension names the points.
        low: lower end of the band, `(point,)`.
        high: upper end of the band, `(point,)`.
        first: position of the first point on the axis of depth.
        **look: `role`, `markers` and `hidden` of the series.
    """
    return Series(
        name=name,
        x=np.arange(first, first + values.size),
        y=values.values,
        low=low,
        high=high,
        labels=names_of(values, str(values.dims[0])),
        **look,
    )


def level(name: str, x: Numbers, value: float, role: Role = "reference") -> Series:
    """A constant over the positions `x`, as a reference line."""
    return Series(name=name, x=x, y=np.full(len(x), value), role=role)


def mean_with_band(
    name: str,
    values: Numbers,
    *,
    labels: Sequence[str],
    first: int = 0,
    over: str = "samples",
    role: Role = "model",
) -> Series:
    """A line of the mean over samples with its 5-95 % band; NaN are left out.

    Args:
        name: averaged quantity; the legend adds that it is a mean.
        values: `(sample, point)`.
        labels: name of each point.
        first: position of the first point on the axis of depth.
        over: noun of the rows, in the plural.
        role: role of the line.
    """
    return band_series(
        f"{name}, mean over {over} (5-95 %)",
        quantile_band(values),
        x=np.arange(first, first + values.shape[1]),
        labels=labels,
        role=role,
    )


def by_site(result: xr.Dataset, variable: str, noun: str) -> list[Series]:
    """Mean over texts by site of a result along tokens, and of permuted tokens where it has it."""
    labels = names_of(result, "site")
    model = mean_with_band(noun, result[variable].values, labels=labels, over="texts")
    null = f"{variable}_permuted"
    if null not in result:
        return [model]
    name = f"{noun}, tokens in random order"
    values = result[null].values
    return [model, mean_with_band(name, values, labels=labels, over="texts", role="null")]


def by_step_kind(line: Series, kinds: NDArray[Any]) -> list[Series]:
    """A line over steps, and its attention and MLP steps as points if the kinds are known."""
    series = [line]
    for kind, name in KIND_NAMES.items():
        chosen = np.flatnonzero(kinds == kind)
        if chosen.size:
            points = replace(
                line,
                name=name,
                x=line.x[chosen],
                y=line.y[chosen],
                low=None,
                high=None,
                labels=[line.labels[int(step)] for step in chosen] if line.labels else (),
                role="detail",
                markers=True,
            )
            series.append(points)
    return series

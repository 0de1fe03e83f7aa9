"""The drawing of one variable in each form: lines, intervals, histogram, matrix, cloud."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats, defined_mean
from transformer_dynamics.plots.backend.bands import quantile_band
from transformer_dynamics.plots.backend.captions import (
    AXIS_LABELS,
    axis_label,
    plural,
    unit_of,
    variable_label,
    variable_texts,
    words,
)
from transformer_dynamics.plots.backend.depth import (
    by_step_kind,
    names_of,
)
from transformer_dynamics.plots.backend.heatmaps import Heatmap
from transformer_dynamics.plots.backend.histograms import Group, Histogram
from transformer_dynamics.plots.backend.intervals import Interval, Intervals
from transformer_dynamics.plots.backend.lines import Lines, Series
from transformer_dynamics.plots.backend.paths import Path, Paths
from transformer_dynamics.plots.backend.style import Role

BAND_ENDS = ("_low", "_high")


class _Summary(NamedTuple):
    """Mean and band of a variable, each `(point,)`.

    `average` names the averaged dimensions in the legend, `interval` the band in the caption.
    """

    mean: Floats
    low: Floats | None
    high: Floats | None
    average: str
    interval: str


def lines(result: xr.Dataset, variable: Hashable, axis: str, names: Sequence[str]) -> Lines:
    """Lines over one dimension, one for each entry of the dimensions `names`."""
    series, interval = [], "none"
    x, labels = _positions(result[variable], axis), names_of(result[variable], axis)
    for name, entry in _entries(result, variable, names):
        row = _summary(entry, variable, axis)
        interval = row.interval
        series.append(
            Series(
                name=f"{name or words(variable)}{row.average}",
                x=x,
                y=row.mean,
                low=row.low,
                high=row.high,
                labels=labels,
                role=_role(entry),
            )
        )
    kinds = result[variable].coords.get("step_kind")
    if len(series) == 1 and kinds is not None and kinds.dims == (axis,):
        series = by_step_kind(series[0], kinds.values)
    return Lines(
        x_label=axis_label(result[variable], axis),
        y_label=variable_label(result[variable]),
        series=series,
        **variable_texts(result, variable, [axis, *names], interval),
    )


def intervals(result: xr.Dataset, variable: Hashable, names: Sequence[str]) -> Intervals:
    """A value with its interval for each entry of the dimensions `names`."""
    rows, interval = [], "none"
    for name, entry in _entries(result, variable, names):
        row = _summary(entry, variable, None)
        interval, value = row.interval, float(row.mean[0])
        low, high = (value if end is None else float(end[0]) for end in (row.low, row.high))
        title = f"{name or words(variable)}{row.average}"
        rows.append(Interval(name=title, value=value, low=low, high=high, role=_role(entry)))
    return Intervals(
        x_label=variable_label(result[variable]),
        intervals=rows,
        **variable_texts(result, variable, names, interval),
    )


def histogram(result: xr.Dataset, variable: Hashable) -> Histogram:
    """The distribution of all values."""
    values = result[variable]
    group = Group(name=words(variable), values=values.values.ravel().astype(np.float64))
    return Histogram(
        x_label=variable_label(values), groups=[group], **variable_texts(result, variable, [])
    )


def heatmap(result: xr.Dataset, variable: Hashable, x: str, y: str) -> Heatmap:
    """A matrix in color, with the dimensions `x` and `y`, as mean over the others."""
    values = result[variable]
    rows = values.transpose(..., y, x).values.astype(np.float64)
    cells = defined_mean(rows.reshape(-1, rows.shape[-2] * rows.shape[-1]).T)
    return Heatmap(
        x_label=f"{words(x)} (label)",
        y_label=f"{words(y)} (label)",
        color_label=variable_label(values),
        values=cells.reshape(rows.shape[-2:]),
        x_names=names_of(values, x),
        y_names=names_of(values, y),
        symmetric=bool((cells < 0).any()),
        **variable_texts(result, variable, [x, y]),
    )


def cloud(result: xr.Dataset, variable: Hashable) -> Paths:
    """The first two components of every sample."""
    values = result[variable]
    noun = plural(dim for dim in values.dims if dim != "component")
    points = values.transpose(..., "component").values.reshape(-1, values.sizes["component"])
    unit = unit_of(values)
    return Paths(
        x_label=f"component 1 ({unit})",
        y_label=f"component 2 ({unit})",
        paths=[Path(name=noun, points=points[:, :2].astype(np.float64))],
        markers=True,
        **variable_texts(result, variable, ["component"]),
    )


def _entries(
    result: xr.Dataset, variable: Hashable, names: Sequence[str]
) -> Iterator[tuple[str, xr.Dataset]]:
    """The result at each combination of entries along `names`, with a name for it."""
    values = result[variable]
    for indices in product(*(range(values.sizes[dim]) for dim in names)):
        at = dict(zip(names, indices, strict=True))
        parts = [_entry_name(values, dim, index) for dim, index in at.items()]
        yield ", ".join(parts), result.isel(at)


def _role(entry: xr.Dataset) -> Role:
    """Role of an entry: along `system` all but the model are its controls."""
    is_control = "system" in entry.coords and str(entry["system"].values) != "model"
    return "null" if is_control else "model"


def _entry_name(values: xr.DataArray, dim: str, index: int) -> str:
    entry = names_of(values, dim)[index]
    is_word = dim in values.coords and values[dim].dtype.kind in "UOS"
    return words(entry) if is_word else f"{words(dim)} {entry}"


def _summary(result: xr.Dataset, variable: Hashable, axis: str | None) -> _Summary:
    """Mean and band along `axis`, over all other dimensions of the variable."""
    values = result[variable]
    repeated = [str(dim) for dim in values.dims if dim != axis]
    n_points = 1 if axis is None else values.sizes[axis]
    rows: Floats = values.transpose(*repeated, ...).values.astype(np.float64)
    if repeated:
        nouns = plural(repeated)
        mean = f", mean over {nouns} (5-95 %)"
        return _Summary(*quantile_band(rows.reshape(-1, n_points)), mean, f"5-95 % of {nouns}")
    low, high = (_end(result, variable, end) for end in BAND_ENDS)
    if low is None or high is None:
        return _Summary(rows.reshape(n_points), None, None, "", "none")
    return _Summary(rows.reshape(n_points), low, high, "", f"{variable}_low to {variable}_high")


def _end(result: xr.Dataset, variable: Hashable, end: str) -> Floats | None:
    """One end of the variable's band, `(point,)`, where the result has it in the same shape."""
    name = f"{variable}{end}"
    if name not in result.data_vars or result[name].dims != result[variable].dims:
        return None
    return np.asarray(result[name].values, dtype=np.float64).reshape(-1)


def _positions(values: xr.DataArray, axis: str) -> Floats:
    """Positions along an axis: the numbers of its coordinate, or the index over depth."""
    has_numbers = axis in values.coords and values[axis].dtype.kind in "fiu"
    if axis in AXIS_LABELS or not has_numbers:
        return np.arange(values.sizes[axis], dtype=np.float64)
    return np.asarray(values[axis].values, dtype=np.float64)

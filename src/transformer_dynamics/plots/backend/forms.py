"""The drawing of one variable in each form: lines, intervals, histogram, matrix, cloud."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats, defined_mean
from transformer_dynamics.plots.backend.bands import quantile_band
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.plots.backend.depth import (
    SITE_LABEL,
    STEP_LABEL,
    TURN_LABEL,
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
AXIS_LABELS = {"site": SITE_LABEL, "step": STEP_LABEL, "turn": TURN_LABEL}
INTERPRETATION = (
    "A value says something about the model only where it differs from that of a null model."
)


class _Summary(NamedTuple):
    """Mean and band of a variable, each `(point,)`.

    `average` says in the legend what is averaged, `interval` in the caption what the band is.
    """

    mean: Floats
    low: Floats | None
    high: Floats | None
    average: str
    interval: str


def lines(result: xr.Dataset, variable: str, axis: str, names: Sequence[str]) -> Lines:
    """Lines over one dimension, one for each entry of the dimensions `names`."""
    series, interval = [], "none"
    x, labels = _positions(result[variable], axis), names_of(result[variable], axis)
    for name, entry in _entries(result, variable, names):
        row = _summary(entry, variable, axis)
        interval = row.interval
        series.append(
            Series(
                name=f"{name or _words(variable)}{row.average}",
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
        x_label=_axis_label(result[variable], axis),
        y_label=_label(result[variable]),
        series=series,
        **_texts(result, variable, [axis, *names], interval),
    )


def intervals(result: xr.Dataset, variable: str, names: Sequence[str]) -> Intervals:
    """A value with its interval for each entry of the dimensions `names`."""
    rows, interval = [], "none"
    for name, entry in _entries(result, variable, names):
        row = _summary(entry, variable, None)
        interval, value = row.interval, float(row.mean[0])
        low, high = (value if end is None else float(end[0]) for end in (row.low, row.high))
        title = f"{name or _words(variable)}{row.average}"
        rows.append(Interval(name=title, value=value, low=low, high=high, role=_role(entry)))
    return Intervals(
        x_label=_label(result[variable]),
        intervals=rows,
        **_texts(result, variable, names, interval),
    )


def histogram(result: xr.Dataset, variable: str) -> Histogram:
    """The distribution of all values."""
    values = result[variable]
    group = Group(name=_words(variable), values=values.values.ravel().astype(np.float64))
    return Histogram(x_label=_label(values), groups=[group], **_texts(result, variable, []))


def heatmap(result: xr.Dataset, variable: str, x: str, y: str) -> Heatmap:
    """A matrix in color, with the dimensions `x` and `y`, as mean over the others."""
    values = result[variable]
    rows = values.transpose(..., y, x).values.astype(np.float64)
    cells = defined_mean(rows.reshape(-1, rows.shape[-2] * rows.shape[-1]).T)
    return Heatmap(
        x_label=f"{_words(x)} (label)",
        y_label=f"{_words(y)} (label)",
        color_label=_label(values),
        values=cells.reshape(rows.shape[-2:]),
        x_names=names_of(values, x),
        y_names=names_of(values, y),
        symmetric=bool((cells < 0).any()),
        **_texts(result, variable, [x, y]),
    )


def cloud(result: xr.Dataset, variable: str) -> Paths:
    """The first two components of every sample."""
    values = result[variable]
    noun = _plural(dim for dim in values.dims if dim != "component")
    points = values.transpose(..., "component").values.reshape(-1, values.sizes["component"])
    unit = _unit(values)
    return Paths(
        x_label=f"component 1 ({unit})",
        y_label=f"component 2 ({unit})",
        paths=[Path(name=noun, points=points[:, :2].astype(np.float64))],
        markers=True,
        **_texts(result, variable, ["component"]),
    )


def _entries(
    result: xr.Dataset, variable: str, names: Sequence[str]
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
    return _words(entry) if is_word else f"{_words(dim)} {entry}"


def _summary(result: xr.Dataset, variable: str, axis: str | None) -> _Summary:
    """Mean and band along `axis`, over all other dimensions of the variable."""
    values = result[variable]
    repeated = [str(dim) for dim in values.dims if dim != axis]
    n_points = 1 if axis is None else values.sizes[axis]
    rows: Floats = values.transpose(*repeated, ...).values.astype(np.float64)
    if repeated:
        nouns = _plural(repeated)
        mean = f", mean over {nouns} (5-95 %)"
        return _Summary(*quantile_band(rows.reshape(-1, n_points)), mean, f"5-95 % of {nouns}")
    low, high = (_end(result, variable, end) for end in BAND_ENDS)
    if low is None or high is None:
        return _Summary(rows.reshape(n_points), None, None, "", "none")
    return _Summary(rows.reshape(n_points), low, high, "", f"{variable}_low to {variable}_high")


def _end(result: xr.Dataset, variable: str, end: str) -> Floats | None:
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


def _axis_label(values: xr.DataArray, axis: str) -> str:
    has_numbers = axis in values.coords and values[axis].dtype.kind in "fiu"
    unit = values[axis].attrs.get("units", "number") if has_numbers else "index"
    return AXIS_LABELS.get(axis, f"{_words(axis)} ({unit})")


def _unit(values: xr.DataArray) -> str:
    return str(values.attrs.get("units", "no unit given"))


def _label(values: xr.DataArray) -> str:
    return f"{_words(values.name)} ({_unit(values)})"


def _words(name: Any) -> str:
    return str(name).replace("_", " ")


def _plural(dims: Iterable[Hashable]) -> str:
    return " and ".join(f"{_words(dim)}s" for dim in dims)


def _controls(values: xr.DataArray) -> str:
    """Names of all systems but the model."""
    names = [_words(name) for name in names_of(values, "system") if name != "model"]
    return ", ".join(names) or "none"


def _texts(
    result: xr.Dataset, variable: str, shown: Sequence[str], interval: str = "none"
) -> dict[str, Any]:
    """Title, caption and interpretation from the variable's attrs; `shown` are its other dims."""
    values, name = result[variable], _words(variable)
    title = f"{result.attrs['title']}: {name}" if "title" in result.attrs else name
    counts = [f"{size} {_words(dim)}s" for dim, size in values.sizes.items() if dim not in shown]
    definition = str(values.attrs.get("definition", "")).rstrip(".")
    quantity = f"{name[:1].upper()}{name[1:]}" + (f", {definition}" if definition else "")
    return {
        "title": title[:1].upper() + title[1:],
        "caption": caption(
            quantity,
            n=" x ".join(counts) or n_samples(result),
            interval=interval,
            null=_controls(values) if "system" in shown else "none",
        ),
        "interpretation": INTERPRETATION,
    }

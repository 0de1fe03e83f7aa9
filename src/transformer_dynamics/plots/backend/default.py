"""Drawings from a result's dimensions alone, for measures without a figure of their own.

(sample, site)      mean over samples with a 5-95 % band, over depth
(site)              a line over depth; `NAME_low` and `NAME_high` are its band where they exist
(system, site)      a line for each system
(site, other site)  a matrix in color
(sample, component) the first two components of each sample
(unit), (sample)    a histogram
()                  a value with its interval
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend.depth import (
    SITE_LABEL,
    STEP_LABEL,
    by_step_kind,
    mean_with_band,
)
from transformer_dynamics.plots.backend.lines import (
    Group,
    Histogram,
    Interval,
    Intervals,
    Lines,
    Series,
)
from transformer_dynamics.plots.backend.maps import Heatmap, Path, Paths
from transformer_dynamics.plots.backend.style import Drawing

# Dimensions over which a mean is taken where the variable has another one.
REPEATED = ("sample", "text", "draw", "state", "unit")
AXIS_LABELS = {"site": SITE_LABEL, "step": STEP_LABEL, "turn": STEP_LABEL}
BAND_ENDS = ("_low", "_high")
MOST_LINES = 12


def default_drawings(result: xr.Dataset) -> list[Drawing]:
    """Drawings of every variable that has one, in the result's order.

    Raises:
        InputError: no variable can be drawn.
    """
    names = _drawable(result)
    if not names:
        raise InputError(
            f"got a result with the variables {', '.join(map(str, result.data_vars)) or 'none'}, "
            "none of which can be drawn by its dimensions; register a figure for it: "
            "measure(name, draw=function)"
        )
    return [variable_drawing(result, name) for name in names]


def variable_drawing(result: xr.Dataset, variable: str) -> Drawing:
    """The drawing of one variable, by its dimensions.

    Raises:
        InputError: there is no such variable, or its dimensions are too many.
    """
    if variable not in result.data_vars:
        raise InputError(
            f"got variable={variable!r}; this result has {', '.join(map(str, result.data_vars))}: "
            f"result.td.plot({str(next(iter(result.data_vars), ''))!r})"
        )
    values = result[variable]
    if values.dtype.kind not in "fiub":
        raise InputError(f"got variable={variable!r}, whose values are text; numbers can be drawn")
    kept = [dim for dim in values.dims if dim not in REPEATED]
    if not values.dims:
        return _interval(result, variable)
    if kept == ["component"] and values.sizes["component"] > 1:
        return _scatter(values)
    if not kept:
        return _histogram(values)
    if len(kept) == 1:
        return _lines(result, variable, str(kept[0]), None)
    lines_of, axis = _roles(values, [str(dim) for dim in kept])
    if lines_of is not None:
        return _lines(result, variable, axis, lines_of)
    if len(kept) == 2:
        return _map(values.mean([dim for dim in values.dims if dim in REPEATED]))
    raise InputError(
        f"got variable={variable!r} of dimensions {values.dims}, which are too many for one figure;"
        f" choose along one of them: result.isel({kept[0]}=0).td.plot({variable!r})"
    )


def _drawable(result: xr.Dataset) -> list[str]:
    """Variables that `variable_drawing` takes, without the ends of bands."""
    names = []
    for name, values in result.data_vars.items():
        is_end = any(str(name).endswith(end) for end in BAND_ENDS)
        kept = [str(dim) for dim in values.dims if dim not in REPEATED]
        fits = len(kept) < 3 and values.dtype.kind in "fiub"
        if fits and not is_end and values.size:
            names.append(str(name))
    return names


def _roles(values: xr.DataArray, kept: Sequence[str]) -> tuple[str | None, str]:
    """Of two dimensions, the one with a line for each entry, if any, and the axis."""
    if len(kept) != 2:
        return None, kept[0]
    for lines_of, axis in (kept, kept[::-1]):
        named = lines_of not in AXIS_LABELS and lines_of not in values.coords
        words = lines_of in values.coords and values[lines_of].dtype.kind in "UO"
        of_depth = any(lines_of.startswith(name) or lines_of.endswith(name) for name in AXIS_LABELS)
        if not of_depth and (named or words) and values.sizes[lines_of] <= MOST_LINES:
            return lines_of, axis
    return None, kept[0]


def _label(values: xr.DataArray) -> str:
    return f"{str(values.name).replace('_', ' ')} ({values.attrs.get('units', 'no unit given')})"


def _said(values: xr.DataArray) -> dict[str, Any]:
    """Title and caption from the variable's attrs."""
    counts = [f"{values.sizes[dim]} {dim}s" for dim in values.dims if dim in REPEATED]
    definition = str(values.attrs.get("definition", ""))
    parts = [part for part in (definition, ", ".join(counts)) if part]
    name = str(values.name).replace("_", " ")
    return {"title": name[:1].upper() + name[1:], "caption": "; ".join(parts)}


def _entries(values: xr.DataArray, dim: str) -> list[str]:
    coords = values[dim].values if dim in values.coords else np.arange(values.sizes[dim])
    return [str(entry) for entry in coords]


def _points(values: xr.DataArray, dim: str) -> NDArray[Any]:
    """Positions along an axis: its numbers, or 0, 1, 2, … where entries are words."""
    if dim in values.coords and values[dim].dtype.kind in "fiu":
        return np.asarray(values[dim].values, dtype=np.float64)
    return np.arange(values.sizes[dim], dtype=np.float64)


def _lines(result: xr.Dataset, variable: str, axis: str, lines_of: str | None) -> Lines:
    values = result[variable]
    series: list[Series] = []
    for entry in [""] if lines_of is None else _entries(values, lines_of):
        chosen = result if lines_of is None else _entry(result, lines_of, entry)
        series.append(_line(chosen, variable, axis, entry))
    kinds = values.coords.get("kind")
    if len(series) == 1 and axis == "step" and kinds is not None and kinds.dims == ("step",):
        series = by_step_kind(series[0], kinds.values)
    return Lines(
        x_label=AXIS_LABELS.get(axis, axis.replace("_", " ")),
        y_label=_label(values),
        series=series,
        **_said(values),
    )


def _entry(result: xr.Dataset, dim: str, entry: str) -> xr.Dataset:
    return result.isel({dim: _entries(result[dim], dim).index(entry)})


def _line(result: xr.Dataset, variable: str, axis: str, entry: str) -> Series:
    values = result[variable]
    x, labels = _points(values, axis), _entries(values, axis)
    repeated = [dim for dim in values.dims if dim != axis]
    name = entry or str(variable).replace("_", " ")
    if repeated:
        rows: Floats = values.transpose(*repeated, axis).values.reshape(-1, len(x))
        over = " and ".join(f"{dim}s" for dim in repeated)
        line = mean_with_band(name, rows.astype(np.float64), labels=labels, over=over)
        return Series(name=line.name, x=x, y=line.y, low=line.low, high=line.high, labels=labels)
    low, high = (_end(result, variable, end) for end in BAND_ENDS)
    return Series(name=name, x=x, y=values.values, low=low, high=high, labels=labels)


def _end(result: xr.Dataset, variable: str, end: str) -> Floats | None:
    """One end of a variable's band, where the result has it with the same dimensions."""
    name = f"{variable}{end}"
    has = name in result and result[name].dims == result[variable].dims
    return np.asarray(result[name].values, dtype=np.float64) if has else None


def _map(values: xr.DataArray) -> Heatmap:
    y, x = (str(dim) for dim in values.dims)
    finite = values.values[np.isfinite(values.values)]
    return Heatmap(
        x_label=AXIS_LABELS.get(x, x.replace("_", " ")),
        y_label=AXIS_LABELS.get(y, y.replace("_", " ")),
        color_label=_label(values),
        values=values.values,
        x_names=_entries(values, x),
        symmetric=bool(finite.size and finite.min() < 0),
        **_said(values),
    )


def _scatter(values: xr.DataArray) -> Paths:
    points = values.transpose(..., "component").values.reshape(-1, values.sizes["component"])
    unit = values.attrs.get("units", "no unit given")
    return Paths(
        x_label=f"component 1 ({unit})",
        y_label=f"component 2 ({unit})",
        paths=[Path(name="samples", points=points[:, :2])],
        markers=True,
        **_said(values),
    )


def _histogram(values: xr.DataArray) -> Histogram:
    numbers = values.values[np.isfinite(values.values)].astype(np.float64)
    return Histogram(
        x_label=_label(values),
        groups=[Group(name=str(values.name), values=numbers)],
        **_said(values),
    )


def _interval(result: xr.Dataset, variable: str) -> Intervals:
    value = float(result[variable])
    ends = [_end(result, variable, end) for end in BAND_ENDS]
    low, high = (value if end is None else float(end) for end in ends)
    return Intervals(
        x_label=_label(result[variable]),
        y_label="",
        intervals=[Interval(name=str(variable), value=value, low=low, high=high)],
        **_said(result[variable]),
    )

"""The drawing of a variable, chosen by its dimensions alone.

Means are taken over repeated dimensions (sample, text, draw, …). Of the others, depth (site, step,
turn, …) and numbers are axes, and words (system, kind, …) are entries with a name each:

one axis, any words   lines with a band of 5-95 % of the samples, or from NAME_low to NAME_high
depth x few numbers   a line for each number
two axes              a matrix in color
words alone           a value with its interval for each entry
sample x component    a cloud in the first two components
sample or unit alone  a histogram
no dimension          a value with its interval
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import prod

import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.plots.backend import forms
from transformer_dynamics.plots.backend.style import Drawing

# By the last word of a dimension's name: `tangled_sample` is a sample.
REPEATED = ("sample", "text", "draw", "state", "unit", "fold")
DEPTH = ("site", "step", "turn", "layer", "start")
MOST_LINES = 12
MOST_ROWS = 24


@dataclass(frozen=True)
class _Dims:
    """Names of a variable's dimensions by their part in a drawing."""

    repeated: list[str]
    depth: list[str]
    words: list[str]
    numbers: list[str]

    @property
    def axes(self) -> list[str]:
        return [*self.depth, *self.numbers]


def default_drawings(result: xr.Dataset) -> list[Drawing]:
    """Drawings of every variable that has one, in the result's order; a band is no variable.

    Raises:
        InputError: no variable can be drawn.
    """
    drawings = []
    for name in result.data_vars:
        if _is_end_of_band(result, str(name)):
            continue
        try:
            drawings.append(variable_drawing(result, name))
        except InputError:
            continue
    if not drawings:
        raise InputError(
            f"got a result with {_variables(result)}, none of which can be drawn by its "
            "dimensions; register a figure for it: measure(name, draw=function)"
        )
    return drawings


def variable_drawing(result: xr.Dataset, variable: Hashable) -> Drawing:
    """The drawing of one variable, by its dimensions.

    Raises:
        InputError: there is no such variable, it holds no numbers, or it has too many dimensions.
    """
    values = _numbers(result, variable)
    dims = _dims(values)
    if dims.numbers == ["component"] and values.ndim > 1 and not dims.depth and not dims.words:
        form = forms.cloud if values.sizes["component"] > 1 else forms.histogram
        return form(result, variable)
    if dims.repeated and len(dims.repeated) == values.ndim:
        return forms.histogram(result, variable)
    n_entries = prod(values.sizes[dim] for dim in dims.words)
    if not dims.axes and (n_entries <= MOST_ROWS or len(dims.words) == 1):
        return forms.intervals(result, variable, dims.words)
    if len(dims.axes) == 1 and n_entries <= MOST_LINES:
        return forms.lines(result, variable, dims.axes[0], dims.words)
    if len(dims.depth) == 1 and len(dims.numbers) == 1:
        names = [*dims.words, *dims.numbers]
        if prod(values.sizes[dim] for dim in names) <= MOST_LINES:
            return forms.lines(result, variable, dims.depth[0], names)
    kept = [*dims.axes, *dims.words]
    if len(kept) == 2:
        return forms.heatmap(result, variable, *kept)
    chosen = ", ".join(f"{dim}=0" for dim in [*dims.words, *dims.axes[::-1]][: len(kept) - 2])
    raise InputError(
        f"got variable={variable!r} with the dimensions {', '.join(map(str, values.dims))}; a "
        f"figure shows two besides the repeated ones; choose entries of the others: "
        f"result.isel({chosen}).td.plot({variable!r})"
    )


def _numbers(result: xr.Dataset, variable: Hashable) -> xr.DataArray:
    """The variable, refused unless it exists and holds real numbers."""
    names = [
        name
        for name, values in result.data_vars.items()
        if values.dtype.kind in "fiub" and values.size
    ]
    works = f"result.td.plot({names[0]!r})" if names else "no variable of this result"
    if not isinstance(variable, Hashable) or variable not in result.data_vars:
        raise InputError(
            f"got variable={variable!r}; the result has {_variables(result)}; this can be drawn: "
            f"{works}"
        )
    values = result[variable]
    if values.dtype.kind not in "fiub":
        raise InputError(
            f"got variable={variable!r}, whose values are not real numbers but {values.dtype}; "
            f"this can be drawn: {works}"
        )
    if not values.size:
        raise InputError(
            f"got variable={variable!r} of shape {dict(values.sizes)}, which holds no value; "
            f"this can be drawn: {works}"
        )
    return values


def _dims(values: xr.DataArray) -> _Dims:
    dims = _Dims([], [], [], [])
    for dim in map(str, values.dims):
        noun = dim.rpartition("_")[2]
        is_word = dim in values.coords and values[dim].dtype.kind in "UOS"
        if noun in REPEATED:
            dims.repeated.append(dim)
        elif noun in DEPTH:
            dims.depth.append(dim)
        else:
            (dims.words if is_word else dims.numbers).append(dim)
    return dims


def _is_end_of_band(result: xr.Dataset, name: str) -> bool:
    return any(
        name.endswith(end) and name.removesuffix(end) in result.data_vars for end in forms.BAND_ENDS
    )


def _variables(result: xr.Dataset) -> str:
    names = ", ".join(map(str, result.data_vars))
    return f"the variables {names}" if names else "no variable"

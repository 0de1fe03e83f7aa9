"""Quantities of a path: name, unit, definition, and the dimensions of the result.

A kernel takes paths `(path, point, unit)` and returns one array per quantity. Over depth a path is
a sample and its points are sites; along tokens a path is one site of one text and its points are
the tokens of that text. Both measures of this family are computed by `over_depth` or by
`token_axis.along_tokens`, according to their argument `axis`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, per_sample, require_sites
from transformer_dynamics.recording.labels import turn_coords
from transformer_dynamics.recording.recording import Recording

Axis = Literal["depth", "token"]
Along = Literal["state", "step", "turn", "path"]
Kernel = Callable[[NDArray[Any]], Mapping[str, Floats]]
"""From states `(path, point, unit)` to named arrays `(path, state | step | turn)` or `(path)`."""

DEPTH_DIMS: dict[Along, tuple[str, ...]] = {
    "state": ("sample", "site"),
    "step": ("sample", "step"),
    "turn": ("sample", "turn"),
    "path": ("sample",),
}
TOO_SHORT = "a text has too few tokens"


@dataclass(frozen=True)
class Quantity:
    """Unit and definition of one quantity that a kernel returns.

    Attributes:
        along: element of the path that has one value: state, step, turn, or the whole path.
        units: unit of the values.
        definition: formula, with s the index along the path.
        averaged: whether the mean over a path is reported too.
    """

    along: Along
    units: str
    definition: str
    averaged: bool = True


def require_axis(axis: str) -> None:
    """Refuse an axis that no path runs along.

    Raises:
        InputError: `axis` is neither `"depth"` nor `"token"`.
    """
    if axis not in ("depth", "token"):
        raise InputError(
            f"got axis={axis!r}; a path runs over 'depth' or along the tokens of a text, 'token': "
            "td.paths.path_geometry(recording, axis='token')"
        )


def over_depth(
    recording: Recording, kernel: Kernel, quantities: Mapping[str, Quantity], *, at_least: int
) -> xr.Dataset:
    """Apply a kernel to the path of every sample over the sites.

    Args:
        recording: states `(sample, site, unit)`.
        kernel: function of paths.
        quantities: quantities that the kernel returns, by name.
        at_least: minimum number of sites.

    Returns:
        One variable per quantity, `(sample, site)`, `(sample, step)`, `(sample, turn)` or
        `(sample)`, with the coordinates of the dimensions that occur. A turn has the label of its
        middle site.

    Raises:
        InputError: the recording has fewer than `at_least` sites.
    """
    require_sites(recording.values, at_least)
    arrays = kernel(recording.values)
    variables = {
        name: (
            DEPTH_DIMS[quantity.along],
            arrays[name],
            per_sample(quantity.units, quantity.definition),
        )
        for name, quantity in quantities.items()
    }
    coords = {**recording.site_coords, **recording.step_coords, **turn_coords(recording)}
    used = {dim for dims, *_ in variables.values() for dim in dims} | {"site"}
    kept = {name: coord for name, coord in coords.items() if coord[0] in used}
    return xr.Dataset(variables, coords=kept)

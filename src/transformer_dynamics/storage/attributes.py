"""Attributes of results: text and numbers unchanged, everything else as JSON text.

NetCDF holds neither nested values nor lists of text, true, false or null. These are written as JSON
when a result is created, and `attribute` reads them back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

# Units of states and of their changes.
STREAM = "stream units"
STREAM_PER_STEP = "stream units per step"
# First characters of JSON text; other text is returned unchanged.
JSON_STARTS = ("{", "[")
JSON_WORDS = {"true": True, "false": False, "null": None}


def plain_attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same attributes with JSON text for values other than text and numbers.

    >>> plain_attributes({"units": "nats", "massive_unit": [4, 11], "centered": True})
    {'units': 'nats', 'massive_unit': '[4, 11]', 'centered': 'true'}
    """
    return {name: _plain(value) for name, value in attrs.items()}


def storable(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with plain attributes and strings of any length, for every file format."""
    # Zarr has no standard form for strings of fixed length.
    fixed = {name: each for name, each in dataset.variables.items() if each.dtype.kind == "U"}
    plain = dataset.assign({name: each.astype(object) for name, each in fixed.items()})
    plain.attrs = plain_attributes(dataset.attrs)
    for name, variable in plain.variables.items():
        variable.attrs = plain_attributes(dataset.variables[name].attrs)
    return plain


def attribute(result: xr.Dataset | xr.DataArray, name: str, default: Any = None) -> Any:
    """Return an attribute of a result in its original form, with JSON text decoded.

    >>> attribute(xr.Dataset(attrs={"parameters": '{"seed": 0}'}), "parameters")
    {'seed': 0}
    """
    value = result.attrs.get(name, default)
    if not isinstance(value, str):
        return value
    if value in JSON_WORDS:
        return JSON_WORDS[value]
    if value.startswith(JSON_STARTS):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _plain(value: Any) -> Any:
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if isinstance(value, str) or is_number:
        return value
    return json.dumps(value, default=_listed, ensure_ascii=False)


def _listed(value: Any) -> Any:
    """Convert arrays, scalars and sets to lists and numbers, and other values to text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)

"""Labels with units, and captions in one order: plotted quantity, N, interval, null model."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import xarray as xr

from transformer_dynamics.plots.backend.depth import SITE_LABEL, STEP_LABEL, TURN_LABEL, names_of
from transformer_dynamics.storage.attributes import attribute

AXIS_LABELS = {"site": SITE_LABEL, "step": STEP_LABEL, "turn": TURN_LABEL}
INTERPRETATION = (
    "A value says something about the model only where it differs from that of a null model."
)
NO_NULL = "Null model: none."
OVER_SAMPLES = "5-95 % of samples"
OVER_TEXTS_SPREAD = "5-95 % of texts"
BOOTSTRAP = "95 % bootstrap over texts"


def caption(quantity: str, *, n: str, interval: str = "none", null: str = "none") -> str:
    """A caption of four parts.

    Args:
        quantity: plotted quantity.
        n: number and noun of the observations, as `24 samples`.
        interval: meaning of bands or bars.
        null: null model or control in the figure.

    >>> caption("Speed by step", n="24 samples", interval="5-95 % of samples")
    'Speed by step. N = 24 samples. Interval: 5-95 % of samples. Null model: none.'
    """
    return f"{quantity}. N = {n}. Interval: {interval}. Null model: {null}."


def n_samples(result: xr.Dataset, noun: str = "samples") -> str:
    """Number of samples of a result: along `sample`, or else in the recording it was made from.

    >>> n_samples(xr.Dataset(attrs={"recording": '{"shape": [24, 9, 5]}'}))
    '24 samples'
    """
    if "sample" in result.sizes:
        return f"{result.sizes['sample']} {noun}"
    shape = (attribute(result, "recording") or {}).get("shape")
    return f"{shape[0]} {noun}" if shape else "not stated"


def with_null(text: str, null: str) -> str:
    """A caption that named no null model, with the null models that were added to its figure."""
    return text.replace(NO_NULL, f"Null model: {null}.") if null else text


def axis_label(values: xr.DataArray, axis: str) -> str:
    """Label of the axis of one dimension, with the unit of its coordinate."""
    has_numbers = axis in values.coords and values[axis].dtype.kind in "fiu"
    unit = values[axis].attrs.get("units", "number") if has_numbers else "index"
    return AXIS_LABELS.get(axis, f"{words(axis)} ({unit})")


def unit_of(values: xr.DataArray) -> str:
    """Unit of a variable, by its attrs."""
    return str(values.attrs.get("units", "no unit given"))


def variable_label(values: xr.DataArray) -> str:
    """Label of the axis of a variable, with its unit."""
    return f"{words(values.name)} ({unit_of(values)})"


def words(name: Any) -> str:
    """A name with spaces in place of underscores."""
    return str(name).replace("_", " ")


def plural(dims: Iterable[Hashable]) -> str:
    """Dimensions as nouns in the plural."""
    return " and ".join(f"{words(dim)}s" for dim in dims)


def _controls(values: xr.DataArray) -> str:
    """Names of all systems but the model."""
    names = [words(name) for name in names_of(values, "system") if name != "model"]
    return ", ".join(names) or "none"


def variable_texts(
    result: xr.Dataset, variable: Hashable, shown: Sequence[str], interval: str = "none"
) -> dict[str, Any]:
    """Title, caption and interpretation from the variable's attrs; `shown` are its other dims."""
    values, name = result[variable], words(variable)
    title = f"{result.attrs['title']}: {name}" if "title" in result.attrs else name
    counts = [f"{size} {words(dim)}s" for dim, size in values.sizes.items() if dim not in shown]
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

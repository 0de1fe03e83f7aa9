"""Selection of samples, sites and units of a recording, by label and by position.

Only coordinates are read, so that a recording on disk is not loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.storage.attributes import attribute, plain_attributes

UNITS = "units"
"""Entry of the provenance with the selected units of the recording that was made."""

# Number of labels that an error message lists.
N_LISTED = 5


def select_labels(dataset: xr.Dataset, labels: Mapping[str, Any]) -> xr.Dataset:
    """Select by label; see `Recording.sel`.

    Args:
        dataset: the recording's dataset.
        labels: dimension or coordinate to one label, several, or a slice.

    Raises:
        InputError: an unknown dimension, an unknown label, or a selection without samples.
    """
    indexers: dict[str, Any] = {}
    kept = np.ones(dataset.sizes["sample"], dtype=bool)
    for name, wanted in labels.items():
        if name == "site":
            indexers["site"] = _sites(dataset["site"].values.tolist(), wanted)
        elif name in ("unit", "sample"):
            indexers[name] = wanted
        else:
            kept &= _has_label(name, _sample_labels(dataset, name), wanted)
    if "sample" in indexers:
        chosen = np.arange(len(kept))[_indices("sample", indexers["sample"], len(kept))]
        indexers["sample"] = chosen[kept[chosen]]
    elif not kept.all():
        indexers["sample"] = np.flatnonzero(kept)
    selected = select_positions(dataset, indexers)
    if 0 in selected["activation"].shape:
        given = ", ".join(f"{name}={wanted!r:.80}" for name, wanted in labels.items())
        raise InputError(
            f"got {given}, which selects no state; give fewer labels at once: "
            f"recording.sel(text={dataset['text'].values[0]})"
        )
    return selected


def select_positions(dataset: xr.Dataset, indexers: Mapping[str, Any]) -> xr.Dataset:
    """Select by position along `sample`, `site` and `unit`; the dimensions remain.

    A selection of units is noted in the provenance as `units`.

    Raises:
        InputError: a position out of range, or not a whole number.
    """
    positions = {
        name: _indices(name, wanted, dataset.sizes[name]) for name, wanted in indexers.items()
    }
    selected = dataset.isel(positions)
    if "unit" not in positions:
        return selected
    provenance = dict(attribute(dataset, "provenance", {}))
    units = np.array(provenance.get(UNITS, range(dataset.sizes["unit"])))[positions["unit"]]
    if np.array_equal(units, np.arange(dataset.sizes["unit"])) and UNITS not in provenance:
        return selected
    provenance[UNITS] = units.tolist()
    return selected.assign_attrs(plain_attributes({**dataset.attrs, "provenance": provenance}))


def _sample_labels(dataset: xr.Dataset, name: str) -> NDArray[Any]:
    """Values of one label of the samples, `(sample,)`; `group` is the group of the text."""
    known = [str(key) for key, coord in dataset.coords.items() if coord.dims == ("sample",)]
    if name in known:
        return np.asarray(dataset[name].values)
    has_groups = "group" in dataset and dataset["group"].dims == ("text_index",)
    if name == "group" and has_groups:
        return np.asarray(dataset["group"].values[dataset["text"].values])
    names = ", ".join(["site", "unit", "sample", *known, *(["group"] if has_groups else [])])
    raise InputError(
        f"got the dimension {name!r}; this recording is selected by {names}: "
        "recording.sel(unit=[1, 2], text=3)"
    )


def _sites(known: list[str], wanted: Any) -> slice | list[int]:
    if isinstance(wanted, slice):
        start, stop = wanted.start, wanted.stop
        first = 0 if start is None else _site(known, start)
        last = len(known) - 1 if stop is None else _site(known, stop)
        return slice(first, last + 1, wanted.step)
    labels = [wanted] if isinstance(wanted, str) else _listed("site", wanted)
    return [_site(known, label) for label in labels]


def _site(known: list[str], label: Any) -> int:
    if label not in known:
        raise InputError(
            f"no site {label!r} in this recording; it has {known[0]} to {known[-1]}: "
            f"recording.sel(site=[{known[0]!r}])"
        )
    return known.index(label)


def _has_label(name: str, labels: NDArray[Any], wanted: Any) -> NDArray[np.bool_]:
    """Whether each sample has one of the labels, `(sample,)`; a slice is a half-open range."""
    if isinstance(wanted, slice):
        return _in_range(name, labels, wanted)
    kept = np.zeros(len(labels), dtype=bool)
    for label in [wanted] if np.ndim(wanted) == 0 else _listed(name, wanted):
        matching = np.asarray(labels == label)
        if not matching.any():
            known = list(dict.fromkeys(labels.tolist()))
            shown = ", ".join(map(repr, known[:N_LISTED])) + ", ..." * (len(known) > N_LISTED)
            raise InputError(
                f"no sample has {name}={label!r}; the recording has {shown}: "
                f"recording.sel({name}={known[0]!r})"
            )
        kept |= matching
    return kept


def _in_range(name: str, labels: NDArray[Any], wanted: slice) -> NDArray[np.bool_]:
    bounds = [bound for bound in (wanted.start, wanted.stop) if bound is not None]
    numbers = all(isinstance(bound, int | float | np.number) for bound in bounds)
    if wanted.step is not None or not numbers or labels.dtype.kind not in "iuf":
        raise InputError(
            f"got {name}={wanted!r}; a slice selects numbers from its start to before its stop, "
            "without a step: recording.sel(position=slice(4, 8))"
        )
    kept = np.ones(len(labels), dtype=bool)
    if wanted.start is not None:
        kept &= labels >= wanted.start
    if wanted.stop is not None:
        kept &= labels < wanted.stop
    return kept


def _indices(name: str, wanted: Any, size: int) -> slice | NDArray[np.int64]:
    """Positions along a dimension: a slice, or whole numbers; a mask becomes numbers."""
    if isinstance(wanted, slice):
        return wanted
    given = np.atleast_1d(np.asarray(wanted))
    if given.dtype == np.bool_ and given.shape == (size,):
        return np.flatnonzero(given)
    if given.size == 0:
        return np.empty(0, dtype=np.int64)
    if given.ndim > 1 or given.dtype.kind not in "iu" or given.min() < -size or given.max() >= size:
        raise InputError(
            f"got {name}={wanted!r:.80}; positions along {name} are whole numbers from 0 to "
            f"{size - 1}: recording.sel({name}=[0, {size - 1}])"
        )
    return given.astype(np.int64)


def _listed(name: str, wanted: Any) -> list[Any]:
    if not isinstance(wanted, Iterable) or isinstance(wanted, Mapping | bytes):
        raise InputError(
            f"got {name}={wanted!r:.80}; give one label, a list or a slice: "
            "recording.sel(site='0.pre_attn')"
        )
    return np.asarray(wanted).tolist() if hasattr(wanted, "dtype") else list(wanted)

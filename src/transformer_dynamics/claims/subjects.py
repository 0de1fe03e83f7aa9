"""The data that a claim is tested on: a recording, or the result of a perturbation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.recorded_nulls import RecordedNull, Rows
from transformer_dynamics.recording.recording import Recording


@dataclass(frozen=True)
class Subject:
    """The data that a claim is tested on.

    Attributes:
        data: the recording, or a perturbation's result on the model.
        nulls: the nulls that run a model, by name.
        groups: text of each sample, or its group of texts, `(sample)`: the unit of the bootstrap.
        resampled: `texts` or `groups`.
    """

    data: Any
    nulls: Mapping[str, RecordedNull]
    groups: NDArray[np.int64]
    resampled: str


def subject_of(
    claim: Claim,
    recording: Recording,
    nulls: Mapping[str, RecordedNull],
    perturbed: Mapping[str, xr.Dataset],
) -> Subject:
    """The subject of one claim.

    Args:
        claim: the claim.
        recording: the recording without its final site.
        nulls: nulls of the recording that run a model.
        perturbed: results of perturbations, by name.
    """
    if claim.perturbation is None:
        return Subject(recording, nulls, recording.groups, recording.grouping)
    systems = dict(claim.subjects(perturbed[claim.perturbation]))
    data = systems.pop("model")
    if "text" in data.coords and set(data["text"].values) <= set(recording.text_index):
        groups, resampled = recording.groups_of(data["text"].values), recording.grouping
    else:
        groups, resampled = np.arange(data.sizes["sample"]), "texts"
    return Subject(data, _nulls_of(systems), groups, resampled)


def _nulls_of(systems: Mapping[str, xr.Dataset]) -> dict[str, RecordedNull]:
    """Results of the other systems; those of several seeds form one null."""
    by_null: dict[str, list[xr.Dataset]] = {}
    for name, result in systems.items():
        base, _, number = name.rpartition(" ")
        by_null.setdefault(base if number.isdigit() else name, []).append(result)
    nulls = {}
    for name, results in by_null.items():
        rows = _measured(results[0])
        for result in results[1:]:
            rows = np.intersect1d(rows, _measured(result))
        nulls[name] = RecordedNull(tuple(result.isel(sample=rows) for result in results), rows)
    return nulls


def _measured(result: xr.Dataset) -> Rows:
    """Indices of the samples that a system was measured on; the others are NaN throughout."""
    measured = np.zeros(result.sizes["sample"], dtype=bool)
    for values in result.data_vars.values():
        if "sample" in values.dims and values.dtype.kind == "f":
            others = [dim for dim in values.dims if dim != "sample"]
            measured |= values.notnull().any(others).values
    return np.flatnonzero(measured)

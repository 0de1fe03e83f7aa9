"""The object that a claim is tested on, and its nulls that run a model, paired sample by sample.

A claim is tested on a recording or on the result of a perturbation. A null that runs a model is one
recording, or several of different seeds, of the same samples or of some of them; the recording is
compared with it on the samples that both have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls.reruns import require_texts_of
from transformer_dynamics.recording.recording import Recording

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Rival:
    """A null that runs a model.

    Attributes:
        recordings: one, or one per seed: recordings, or results of a perturbation.
        rows: places of the subject's samples that they hold, in their order.
    """

    recordings: tuple[Any, ...]
    rows: Rows

    def shared(self, data: Any) -> Any:
        """The subject's own data of these samples."""
        if isinstance(data, Recording):
            whole = np.array_equal(self.rows, np.arange(data.shape[0]))
            return data if whole else data.isel(sample=self.rows)
        return data.isel(sample=self.rows)


@dataclass(frozen=True)
class Subject:
    """The object that a claim is tested on.

    Attributes:
        data: the recording, or a perturbation's result on the model.
        nulls: the nulls that run a model, by name.
        groups: the text of each sample, or its group of texts, `(sample)`: the bootstrap's unit.
        resampled: `texts` or `groups`.
    """

    data: Any
    nulls: Mapping[str, Rival]
    groups: NDArray[np.int64]
    resampled: str


def subject_of(
    claim: Claim,
    recording: Recording,
    model_nulls: Mapping[str, Rival],
    perturbed: Mapping[str, xr.Dataset],
) -> Subject:
    """The subject of one claim."""
    if claim.perturbation is None:
        return Subject(recording, model_nulls, recording.groups, recording.grouping)
    systems = dict(claim.subjects(perturbed[claim.perturbation]))
    data = systems.pop("model")
    if "text" in data.coords and set(data["text"].values) <= set(recording.text_index):
        groups, resampled = recording.groups_of(data["text"].values), recording.grouping
    else:
        groups, resampled = np.arange(data.sizes["sample"]), "texts"
    return Subject(data, _rivals(systems), groups, resampled)


def _rivals(systems: Mapping[str, xr.Dataset]) -> dict[str, Rival]:
    """Results of the other systems, those of several seeds together."""
    together: dict[str, list[xr.Dataset]] = {}
    for name, result in systems.items():
        base, _, number = name.rpartition(" ")
        together.setdefault(base if number.isdigit() else name, []).append(result)
    rivals = {}
    for name, results in together.items():
        rows = _measured(results[0])
        for result in results[1:]:
            rows = np.intersect1d(rows, _measured(result))
        rivals[name] = Rival(tuple(result.isel(sample=rows) for result in results), rows)
    return rivals


def _measured(result: xr.Dataset) -> Rows:
    """Places of the samples that a system was measured on; the others are NaN throughout."""
    found = np.zeros(result.sizes["sample"], dtype=bool)
    for values in result.data_vars.values():
        if "sample" in values.dims and values.dtype.kind == "f":
            others = [dim for dim in values.dims if dim != "sample"]
            found |= values.notnull().any(others).values
    return np.flatnonzero(found)


def rivals_of(
    recording: Recording, nulls: Mapping[str, Recording | Sequence[Recording]]
) -> dict[str, Rival]:
    """Nulls that are recordings, paired with the recording; the final site is left out.

    Raises:
        InputError: a null holds samples that the recording does not have, or recordings of one null
            hold different samples.
    """
    rivals = {}
    for name, given in nulls.items():
        several = (given,) if isinstance(given, Recording) else tuple(given)
        if not several:
            raise InputError(
                f"got no recording of the null {name!r}; give one or more, or leave the name out: "
                f"model_nulls={{{name!r}: td.nulls.{name}(recording, model=model)}}"
            )
        rows = [_rows(name, recording, null) for null in several]
        if any(not np.array_equal(rows[0], other) for other in rows[1:]):
            raise InputError(
                f"the recordings of the null {name!r} hold different samples; make them of the "
                "same texts: td.nulls.untrained_twins(recording, model=model)"
            )
        rivals[name] = Rival(tuple(null.sublayers.load() for null in several), rows[0])
    return rivals


def _rows(name: str, recording: Recording, null: Recording) -> Rows:
    """Places of the null's samples in the recording."""
    require_texts_of(recording, null, name)
    named = [
        key
        for key in ("text", "position")
        if all(key in each.dataset.coords for each in (recording, null))
    ]
    keys = [
        list(zip(*(each.dataset[key].values.tolist() for key in named), strict=True))
        for each in (recording, null)
    ]
    place = {key: row for row, key in enumerate(keys[0])}
    rows = [place.get(key, -1) for key in keys[1]]
    if min(rows) < 0 or len(set(rows)) < len(rows) or null.shape[0] > recording.shape[0]:
        raise InputError(
            f"the recording of the null {name!r} has {null.shape[0]} samples, which are not all "
            f"among the {recording.shape[0]} of the recording; make it of this recording: "
            f"td.nulls.{name}(recording, model=model)"
        )
    return np.array(rows, dtype=np.int64)

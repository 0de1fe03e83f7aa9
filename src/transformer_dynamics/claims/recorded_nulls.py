"""Nulls that run a model, paired sample by sample with the recording.

Such a null is one recording, or several of different seeds, of all samples or of some of them; the
recording is compared with it on the samples that both have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls.reruns import require_texts_of
from transformer_dynamics.recording.recording import Recording

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class RecordedNull:
    """A null that runs a model.

    Attributes:
        recordings: one, or one per seed: recordings, or results of a perturbation.
        rows: indices of the subject's samples that they hold, in their order.
    """

    recordings: tuple[Any, ...]
    rows: Rows


def of_rows(data: Any, rows: Rows) -> Any:
    """Data of a subject on the samples that a null holds."""
    if isinstance(data, Recording):
        whole = np.array_equal(rows, np.arange(data.shape[0]))
        return data if whole else data.isel(sample=rows)
    return data.isel(sample=rows)


def pair_nulls(
    recording: Recording, nulls: Mapping[str, Recording | Sequence[Recording]]
) -> dict[str, RecordedNull]:
    """Pair nulls that are recordings with the recording; the final site is left out.

    Raises:
        InputError: a null holds samples that the recording lacks, or other sites or units, or
            recordings of one null hold different samples.
    """
    paired = {}
    for name, given in nulls.items():
        several = (given,) if isinstance(given, Recording) else tuple(given)
        if not several:
            raise InputError(
                f"got no recording of the null {name!r}; give one or more, or leave the name out: "
                f"model_nulls={{{name!r}: td.nulls.{name}(recording, model=model)}}"
            )
        for null in several:
            _require_sites_and_units(name, recording, null)
        rows = [_rows(name, recording, null) for null in several]
        if any(not np.array_equal(rows[0], other) for other in rows[1:]):
            raise InputError(
                f"the recordings of the null {name!r} hold different samples; make them of the "
                "same texts: td.nulls.untrained_twins(recording, model=model)"
            )
        paired[name] = RecordedNull(tuple(null.sublayers for null in several), rows[0])
    return paired


def _require_sites_and_units(name: str, recording: Recording, null: Recording) -> None:
    """Refuse a null whose profile over depth or over units would be that of other ones."""
    own, others = recording.sublayers, null.sublayers
    if own.sites != others.sites or not np.array_equal(_units(own), _units(others)):
        raise InputError(
            f"the recording of the null {name!r} has {len(others.sites)} sites from "
            f"{others.sites[0]} to {others.sites[-1]} and {others.shape[2]} units, the recording "
            f"{len(own.sites)} from {own.sites[0]} to {own.sites[-1]} and {own.shape[2]} units; "
            "both have the same ones: take the same part of each, "
            "null.sel(site=list(recording.sites), unit=[0, 1])"
        )


def _units(recording: Recording) -> NDArray[Any]:
    return np.asarray(recording.provenance.get("units", np.arange(recording.shape[2])))


def _rows(name: str, recording: Recording, null: Recording) -> Rows:
    """Indices of the null's samples in the recording."""
    require_texts_of(recording, null, name)
    named = [
        key
        for key in ("text", "position")
        if all(key in each.dataset.coords for each in (recording, null))
    ]
    own, others = (
        list(zip(*(each.dataset[key].values.tolist() for key in named), strict=True))
        for each in (recording, null)
    )
    row_of = {key: row for row, key in enumerate(own)}
    rows = [row_of.get(key, -1) for key in others]
    if min(rows) < 0 or len(set(rows)) < len(rows) or null.shape[0] > recording.shape[0]:
        raise InputError(
            f"the recording of the null {name!r} has {null.shape[0]} samples, which are not all "
            f"among the {recording.shape[0]} of the recording; make it of this recording: "
            f"td.nulls.{name}(recording, model=model)"
        )
    return np.array(rows, dtype=np.int64)

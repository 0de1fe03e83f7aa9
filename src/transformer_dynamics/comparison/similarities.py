"""Similarity of the sites of two runs, or the reason why it is not defined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from transformer_dynamics.comparison.compared_run import (
    ComparedRun,
    different_texts,
    shared_texts,
)
from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.similarity import between_recordings

MEASURE = "similarity.between_recordings"


@dataclass(frozen=True)
class Similarity:
    """Similarity of all sites of two runs.

    Attributes:
        first: name of the first run.
        other: name of the other run.
        result: result of `td.similarity.between_recordings`; None where it is not defined.
        reason: reason why it is not defined; empty where it is.
    """

    first: str
    other: str
    result: xr.Dataset | None = None
    reason: str = ""


def similarity_of(first: ComparedRun, other: ComparedRun, seed: int) -> Similarity:
    """Compare the sites of two runs on the texts that both hold."""
    names = first.name, other.name
    recordings = first.recording, other.recording
    # Recordings without texts, as synthetic ones, are paired by the index of their samples.
    has_texts = any(recording.texts for recording in recordings)
    reason = different_texts(first, other) if has_texts else ""
    if reason:
        return Similarity(
            *names, reason=f"{reason}; similarity pairs the samples of the same texts"
        )
    shared = list(shared_texts(*recordings))
    kept = [
        recording.isel(sample=np.flatnonzero(np.isin(recording.text_index, shared)))
        for recording in recordings
        if shared
    ]
    try:
        result = between_recordings(*(kept or recordings), seed=seed)
    except InputError as error:
        return Similarity(*names, reason=str(error))
    return Similarity(*names, result=result)

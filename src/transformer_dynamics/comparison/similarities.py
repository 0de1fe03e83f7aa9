"""Similarity of the sites of two runs, or the reason why it is not defined."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from transformer_dynamics.comparison.compared_run import ComparedRun
from transformer_dynamics.comparison.texts import on_texts
from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.similarity import between_recordings


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
    names, recordings = (first.name, other.name), (first.recording, other.recording)
    # Recordings without texts, as synthetic ones, are paired by the index of their samples.
    if any(recording.texts for recording in recordings):
        shared = first.shared_with(other)
        if shared.reason:
            why = f"{shared.reason}; similarity pairs the samples of the same texts"
            return Similarity(*names, reason=why)
        theirs, ours = zip(*sorted(shared.numbers.items(), key=lambda pair: pair[1]), strict=True)
        recordings = on_texts(first.recording, ours), on_texts(other.recording, theirs)
    try:
        result = between_recordings(*recordings, seed=seed)
    except InputError as error:
        return Similarity(*names, reason=str(error))
    return Similarity(*names, result=result)

"""Recordings of a model over a recording's texts, with the same samples and sites.

Texts keep their numbers; those without samples are stored with their tokens and do not run.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, RecordingError
from transformer_dynamics.recording.recording import Recording

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model
    from transformer_dynamics.recording.options import RecordingOptions

# Larger than any number of tokens: text * _SPAN + position orders samples by text, then position.
_SPAN = 2**32
# Largest number of texts that a control of a model runs by default: enough for its interval.
CONTROL_TEXTS = 128
# Number of untrained twins by default. A statistic with p = 0.003 then lies 5.8 standard deviations
# from their mean; 4.1 with eight twins.
N_TWINS = 5
# Controls of different calls run the same texts, so that they can be reused and compared.
TEXTS_SEED = 0


def text_subset(recording: Recording, n_texts: int | None) -> Recording:
    """Samples of at most `n_texts` texts, a fixed seeded choice; all of them with `None`.

    Raises:
        InputError: `n_texts` is below 1.
    """
    if n_texts is not None and n_texts < 1:
        raise InputError(
            f"got n_texts={n_texts}; give at least one, or None for all: n_texts={CONTROL_TEXTS}"
        )
    texts = np.unique(recording.text_index)
    if n_texts is None or len(texts) <= n_texts:
        return recording
    chosen = np.random.default_rng(TEXTS_SEED).choice(texts, n_texts, replace=False)
    return recording.isel(sample=np.flatnonzero(np.isin(recording.text_index, chosen)))


def token_lists(recording: Recording) -> list[list[int]]:
    """Tokens of each text that the recording was made from.

    Raises:
        RecordingError: it did not keep them, as a synthetic one does not.
    """
    lists = [list(ids) for ids in recording.token_lists]
    if not lists:
        raise RecordingError(
            "this recording holds no tokens to run a model over; nulls that run a model need one "
            "made by td.record(model, texts)"
        )
    return lists


def rerun(
    recording: Recording,
    model: Model,
    lists: list[list[int]],
    out: str | Path | None,
    *,
    options: RecordingOptions | None = None,
    **recording_arguments: Any,
) -> Recording:
    """Record a model over tokens of a recording's texts, with its samples and sites in its order.

    Args:
        recording: recording whose samples and sites are taken over.
        model: model to run.
        lists: tokens of every text of the recording; only texts with samples run.
        out: folder of the new recording; in memory with `None`.
        options: options of `td.record`.
        recording_arguments: `on_progress` of `td.record`.
    """
    from transformer_dynamics.recording.record import record

    text, position = recording.text_index, np.asarray(recording.dataset["position"].values)
    groups = recording.text_groups
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "every text ends in the same special token")
        warnings.filterwarnings("ignore", ".* have no position that is kept")
        rerecorded: Recording = record(
            model,
            lists,
            _positions(text, position, lists),
            out=out,
            options=_options(recording, options),
            groups=None if groups is None else list(groups),
            **recording_arguments,
        )
    keys = rerecorded.text_index * _SPAN + rerecorded.dataset["position"].values
    rows = np.searchsorted(keys, text * _SPAN + position)
    if not np.array_equal(rows, np.arange(len(keys))) or rerecorded.sites != recording.sites:
        rerecorded = rerecorded.sel(sample=rows, site=list(recording.sites))
    if "units" in recording.provenance:
        rerecorded = rerecorded.sel(unit=recording.provenance["units"])
    return rerecorded


def _options(recording: Recording, options: RecordingOptions | None) -> RecordingOptions:
    """Options of the new recording, with the settings that the recording's tokens fix."""
    from transformer_dynamics.recording.options import RecordingOptions

    provenance = recording.provenance
    # Texts that were cut are already short; texts that ran in windows are whole.
    too_long = "window" if provenance.get("too_long") == "window" else "refuse"
    seed = provenance.get("seed", 0)
    return replace(options or RecordingOptions(), bos="never", too_long=too_long, seed=seed)


def _positions(
    text: NDArray[np.int64], position: NDArray[np.int64], lists: list[list[int]]
) -> str | list[list[int]]:
    """Positions of each text, by name where they have one; none of a text without samples."""
    kept: list[list[int]] = [[] for _ in lists]
    for index in np.unique(text):
        kept[index] = np.unique(position[text == index]).tolist()
    lengths = [len(tokens) for tokens in lists]
    if all(of_text == [length - 1] for of_text, length in zip(kept, lengths, strict=True)):
        return "last"
    if all(len(of_text) == length for of_text, length in zip(kept, lengths, strict=True)):
        return "all"
    return kept

"""Nulls that run a model: its untrained twin, and its own texts with their tokens shuffled.

Both run the texts that the recording kept, at the same positions, and give a recording of the same
shape. Cost: one recording each.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import null

if TYPE_CHECKING:
    from transformer_dynamics.models import Model


@null(
    "untrained",
    keeps="architecture, texts",
    destroys="learning",
    needs_model=True,
)
def untrained(
    recording: Recording, *, model: Model, seed: int = 0, out: str | Path | None = None, **how: Any
) -> Recording:
    """The recording that the same architecture gives with its weights as initialised.

    Args:
        recording: a recording of `model`.
        model: the trained model.
        seed: of the initialisation.
        out: where to record to; in memory without it.
        how: `options` and `on_progress`, as `td.record` takes them.
    """
    return _rerun(recording, model.untrained_twin(seed), token_lists(recording), out, how)


@null(
    "shuffled_tokens",
    keeps="unigram statistics of every text",
    destroys="syntax",
    needs_model=True,
)
def shuffled_tokens(
    recording: Recording, *, model: Model, seed: int = 0, out: str | Path | None = None, **how: Any
) -> Recording:
    """The recording that the model gives when the tokens of every text are shuffled.

    A begin token stays in front. The last token changes with the order, as it must: its place is
    part of the syntax.
    """
    generator = np.random.default_rng(seed)
    begin = getattr(model.tokenizer, "bos_token_id", None)
    shuffled = []
    for ids in token_lists(recording):
        n_fixed = 1 if begin is not None and ids[0] == begin else 0
        rest = generator.permutation(np.array(ids[n_fixed:], dtype=np.int64)).tolist()
        shuffled.append([*ids[:n_fixed], *rest])
    return _rerun(recording, model, shuffled, out, how)


def token_lists(recording: Recording) -> list[list[int]]:
    """The tokens that a recording was made of.

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


def _rerun(
    recording: Recording, model: Model, lists: list[list[int]], out: str | Path | None, how: Any
) -> Recording:
    """Run token lists and keep the positions that the recording kept."""
    from transformer_dynamics.recording.options import RecordingOptions
    from transformer_dynamics.recording.positions import GIVEN, Positions
    from transformer_dynamics.recording.recorder import record

    made = recording.provenance
    positions: Positions = made.get("positions", "last")
    if positions == GIVEN:
        places, texts = recording.dataset["position"].values, recording.text_index
        positions = [places[texts == text].tolist() for text in range(len(lists))]
    given: RecordingOptions = how.pop("options", None) or RecordingOptions()
    # Texts that were cut are short already; those that ran in windows are whole.
    too_long = "window" if made.get("too_long") == "window" else "refuse"
    options = replace(given, bos="never", too_long=too_long, seed=made.get("seed", 0))
    rerun: Recording = record(model, lists, positions, out=out, options=options, **how)
    return rerun

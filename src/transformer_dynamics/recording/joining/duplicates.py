"""Texts that occur in several of the recordings that are joined."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.recording import Recording

SHOWN = 40


def refuse_duplicates(recordings: Sequence[Recording], names: Sequence[str]) -> None:
    """Refuse a text that gives samples in two recordings.

    Texts are compared by their tokens, or by their strings where no tokens are held; a recording
    without either is not compared.

    Raises:
        RecordingError: such a text; the message names the first with both of its places.
    """
    seen: dict[Hashable, tuple[int, int]] = {}
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for which, recording in enumerate(recordings):
        for index, key in _texts(recording):
            place = seen.setdefault(key, (which, index))
            if place[0] != which:
                found.append((place, (which, index)))
    if not found:
        return
    (one, text), (other, again) = found[0]
    strings = recordings[one].texts
    shown = f" ({strings[text][:SHOWN]!r})" if strings else ""
    raise RecordingError(
        f"{len(found)} texts are in two recordings: text {text} of {names[one]}{shown} is text "
        f"{again} of {names[other]}. They would count twice; leave them out of one recording, or "
        "keep them: keep_duplicates=True (--keep-duplicates)"
    )


def _texts(recording: Recording) -> Iterator[tuple[int, Hashable]]:
    """Index and content of the texts that give samples."""
    held: Sequence[Hashable] = recording.token_lists or recording.texts
    if held:
        for index in np.unique(recording.text_index):
            yield int(index), held[int(index)]

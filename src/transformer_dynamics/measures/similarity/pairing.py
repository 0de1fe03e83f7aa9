"""Pairing of the samples of two recordings.

    same tokens            matched by text and position; both hold the same samples
    different tokenizers   the texts must be the same strings; the last token of each text is
                           matched with the last token of the same text
    no tokens kept         matched by the coordinates of both among text, position and token id

Samples that do not match are refused, since every measure of two recordings rests on the pairing.

Source: ours. Cost: two sorts of the samples. Limits: different texts that begin or end alike, and
tokens in the middle of a text under two tokenizers.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.recording.recording import Recording

Rows = NDArray[np.int64]
REPAIR = (
    "record both over the same texts at the same positions: td.record(model, texts) and "
    "td.record(other_model, texts)"
)


def matched_samples(recording: Recording, other: Recording) -> tuple[Rows, Rows]:
    """Positions along `sample` of the same samples in both recordings, in the first one's order.

    Args:
        recording: states `(sample, site, unit)`.
        other: other recording, `(sample, site, unit)`; sites and units may differ.

    Returns:
        Two arrays of the same length.

    Raises:
        InputError: texts or samples differ, or several samples have the same keys.
    """
    tokens, other_tokens = recording.token_lists, other.token_lists
    if tokens and other_tokens and tokens != other_tokens:
        return _by_last_token(recording, other)
    names = ["text", "position"] if tokens and other_tokens else ["text", "position", "token_id"]
    shared = [
        name for name in names if all(name in part.dataset.coords for part in (recording, other))
    ]
    if not shared:
        raise InputError(
            "these recordings share no coordinate that identifies a sample; give both the same "
            "ones: Recording.from_array(values, coords={'text': text_index})"
        )
    return _same_keys(_keys(recording, shared), _keys(other, shared), ", ".join(shared))


def _by_last_token(recording: Recording, other: Recording) -> tuple[Rows, Rows]:
    """Last token of each text, for texts that were tokenized differently."""
    if recording.texts != other.texts:
        raise InputError(
            f"got recordings of {len(recording.texts)} and {len(other.texts)} texts with different "
            f"tokens and different strings; {REPAIR}"
        )
    rows = _last_tokens(recording), _last_tokens(other)
    texts = recording.text_index[rows[0]], other.text_index[rows[1]]
    if not np.array_equal(texts[0], texts[1]) or not texts[0].size:
        raise InputError(
            "these recordings were tokenized differently, so that only the last tokens of texts "
            f"can be matched, and they hold the last token of {len(rows[0])} and {len(rows[1])} "
            f"texts; {REPAIR}, positions='last'"
        )
    return rows


def _last_tokens(recording: Recording) -> Rows:
    """Samples that are the last token of their text, in the order of texts."""
    text = recording.text_index
    is_last = recording.dataset["position"].values == recording.dataset["n_tokens"].values[text] - 1
    rows = np.flatnonzero(is_last)
    return rows[np.argsort(text[rows], kind="stable")]


def _keys(recording: Recording, names: list[str]) -> NDArray[np.int64]:
    """Keys that identify samples, `(sample, name)`."""
    return np.stack([np.asarray(recording.dataset[name].values) for name in names], axis=1)


def _same_keys(keys: Rows, others: Rows, names: str) -> tuple[Rows, Rows]:
    first, second = np.lexsort(keys.T[::-1]), np.lexsort(others.T[::-1])
    if keys.shape != others.shape or not np.array_equal(keys[first], others[second]):
        common = len({*map(tuple, keys.tolist())} & {*map(tuple, others.tolist())})
        raise InputError(
            f"got recordings of {len(keys)} and {len(others)} samples, of which {common} agree in "
            f"{names}; {REPAIR}"
        )
    if any((before == after).all() for before, after in pairwise(keys[first])):
        raise InputError(
            f"several samples have the same {names}, so that they cannot be paired; give each its "
            "position: Recording.from_array(values, coords={'text': text, 'position': position})"
        )
    rows = np.empty_like(second)
    rows[first] = second
    return np.arange(len(keys)), rows

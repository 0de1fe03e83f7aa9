"""The same samples in two recordings: which sample of one is which of the other.

    same tokens           samples are matched by text and position; both hold the same ones
    other tokens, as of   the texts must be the same strings, and the last token of each text is
    another tokenizer     matched with the last token of the same text
    no tokens kept        samples are matched by what both hold of text, position and token id

Whatever does not match is refused, since every measure of two recordings rests on the pairing.

Cost: none to speak of. Source: ours. Not handled: texts that begin or end alike but are not the
same; tokens in the middle of a text under two tokenizers.
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
        recording: `(sample, site, unit)`.
        other: `(sample, site, unit)`; sites and units may differ.

    Returns:
        Two arrays of the same length.

    Raises:
        InputError: texts or samples differ, or samples cannot be told apart.
    """
    tokens, other_tokens = recording.token_lists, other.token_lists
    if tokens and other_tokens and tokens != other_tokens:
        return _by_last_token(recording, other)
    names = ["text", "position"] if tokens and other_tokens else ["text", "position", "token_id"]
    shared = [
        name for name in names if all(name in each.dataset.coords for each in (recording, other))
    ]
    if not shared:
        raise InputError(
            "these recordings share no coordinate that says which sample is which; give both the "
            "same ones: Recording.from_array(values, coords={'text': text_index})"
        )
    return _same_keys(_keys(recording, shared), _keys(other, shared), ", ".join(shared))


def _by_last_token(recording: Recording, other: Recording) -> tuple[Rows, Rows]:
    """The last token of each text, where the texts were tokenized differently."""
    if recording.texts != other.texts:
        raise InputError(
            f"got recordings of {len(recording.texts)} and {len(other.texts)} texts with other "
            f"tokens and other strings; {REPAIR}"
        )
    rows = _last_tokens(recording), _last_tokens(other)
    texts = recording.text_index[rows[0]], other.text_index[rows[1]]
    if not np.array_equal(texts[0], texts[1]) or not texts[0].size:
        raise InputError(
            "these recordings were tokenized differently, so that only the last tokens of texts "
            f"can be matched, and they hold that of {len(rows[0])} and {len(rows[1])} texts; "
            f"{REPAIR}, positions='last'"
        )
    return rows


def _last_tokens(recording: Recording) -> Rows:
    """Samples that are the last token of their text, by text."""
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
            f"samples cannot be told apart: several have the same {names}; give each its "
            "position: Recording.from_array(values, coords={'text': text, 'position': position})"
        )
    rows = np.empty_like(second)
    rows[first] = second
    return np.arange(len(keys)), rows

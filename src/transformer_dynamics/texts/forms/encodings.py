"""Encodings of a tokenizer: padding is removed by the attention mask, other entries are refused.

Padded ids without their mask and masks with gaps are refused, since they would be recorded as
other texts than those of the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.texts.forms.arrays import as_array, is_array

# Entries of an encoding that do not change the forward pass.
HARMLESS = {
    "input_ids", "attention_mask", "labels", "length", "offset_mapping", "special_tokens_mask",
    "overflow_to_sample_mapping", "idx", "text",
}  # fmt: skip


def is_encoding(given: Any) -> bool:
    """Return whether the argument is a mapping with `input_ids`."""
    return (isinstance(given, Mapping) or hasattr(given, "data")) and (
        hasattr(given, "keys") and "input_ids" in given
    )


def without_padding(ids: list[list[int]], masks: list[list[int]]) -> list[list[int]]:
    """Return the ids of each text at which its attention mask is one.

    Args:
        ids: token ids, `(text, position)`.
        masks: attention masks of zeros and ones, `(text, position)`.

    Raises:
        RecordingError: the shapes differ, or a mask is not one run of ones.
    """
    if [len(row) for row in ids] != [len(row) for row in masks]:
        raise RecordingError(
            f"got {len(ids)} rows of input_ids and an attention_mask of another shape; both are "
            "(text, position), as tokenizer(texts, padding=True, return_tensors='pt') gives them"
        )
    result = []
    for index, (row, mask) in enumerate(zip(ids, masks, strict=True)):
        kept = [position for position, is_visible in enumerate(mask) if is_visible]
        if set(mask) - {0, 1} or (kept and kept[-1] - kept[0] + 1 != len(kept)):
            raise RecordingError(
                f"the attention_mask of text {index} is not one run of ones with zeros before or "
                "after it; masks that hide tokens within a text are not supported: pass the "
                "visible tokens of each text alone"
            )
        result.append([row[position] for position in kept])
    return result


def refuse_extras(given: Mapping[str, Any]) -> None:
    """Refuse an encoding with entries that would change the states.

    Raises:
        RecordingError: there is such an entry; it is named.
    """
    for key in given:
        value = given[key]
        if key in HARMLESS or value is None:
            continue
        array = as_array(value) if is_array(value) else value
        if key == "token_type_ids" and not _any(array):
            continue
        raise RecordingError(
            f"got an encoding with {key!r}, which a recording does not pass to the model, so "
            "the recorded states would differ from yours; pass input_ids and attention_mask only: "
            "{'input_ids': inputs['input_ids'], 'attention_mask': inputs['attention_mask']}"
        )


def _any(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_any, value))
    return bool(np.any(value))


def refuse_padding(rows: Sequence[Sequence[int]], pad: int | None, ambiguous: bool) -> None:
    """Refuse rows that begin or end with the padding id.

    If the padding token is also the begin or end token (`ambiguous`), a single one at the same edge
    of every row is accepted as that token.

    Raises:
        RecordingError: a row begins or ends with padding.
    """
    if pad is None:
        return
    edges = {(_n_leading(row, pad), _n_leading(row[::-1], pad)) for row in rows}
    allowed = (
        ({(0, 0), (0, 1), (1, 0), (1, 1)} if ambiguous else {(0, 0)}) if len(edges) == 1 else set()
    )
    if not edges <= allowed:
        raise RecordingError(
            f"got token ids that begin or end with the padding id {pad}, without the attention "
            "mask that marks the padding; pass the whole encoding: "
            "td.record(model, tokenizer(texts, padding=True, return_tensors='pt'))"
        )


def _n_leading(row: Sequence[int], pad: int) -> int:
    """Count the padding ids at the beginning of a row."""
    return next((position for position, token in enumerate(row) if token != pad), len(row))

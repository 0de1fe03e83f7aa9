"""Entries of the argument `texts`: strings, token ids or chats, in order.

Accepted are one text or many, in a list, an array, a tensor, a generator or a data set that yields
them. One string, one list of ids and one chat are one text each.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.texts.forms.arrays import as_array, is_array, nested_lists
from transformer_dynamics.texts.forms.encodings import (
    is_encoding,
    refuse_extras,
    refuse_padding,
    without_padding,
)
from transformer_dynamics.texts.forms.refusals import is_refused, not_texts


@dataclass(frozen=True)
class Chat:
    """Messages of one chat, each with a role and a content."""

    messages: list[Mapping[str, Any]]


# A string, the token ids of one text, or a chat.
Entry = str | list[int] | Chat


def entries_of(given: Any, pad: int | None, *, ambiguous: bool) -> list[Entry]:
    """Return the entries of an argument, in order.

    Args:
        given: one text or many, in any accepted form.
        pad: id of the padding token, or None.
        ambiguous: whether the padding token is also the begin or end token.

    Raises:
        RecordingError: the argument or one of its items has another form.
    """
    single = _single_entry(given)
    if single is not None and not (isinstance(given, list | tuple) and not given):
        return [single]
    if is_encoding(given):
        return list(_encoded(given, pad, ambiguous))
    if is_array(given) and np.asarray(as_array(given)).dtype.kind in "iufb":
        return list(_rows(given, pad, ambiguous))
    if isinstance(given, Mapping) or not isinstance(given, Iterable) or is_refused(given):
        raise not_texts(given, "")
    items = list(given)
    result: list[Entry] = []
    for index, item in enumerate(items):
        single = _single_entry(item)
        if single is not None:
            result.append(single)
        elif is_encoding(item):
            result += _encoded(item, pad, ambiguous)
        elif is_array(item) and np.ndim(as_array(item)) == 2:
            result += _rows(item, pad, ambiguous)
        else:
            raise not_texts(item, f"text {index}: ")
    lists = [entry for entry in result if isinstance(entry, list)]
    if len(lists) > 1 and len({len(ids) for ids in lists}) == 1:
        refuse_padding(lists, pad, ambiguous)
    return result


def _single_entry(given: Any) -> Entry | None:
    """Return a string, a list of ids, a chat or an encoding as an entry; None for other types."""
    if isinstance(given, str):
        return str(given)
    if is_array(given):
        array = np.asarray(as_array(given))
        return array.tolist() if array.ndim == 1 and array.dtype.kind in "iu" else None
    if isinstance(given, list | tuple):
        if given and all(
            isinstance(item, Mapping) and {"role", "content"} <= set(item) for item in given
        ):
            return Chat(list(given))
        if all(map(_is_id, given)):
            return [operator.index(token) for token in given]
    if hasattr(given, "ids") and hasattr(given, "attention_mask") and not hasattr(given, "shape"):
        (ids,) = without_padding([list(given.ids)], [list(given.attention_mask)])
        return ids
    return None


def _is_id(token: Any) -> bool:
    if isinstance(token, bool | np.bool_) or str(getattr(token, "dtype", "")) == "torch.bool":
        return False
    try:
        operator.index(token)
    except (TypeError, ValueError):
        return False
    return True


def _rows(given: Any, pad: int | None, ambiguous: bool) -> list[list[int]]:
    array = np.asarray(as_array(given))
    if array.ndim not in (1, 2) or array.dtype.kind not in "iu":
        raise RecordingError(
            f"got token ids of shape {array.shape} and dtype {array.dtype}; they are whole numbers "
            "(position) or (text, position): td.record(model, inputs['input_ids'])"
        )
    rows: list[list[int]] = np.atleast_2d(array).tolist()
    refuse_padding(rows, pad, ambiguous)
    return rows


def _encoded(given: Mapping[str, Any], pad: int | None, ambiguous: bool) -> list[list[int]]:
    """Return the ids of an encoding that its attention mask shows."""
    refuse_extras(given)
    ids = given["input_ids"]
    mask = given.get("attention_mask")
    if mask is None:
        return [_ids(entry) for entry in entries_of(ids, pad, ambiguous=ambiguous)]
    return without_padding(nested_lists(ids, "input_ids"), nested_lists(mask, "attention_mask"))


def _ids(entry: Entry) -> list[int]:
    if isinstance(entry, list):
        return entry
    raise RecordingError(f"got input_ids that hold {entry!r:.40}; they are whole numbers")

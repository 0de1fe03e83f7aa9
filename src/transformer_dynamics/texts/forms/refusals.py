"""Errors for arguments that are not texts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.texts.forms.arrays import is_array

ALLOWED = (
    "texts are strings, token ids, encodings of a tokenizer, or chats, one or many: "
    "td.record(model, ['One text.', 'Another.'])"
)


def is_refused(given: Any) -> bool:
    """Return whether the items of an iterable are not texts, or have no order."""
    return isinstance(given, bytes | bytearray | set | frozenset | os.PathLike) or hasattr(
        given, "columns"
    )


def not_texts(given: Any, where: str) -> RecordingError:
    """Return the error for an argument that is not texts, with the call for its type.

    Args:
        given: the argument, or one of its items.
        where: prefix of the message that names the item.
    """
    kind, hint = type(given).__name__, ALLOWED
    if isinstance(given, os.PathLike):
        hint = f"load the texts of a file: td.record(model, td.load_texts({os.fspath(given)!r}))"
    elif isinstance(given, bytes | bytearray):
        kind = "byte string"
        hint = "decode bytes to text first: texts.decode('utf-8')"
    elif isinstance(given, set | frozenset):
        hint = "a set has no order: td.record(model, sorted(texts))"
    elif isinstance(given, Mapping):
        keys = ", ".join(map(repr, list(given)[:4]))
        kind = f"{kind} with the keys {keys or 'none'}"
        hint = (
            "an encoding has 'input_ids'; of a table or a data set select the column of texts: "
            "td.record(model, [row['text'] for row in rows])"
        )
    elif hasattr(given, "columns"):
        hint = "select the column of the texts: td.record(model, list(table['text']))"
    elif is_array(given) or isinstance(given, list | tuple):
        shape = getattr(given, "shape", None)
        kind = f"{kind} of {f'shape {tuple(shape)}' if shape is not None else repr(given):.60}"
        hint = "token ids are whole numbers, (position) or (text, position); " + ALLOWED
    article = "an" if kind[0] in "aeiou" else "a"
    return RecordingError(f"{where}got {article} {kind}; {hint}")

"""Token ids in arrays and tensors, as lists."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from transformer_dynamics.errors import RecordingError


def is_array(given: Any) -> bool:
    """Return whether the argument is an array of numpy or a tensor."""
    return isinstance(given, np.ndarray) or hasattr(given, "detach")


def as_array(array: Any) -> Any:
    """Copy a tensor to an array in main memory, floating types as float32."""
    if not hasattr(array, "detach"):
        return array
    tensor = array.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def nested_lists(value: Any, name: str) -> list[list[int]]:
    """Convert ids or a mask to one list of integers per text.

    Args:
        value: array, tensor or lists, `(position)` or `(text, position)`.
        name: name of the entry, for the error.

    Raises:
        RecordingError: the values are not whole numbers.
    """
    plain = as_array(value) if is_array(value) else value
    if isinstance(plain, np.ndarray):
        plain = plain.tolist() if plain.dtype.kind in "iub" else plain.astype(object).tolist()
    if isinstance(plain, list | tuple) and plain and not isinstance(plain[0], list | tuple):
        plain = [as_array(item).tolist() if is_array(item) else item for item in plain]
        if not isinstance(plain[0], list):
            plain = [plain]
    try:
        return [[operator.index(item) for item in row] for row in plain]
    except TypeError as error:
        raise RecordingError(
            f"got {name} that are not whole numbers ({error}); (text, position), as "
            "tokenizer(texts, padding=True, return_tensors='pt') gives them"
        ) from error

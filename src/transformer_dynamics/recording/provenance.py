"""Provenance in the types of JSON: text, numbers, lists and dictionaries."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from transformer_dynamics.errors import RecordingError

# Deeper nesting is a dictionary that contains itself.
MOST_LEVELS = 32


def plain_provenance(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """Convert provenance to the types of JSON, or refuse it by the name of the entry.

    Numpy's scalars and arrays become numbers and lists, paths and dates text, tuples lists, and
    sets sorted lists.

    Raises:
        RecordingError: an entry cannot be converted, is NaN or infinite, or has a key that is no
            string.
    """
    if provenance is None:
        return {}
    if not isinstance(provenance, Mapping):
        raise RecordingError(
            f"got provenance of type {type(provenance).__name__}; it is a dictionary: "
            "provenance={'model': 'gpt2'}"
        )
    plain: dict[str, Any] = _plain(provenance, "provenance", 0)
    return plain


def _plain(value: Any, name: str, level: int) -> Any:
    if level > MOST_LEVELS:
        raise RecordingError(
            f"{name[:60]}... is nested deeper than {MOST_LEVELS} levels; give a flat dictionary: "
            "provenance={'model': 'gpt2'}"
        )
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return _plain_mapping(value, name, level)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{name}[{index}]", level + 1) for index, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        items = [_plain(item, f"an entry of {name}", level + 1) for item in value]
        return sorted(items, key=lambda item: (type(item).__name__, str(item)))
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, datetime.date | datetime.time):
        value = value.isoformat()
    return _plain_scalar(value, name)


def _plain_mapping(value: Mapping[Any, Any], name: str, level: int) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise RecordingError(
                f"got the key {key!r} in {name}; keys are strings: provenance={{{str(key)!r}: ...}}"
            )
    return {
        _plain_scalar(key, f"a key of {name}"): _plain(item, f"{name}[{key!r}]", level + 1)
        for key, item in value.items()
    }


def _plain_scalar(value: Any, name: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encodable(value, name)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise RecordingError(
        f"{name} is {_shown(value)}, which JSON cannot hold; give text, finite numbers, lists or "
        "dictionaries, as in provenance={'model': 'gpt2', 'dtype': str(dtype)}"
    )


def _encodable(value: str, name: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecordingError(
            f"{name} is text that UTF-8 cannot hold ({error.reason}); leave out its surrogates: "
            "text.encode('utf-8', 'ignore').decode()"
        ) from error
    return str(value)


def _shown(value: Any) -> str:
    kind = type(value).__name__
    return f"the number {value}" if isinstance(value, float) else f"of type {kind}"

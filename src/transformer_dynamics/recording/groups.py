"""Groups of texts that resemble each other, such as the paragraphs of an article.

Intervals resample groups, and splits keep a group on one side, so that training and test data share
no group. A text with an empty group is a group of its own. A recording holds the groups as the
variable `group` `(text_index)`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.texts.tokenization import storable


def checked_groups(groups: Any, n_texts: int) -> list[str]:
    """Convert the group of each text to text; None becomes the empty group.

    Raises:
        RecordingError: no sequence, another number of groups than texts, or a group that is neither
            text nor a number.
    """
    if hasattr(groups, "tolist"):
        groups = groups.tolist()
    if not isinstance(groups, Sequence) or isinstance(groups, str | bytes):
        kind = type(groups).__name__
        raise RecordingError(f"got groups of type {kind}; {_ALLOWED}")
    if len(groups) != n_texts:
        raise RecordingError(f"got {len(groups)} groups for {n_texts} texts; {_ALLOWED}")
    for group in groups:
        if group is not None and not isinstance(group, str | int | float | np.number):
            raise RecordingError(
                f"got the group {group!r:.40} of type {type(group).__name__}; {_ALLOWED}"
            )
    return ["" if group is None else storable(str(group)) for group in groups]


def group_codes(names: Iterable[str]) -> NDArray[np.int64]:
    """Number the groups: a number for each text, equal within a group, `(text,)`.

    >>> group_codes(["moon", "", "moon", ""])
    array([0, 1, 0, 2])
    """
    codes: dict[Any, int] = {}
    keys = [name or (text,) for text, name in enumerate(names)]
    return np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.int64)


def groups_sha256(groups: Sequence[str] | None) -> str | None:
    """SHA-256 of the groups, for the provenance; None if there are none."""
    return None if groups is None else hashlib.sha256(json.dumps(list(groups)).encode()).hexdigest()


def group_variable(groups: Sequence[str] | None) -> Mapping[str, Any]:
    """Groups as a variable of a recording; empty if there are none."""
    if groups is None:
        return {}
    return {"group": ("text_index", np.array(groups, dtype=object))}


_ALLOWED = (
    "groups are text or numbers, one for each text: td.record(model, texts, groups=['moon', "
    "'moon', 'sun'])"
)

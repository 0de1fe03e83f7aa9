"""Groups of texts: texts of one group resemble each other, as the paragraphs of an article do.

Intervals draw groups and splits deal them out, so that what is fitted shares no group with what it
is scored on. A text whose group is blank is a group of its own. A recording keeps the groups as the
variable `group` `(text_index)` beside `text_string`.
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
    """One group for each text, as text; None is no group.

    Raises:
        RecordingError: they are no sequence, another number, or no text or numbers.
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
    """A number for each text that is equal for texts of one group, `(text,)`.

    >>> group_codes(["moon", "", "moon", ""])
    array([0, 1, 0, 2])
    """
    codes: dict[Any, int] = {}
    keys = [name or (place,) for place, name in enumerate(names)]
    return np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.int64)


def groups_sha256(groups: Sequence[str] | None) -> str | None:
    """SHA-256 of the groups, by which a recording names them; None where there are none."""
    return None if groups is None else hashlib.sha256(json.dumps(list(groups)).encode()).hexdigest()


def group_variable(groups: Sequence[str] | None) -> Mapping[str, Any]:
    """The groups as a variable of a recording; none where there are none."""
    if groups is None:
        return {}
    return {"group": ("text_index", np.array(groups, dtype=object))}


_ALLOWED = (
    "groups are text or numbers, one for each text: td.record(model, texts, groups=['moon', "
    "'moon', 'sun'])"
)

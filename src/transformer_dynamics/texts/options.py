"""Options of `load_texts` and checks of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.sources import WIKIPEDIA, Source, is_bundled, is_on_hub, shown

_LARGEST = 2**63 - 1  # a number of a selection is stored in 64 bits


@dataclass(frozen=True)
class TextOptions:
    """Rare options of `load_texts`.

    Attributes:
        min_chars: shortest text in characters, after stripping and before cutting. None: 100 for
            the corpora ("wikipedia-sample" and "hf://"), no bound for files. Blank texts are
            always dropped.
        max_chars: longest text in characters. None: 500 for the corpora, no bound for files.
        revision: branch, tag or commit of a dataset of the hub. None: the newest.
        offline: whether the network is forbidden.

    Raises:
        TextsError: a value of another type or range.
    """

    min_chars: int | None = None
    max_chars: int | None = None
    revision: str | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        for name, least, example in (("min_chars", 0, 100), ("max_chars", 1, 500)):
            value = getattr(self, name)
            if value is not None:
                call = f"load_texts(source, options=TextOptions({name}={example}))"
                object.__setattr__(self, name, whole_number(name, value, least, call))
        if not isinstance(self.offline, (bool, np.bool_)):
            raise TextsError(
                f"offline={self.offline!r:.60}; allowed is True or False: "
                "load_texts(source, options=TextOptions(offline=True))"
            )
        object.__setattr__(self, "offline", bool(self.offline))
        if self.revision is not None and not (isinstance(self.revision, str) and self.revision):
            raise TextsError(
                f"revision={self.revision!r:.60}; allowed is a branch, a tag or a commit as a "
                f"string: {_REVISION_CALL}"
            )


_REVISION_CALL = "load_texts('hf://OWNER/NAME', options=TextOptions(revision='main'))"


def text_arguments(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Sort values by name into arguments of `load_texts`, the rare ones grouped in `options`.

    >>> text_arguments({"column": "sentence", "max_chars": 500})["options"].max_chars
    500
    """
    rare = {field.name for field in fields(TextOptions)}
    arguments = {name: value for name, value in chosen.items() if name not in rare}
    options = TextOptions(**{name: value for name, value in chosen.items() if name in rare})
    return {**arguments, "options": options}


def whole_number(name: str, value: object, least: int, call: str) -> int:
    """Convert a whole number to a Python integer, which every file format can store.

    Args:
        name: argument name, for the error.
        value: the argument's value.
        least: smallest allowed value.
        call: a call that works, for the error.

    Raises:
        TextsError: the value is not a whole number, too small, or needs more than 64 bits.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if least <= value <= _LARGEST:
            return int(value)
        came = f"{value}" if abs(int(value)) <= _LARGEST else "a number of more than 63 bits"
    else:
        came = f"{value!r:.60}"
    raise TextsError(f"{name}={came}; allowed is a whole number from {least} up: {call}")


def check_column(column: object) -> None:
    """Refuse a column that is not a string."""
    if not isinstance(column, str):
        raise TextsError(
            f"column={column!r:.60} of type {type(column).__name__}; allowed is the name of a "
            "column: load_texts(source, column='text')"
        )


def check_revision(source: Source, revision: str | None) -> None:
    """Refuse a revision of a source that is not on the hub."""
    if revision is not None and not is_on_hub(source):
        raise TextsError(
            f"revision={revision!r:.60} belongs to a dataset of the hub, but the source is "
            f"{shown(source)}; omit the revision, or name a dataset: {_REVISION_CALL}"
        )


def check_group(source: Source, group: object) -> None:
    """Refuse a group that is not a column name, and any group of the bundled sample."""
    if group is None:
        return
    if not isinstance(group, str) or not group:
        raise TextsError(
            f"group={group!r:.60} of type {type(group).__name__}; allowed is the name of a column "
            "with one group per text: load_texts('texts.csv', group='title'). For groups in "
            "memory use record(model, texts, groups=groups)"
        )
    if is_bundled(source):
        raise TextsError(
            f"group={group!r:.60} names a column, but {WIKIPEDIA!r} has no columns; its groups are "
            f"always the articles: load_texts({WIKIPEDIA!r})"
        )

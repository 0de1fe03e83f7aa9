"""Texts of JSON and JSON Lines files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.files.columns import (
    Columns,
    Entry,
)
from transformer_dynamics.texts.files.rows import as_group, as_text, value_at


def read_jsonl(text: str, columns: Columns, path: Path) -> list[Entry]:
    """Read one string or object per line."""
    entries, column = [], columns.text
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        where = f"{path}, line {number}"
        if line.strip():
            hint = (
                "every line must be a string or an object with the text under "
                f'{column!r}: {{"{column}": "..."}}. A file that is one JSON value has the '
                "extension .json"
            )
            entries.append(columns.entry(_parsed(line, where, hint), where))
    return entries


def read_json(text: str, columns: Columns, path: Path) -> list[Entry]:
    """Read a list of strings or objects, or an object with a list of strings."""
    if not text.strip():
        return []
    column = columns.text
    allowed = (
        f"a list of strings, a list of objects with {column!r}, or an object with a list of "
        f"strings under {column!r}"
    )
    hint = f"allowed is {allowed}. A file with one JSON value per line has the extension .jsonl"
    value = _parsed(text, str(path), hint)
    where = str(path)
    if isinstance(value, dict):
        listed = value_at(value, column, where)
        if isinstance(listed, list):
            return _read_listed(value, listed, columns, where)
        value, where = listed, f"{path}, {column!r}"
    if isinstance(value, list):
        return [columns.entry(each, f"{where}, item {n}") for n, each in enumerate(value, start=1)]
    raise TextsError(
        f"{where} is {value!r:.40} of type {type(value).__name__}; allowed is {allowed}: "
        f'["...", "..."]'
    )


def _read_listed(
    value: dict[str, Any], listed: list[Any], columns: Columns, where: str
) -> list[Entry]:
    """Read an object with a list of texts and, if requested, a list of groups of equal length."""
    at = f"{where}, {columns.text!r}"
    texts = [as_text(each, f"{at}, item {n}") for n, each in enumerate(listed, start=1)]
    if columns.group is None:
        return [(text, "") for text in texts]
    groups = value_at(value, columns.group, where, "group")
    if not isinstance(groups, list) or len(groups) != len(texts):
        came = f"{len(groups)} entries" if isinstance(groups, list) else f"{groups!r:.40}"
        raise TextsError(
            f"{where} has {came} under {columns.group!r} for {len(texts)} texts; allowed is a list "
            f'with one group for each text: {{"{columns.text}": ["a", "b"], '
            f'"{columns.group}": [1, 1]}}'
        )
    return [
        (text, as_group(group, f"{where}, {columns.group!r}, item {n}"))
        for n, (text, group) in enumerate(zip(texts, groups, strict=True), start=1)
    ]


def _parsed(text: str, where: str, hint: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TextsError(f"{where} is not valid JSON ({error}); {hint}") from error

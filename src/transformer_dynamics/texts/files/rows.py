"""Text and group of one row, found by column names or dotted paths."""

from __future__ import annotations

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.files.refusals import no_column, without_columns


def group_at(row: object, column: str, where: str) -> str:
    """Return the group of one row: the value at `column` as text, empty for None.

    Args:
        row: an object (dict) of JSON, Parquet or a dataset.
        column: name or dotted path.
        where: file and line, or dataset and row, for the error.

    Raises:
        TextsError: the row has no such column, or its value is neither text nor a number.
    """
    if not isinstance(row, dict):
        raise without_columns(where, column)
    return as_group(value_at(row, column, where, "group"), where)


def as_group(value: object, where: str) -> str:
    """Convert text, a number or a truth value to a group; None is the empty group."""
    if value is None or isinstance(value, (str, int, float)):
        return "" if value is None else str(value).strip()
    raise TextsError(
        f"{where} holds the group {value!r:.40} of type {type(value).__name__}; allowed is text or "
        "a number. Name a column of these: load_texts(source, group='title')"
    )


def text_at(row: object, column: str, where: str) -> str:
    """Return the text of one row: the row itself if it is a string, else the value at `column`.

    A column named exactly `column` has priority. Otherwise `column` is a path of keys and list
    indices separated by dots, such as "messages.0.content". A missing value (None) at or above the
    end of the path is a blank text.

    Args:
        row: a string, None, or an object (dict) of JSON, Parquet or a dataset.
        column: name or dotted path.
        where: file and line, or dataset and row, for the error.

    Raises:
        TextsError: the column does not exist or does not hold text.
    """
    if isinstance(row, dict):
        row = value_at(row, column, where)
    return as_text(row, where)


def value_at(row: dict, column: str, where: str, argument: str = "column") -> object:
    """Return the value at a column or a dotted path of one row; see `text_at`.

    Args:
        row: an object.
        column: name or dotted path.
        where: file and line, for the error.
        argument: argument of `load_texts` that named the column, for the error.

    Raises:
        TextsError: the column does not exist.
    """
    if column in row:
        return row[column]
    value: object = row
    path = ""
    for key in column.split("."):
        if value is None:
            return None
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _is_index(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            raise no_column(where, column, [f"{path}{name}" for name in _keys(value)], argument)
        path = f"{path}{key}."
    return value


def as_text(value: object, where: str) -> str:
    """Return a value as text; None is a blank text.

    Raises:
        TextsError: the value is of another type.
    """
    if value is not None and not isinstance(value, str):
        raise TextsError(
            f"{where} holds {value!r:.40} of type {type(value).__name__}; allowed is text. Name "
            "the column that holds text: load_texts(source, column='text'), or the path to it if "
            "it is nested: load_texts(source, column='messages.0.content')"
        )
    return value or ""


def _keys(value: object) -> list[str]:
    if isinstance(value, dict):
        return list(value)
    return [str(index) for index in range(len(value))] if isinstance(value, list) else []


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 10

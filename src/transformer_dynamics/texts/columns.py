"""Text of a row by the name of its column, which may be a dotted path into nested values."""

from __future__ import annotations

from collections.abc import Sequence

from transformer_dynamics.errors import TextsError

_MOST_NAMES = 20
"""So many names of columns are listed in an error; a table can have thousands."""


def text_at(row: object, column: str, where: str) -> str:
    """Text of one row: the row itself if it is a string, else the value at `column`.

    A column whose name is exactly `column` is taken first. Otherwise `column` is a path of keys
    and list indices separated by dots, such as "messages.0.content". A missing value (None) at
    or above the end of the path counts as a blank text.

    Args:
        row: a string, None, or an object (dict) of JSON, Parquet or a dataset.
        column: name or dotted path.
        where: file and line, or dataset and row, for the error.

    Raises:
        TextsError: there is no such column, or it does not hold text.
    """
    if isinstance(row, dict):
        row = value_at(row, column, where)
    return as_text(row, where)


def value_at(row: dict, column: str, where: str) -> object:
    """Value at a column or a dotted path of one row; see `text_at`."""
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
            raise no_column(where, column, [f"{path}{name}" for name in _keys(value)])
        path = f"{path}{key}."
    return value


def root_of(column: str, columns: Sequence[str], where: str) -> str:
    """Name of the table's column that holds `column`: itself, or the first key of its path."""
    root = column if column in columns else column.partition(".")[0]
    if root not in columns:
        raise no_column(where, column, columns)
    if columns.count(root) > 1:
        raise TextsError(
            f"{where} has {columns.count(root)} columns with the name {root!r}; the name of the "
            "column with the texts must be unique. Rename the others, then "
            f"load_texts(source, column={column!r})"
        )
    return root


def as_text(value: object, where: str) -> str:
    """Text of a value; None is a blank text, a number or a list is a wrong column."""
    if value is not None and not isinstance(value, str):
        raise TextsError(
            f"{where} holds {value!r:.40} of type {type(value).__name__}; allowed is text. Name "
            "the column that holds text: load_texts(source, column='text'), or the path to it if "
            "it is nested: load_texts(source, column='messages.0.content')"
        )
    return value or ""


def no_column(where: str, column: str, columns: Sequence[str]) -> TextsError:
    """Error for a column that is missing, with the columns that exist."""
    example = columns[0] if columns else "text"
    named = ", ".join(map(repr, columns[:_MOST_NAMES])) or "none"
    more = len(columns) - _MOST_NAMES
    return TextsError(
        f"{where} has no column {column!r}; it has {named}"
        f"{f' and {more} more' if more > 0 else ''}. "
        f"Name one of them: load_texts(source, column={example!r})"
    )


def missing_package(package: str, extra: str, purpose: str) -> TextsError:
    """Error for an optional package that is not installed."""
    return TextsError(
        f"{purpose} needs the package {package}, which is not installed; install it with "
        f'pip install "transformer-dynamics[{extra}]"'
    )


def _keys(value: object) -> list[str]:
    if isinstance(value, dict):
        return list(value)
    return [str(index) for index in range(len(value))] if isinstance(value, list) else []


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 10

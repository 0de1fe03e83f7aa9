"""Text and group of a row by the names of their columns, which may be dotted paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformer_dynamics.errors import TextsError

_MOST_NAMES = 20
"""So many names of columns are listed in an error; a table can have thousands."""


Entry = tuple[str, str]
"""A text and its group; the group is empty where none is known."""


@dataclass(frozen=True)
class Columns:
    """Columns of the texts and of their groups in a table, in objects or in a dataset.

    Attributes:
        text: name or dotted path.
        group: the same; None where no groups are read.
    """

    text: str
    group: str | None = None

    def entry(self, row: object, where: str) -> Entry:
        """Text and group of one row; see `text_at` and `group_at`."""
        text = text_at(row, self.text, where)
        return text, "" if self.group is None else group_at(row, self.group, where)

    def roots(self, columns: Sequence[str], where: str) -> list[str]:
        """Names of the table's columns that are to be read, each once; see `root_of`."""
        roots = [root_of(self.text, columns, where)]
        if self.group is not None:
            roots.append(root_of(self.group, columns, where, "group"))
        return list(dict.fromkeys(roots))


def group_at(row: object, column: str, where: str) -> str:
    """Group of one row: the value at `column` as text; None is no group.

    Args:
        row: an object (dict) of JSON, Parquet or a dataset.
        column: name or dotted path.
        where: file and line, or dataset and row, for the error.

    Raises:
        TextsError: the row has no columns or no such column, or its value is no text or number.
    """
    if not isinstance(row, dict):
        raise without_columns(where, column)
    return as_group(value_at(row, column, where, "group"), where)


def as_group(value: object, where: str) -> str:
    """Group of a value: text, a number or a truth value; None is no group."""
    if value is None or isinstance(value, (str, int, float)):
        return "" if value is None else str(value).strip()
    raise TextsError(
        f"{where} holds the group {value!r:.40} of type {type(value).__name__}; allowed is text or "
        "a number. Name a column of these: load_texts(source, group='title')"
    )


def without_columns(where: str, column: str) -> TextsError:
    """Error for groups that are asked of texts without columns."""
    return TextsError(
        f"{where} holds texts without columns, so there is no group={column!r}; allowed are tables "
        "and objects: load_texts('texts.csv', group='title'). To give groups by hand: "
        "record(model, texts, groups=groups)"
    )


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


def value_at(row: dict, column: str, where: str, argument: str = "column") -> object:
    """Value at a column or a dotted path of one row; see `text_at`.

    `argument` is the one that named the column, for the error.
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


def root_of(column: str, columns: Sequence[str], where: str, argument: str = "column") -> str:
    """Name of the table's column that holds `column`: itself, or the first key of its path."""
    root = column if column in columns else column.partition(".")[0]
    if root not in columns:
        raise no_column(where, column, columns, argument)
    if columns.count(root) > 1:
        noun = "texts" if argument == "column" else "groups"
        raise TextsError(
            f"{where} has {columns.count(root)} columns with the name {root!r}; the name of the "
            f"column with the {noun} must be unique. Rename the others, then "
            f"load_texts(source, {argument}={column!r})"
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


def no_column(
    where: str, column: str, columns: Sequence[str], argument: str = "column"
) -> TextsError:
    """Error for a column that is missing, with the columns that exist."""
    example = columns[0] if columns else "text"
    named = ", ".join(map(repr, columns[:_MOST_NAMES])) or "none"
    more = len(columns) - _MOST_NAMES
    return TextsError(
        f"{where} has no column {column!r}; it has {named}"
        f"{f' and {more} more' if more > 0 else ''}. "
        f"Name one of them: load_texts(source, {argument}={example!r})"
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

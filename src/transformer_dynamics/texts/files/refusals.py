"""Errors on columns of tables and objects, and on packages that are not installed."""

from __future__ import annotations

from collections.abc import Sequence

from transformer_dynamics.errors import TextsError

_MOST_NAMES = 20
"""Number of column names listed in an error; a table can have thousands."""


def without_columns(where: str, column: str) -> TextsError:
    """Return the error for groups of texts without columns."""
    return TextsError(
        f"{where} holds texts without columns, so there is no group={column!r}; allowed are tables "
        "and objects: load_texts('texts.csv', group='title'). To pass groups directly: "
        "record(model, texts, groups=groups)"
    )


def no_column(
    where: str, column: str, columns: Sequence[str], argument: str = "column"
) -> TextsError:
    """Return the error for a missing column, with the existing columns."""
    example = columns[0] if columns else "text"
    named = ", ".join(map(repr, columns[:_MOST_NAMES])) or "none"
    more = len(columns) - _MOST_NAMES
    return TextsError(
        f"{where} has no column {column!r}; it has {named}"
        f"{f' and {more} more' if more > 0 else ''}. "
        f"Name one of them: load_texts(source, {argument}={example!r})"
    )


def missing_package(package: str, extra: str, purpose: str) -> TextsError:
    """Return the error for an optional package that is not installed."""
    return TextsError(
        f"{purpose} needs the package {package}, which is not installed; install it with "
        f'pip install "transformer-dynamics[{extra}]"'
    )

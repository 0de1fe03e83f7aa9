"""Columns of the texts and their groups, by name or dotted path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.files.refusals import no_column
from transformer_dynamics.texts.files.rows import group_at, text_at

Entry = tuple[str, str]
"""A text and its group, which is empty if unknown."""


@dataclass(frozen=True)
class Columns:
    """Columns of the texts and of their groups in a table, in objects or in a dataset.

    Attributes:
        text: name or dotted path of the texts.
        group: name or dotted path of the groups; None if no groups are read.
    """

    text: str
    group: str | None = None

    def entry(self, row: object, where: str) -> Entry:
        """Return text and group of one row; see `text_at` and `group_at`."""
        text = text_at(row, self.text, where)
        return text, "" if self.group is None else group_at(row, self.group, where)

    def roots(self, columns: Sequence[str], where: str) -> list[str]:
        """Return the table's columns to be read, without repetition; see `root_of`."""
        roots = [root_of(self.text, columns, where)]
        if self.group is not None:
            roots.append(root_of(self.group, columns, where, "group"))
        return list(dict.fromkeys(roots))


def root_of(column: str, columns: Sequence[str], where: str, argument: str = "column") -> str:
    """Return the table's column that holds `column`: its full name or the first key of its path.

    Args:
        column: name or dotted path.
        columns: names of all columns of the table.
        where: file or dataset, for the error.
        argument: argument of `load_texts` that named the column, for the error.

    Raises:
        TextsError: there is no such column, or its name is not unique.
    """
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

"""Texts of tables separated by commas, semicolons, tabs or vertical bars."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.files.columns import Columns, Entry, root_of
from transformer_dynamics.texts.files.refusals import no_column

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_LONGEST_FIELD = 2**31 - 1  # limit of the module csv: a C long, which has 32 bits on Windows


def read_csv(text: str, columns: Columns, path: Path) -> list[Entry]:
    """Read a table whose delimiter is found from its header."""
    return _read_table(text, columns, path, _delimiter_of(text, columns.text, path))


def read_tsv(text: str, columns: Columns, path: Path) -> list[Entry]:
    """Read a table with tabs between its fields."""
    return _read_table(text, columns, path, "\t")


def _read_table(text: str, columns: Columns, path: Path, delimiter: str) -> list[Entry]:
    rows = _rows_of(text, delimiter)
    entries: list[Entry] = []
    last_line = 0  # of the last complete row; an unclosed quote is noticed at the end of the file
    try:
        header = next(filter(None, rows), None)
        if header is None:
            return []
        text_index = _index_of(columns.text, header, path, "column")
        last_line = rows.line_num
        group_index = None
        if columns.group is not None:
            group_index = _index_of(columns.group, header, path, "group")
        for row in filter(None, rows):
            if len(row) > len(header):
                raise _too_many_fields(f"{path}, line {rows.line_num}", row, header, delimiter)
            entries.append((_field(row, text_index), _field(row, group_index).strip()))
            last_line = rows.line_num
    except csv.Error as error:
        raise TextsError(
            f"{path} is not valid CSV near line {last_line + 1} ({error}); a field with "
            f"{_DELIMITERS[delimiter]}, quotes or line breaks must be in double quotes, and a "
            "quote within is \"\". A .jsonl file holds any text: load_texts('texts.jsonl')"
        ) from error
    return entries


def _index_of(column: str, header: list[str], path: Path, argument: str) -> int:
    if (
        root_of(column, header, str(path), argument) != column
    ):  # delimited tables have no nested columns
        raise no_column(str(path), column, header, argument)
    return header.index(column)


def _field(row: list[str], index: int | None) -> str:
    return row[index] if index is not None and index < len(row) else ""


def _rows_of(text: str, delimiter: str) -> Any:
    # The limit, by default 128 KiB, is global. It is not restored, because another thread may be
    # reading a file.
    if csv.field_size_limit() < _LONGEST_FIELD:
        csv.field_size_limit(_LONGEST_FIELD)
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _delimiter_of(text: str, column: str, path: Path) -> str:
    """Return the delimiter with which the header contains the column.

    A header of one column contains it with every delimiter, and the comma is returned. If no
    header contains it, the delimiter with most columns is returned, for the error.

    Raises:
        TextsError: several delimiters give a header with the column.
    """
    headers = {delimiter: _header_of(text, delimiter) for delimiter in _DELIMITERS}
    matching = [delimiter for delimiter, header in headers.items() if column in header]
    wide = [delimiter for delimiter in matching if len(headers[delimiter]) > 1]
    if len(wide) > 1:
        raise TextsError(
            f"{path} has the column {column!r} whether its fields are separated by "
            f"{' or by '.join(_DELIMITERS[each] for each in wide)}; write it with a header in "
            "which only one of them occurs, or as .jsonl: load_texts('texts.jsonl')"
        )
    if matching:
        return (wide or matching)[0]
    return max(headers, key=lambda delimiter: len(headers[delimiter]))


def _header_of(text: str, delimiter: str) -> list[str]:
    try:
        return next(filter(None, _rows_of(text, delimiter)), [])
    except csv.Error:
        return []


def _too_many_fields(where: str, row: list[str], header: list[str], delimiter: str) -> TextsError:
    return TextsError(
        f"{where} has {len(row)} fields, but the header has {len(header)}, so a text may be cut; "
        f"a field with {_DELIMITERS[delimiter]} in it must be in double quotes, as "
        "pandas.DataFrame.to_csv writes it. A .jsonl file holds any text: "
        "load_texts('texts.jsonl')"
    )

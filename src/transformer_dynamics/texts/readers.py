"""Texts of one file: plain text, delimited tables, JSON, JSON Lines and Parquet.

Every reader returns the texts as they stand in the file, unstripped, in the file's order, each with
its group. A file that a reader cannot take as a whole is refused; no row is skipped.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.columns import (
    Columns,
    Entry,
    as_group,
    as_text,
    missing_package,
    no_column,
    root_of,
    value_at,
    without_columns,
)
from transformer_dynamics.texts.decoding import (
    POINTER_BYTES,
    check_is_no_pointer,
    decoded,
    decompressed,
)
from transformer_dynamics.texts.sources import ALLOWED

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_LONGEST_FIELD = 2**31 - 1  # the module csv takes at most a C long, which has 32 bits on Windows


def read_file(path: Path, columns: Columns) -> list[Entry]:
    """Texts of a file with their groups, by its extension.

    Args:
        path: a file that exists.
        columns: where the texts and their groups are in a table or an object.

    Raises:
        TextsError: the extension is unknown, or the file cannot be read as what it says.
    """
    kind, is_compressed = _kind_of(path)
    try:
        if kind == ".parquet":
            return _read_parquet(path, columns)
        with path.open("rb") as file:
            raw = file.read()
    except OSError as error:
        raise TextsError(
            f"{path} cannot be read: {error}; name a file that can: load_texts('texts.txt')"
        ) from error
    text = decoded(decompressed(raw, path) if is_compressed else raw, path)
    return _READERS[kind](text, columns, path)


def _kind_of(path: Path) -> tuple[str, bool]:
    """Extension without .gz, and whether .gz follows it."""
    extension = path.suffix.lower()
    is_compressed = extension == ".gz"
    kind = Path(path.stem).suffix.lower() if is_compressed else extension
    if kind in _READERS or (kind == ".parquet" and not is_compressed):
        return kind, is_compressed
    raise TextsError(
        f"{path} has the unknown extension {kind + extension if is_compressed else path.suffix!r}; "
        f"allowed is {ALLOWED}: load_texts('texts.txt')"
    )


def _read_lines(text: str, columns: Columns, path: Path) -> list[Entry]:
    if columns.group is not None:
        raise without_columns(str(path), columns.group)
    return [(line, "") for line in io.StringIO(text, newline=None)]


# JSON


def _read_jsonl(text: str, columns: Columns, path: Path) -> list[Entry]:
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


def _read_json(text: str, columns: Columns, path: Path) -> list[Entry]:
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
    """Texts of an object with a list of them, and of their groups another of the same length."""
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


# Delimited tables


def _read_csv(text: str, columns: Columns, path: Path) -> list[Entry]:
    return _read_table(text, columns, path, _delimiter_of(text, columns.text, path))


def _read_tsv(text: str, columns: Columns, path: Path) -> list[Entry]:
    return _read_table(text, columns, path, "\t")


def _read_table(text: str, columns: Columns, path: Path, delimiter: str) -> list[Entry]:
    rows = _rows_of(text, delimiter)
    entries: list[Entry] = []
    done = 0  # line of the last complete row; an unclosed quote is only noticed at the end
    try:
        header = next(filter(None, rows), None)
        if header is None:
            return []
        place, done = _place_of(columns.text, header, path, "column"), rows.line_num
        group = None
        if columns.group is not None:
            group = _place_of(columns.group, header, path, "group")
        for row in filter(None, rows):
            if len(row) > len(header):
                raise _too_many_fields(f"{path}, line {rows.line_num}", row, header, delimiter)
            entries.append((_field(row, place), _field(row, group).strip()))
            done = rows.line_num
    except csv.Error as error:
        raise TextsError(
            f"{path} is not valid CSV near line {done + 1} ({error}); a field with "
            f"{_DELIMITERS[delimiter]}, quotes or line breaks must be in double quotes, and a "
            "quote within is \"\". A .jsonl file holds any text: load_texts('texts.jsonl')"
        ) from error
    return entries


def _place_of(column: str, header: list[str], path: Path, argument: str) -> int:
    if root_of(column, header, str(path), argument) != column:  # a table has no nested columns
        raise no_column(str(path), column, header, argument)
    return header.index(column)


def _field(row: list[str], place: int | None) -> str:
    return row[place] if place is not None and place < len(row) else ""


def _rows_of(text: str, delimiter: str) -> Any:
    # The limit, by default 128 KiB, belongs to the process. It is not restored: another thread
    # may be in the middle of a file.
    if csv.field_size_limit() < _LONGEST_FIELD:
        csv.field_size_limit(_LONGEST_FIELD)
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _delimiter_of(text: str, column: str, path: Path) -> str:
    """The one delimiter under which the header has the column.

    A header of one column has it under every delimiter; the rows are then read with the comma.
    Where no header has it, the delimiter that gives most columns is taken, for the error.
    """
    headers = {delimiter: _header_of(text, delimiter) for delimiter in _DELIMITERS}
    having = [delimiter for delimiter, header in headers.items() if column in header]
    wide = [delimiter for delimiter in having if len(headers[delimiter]) > 1]
    if len(wide) > 1:
        raise TextsError(
            f"{path} has the column {column!r} whether its fields are separated by "
            f"{' or by '.join(_DELIMITERS[each] for each in wide)}; write it with a header in "
            "which only one of them occurs, or as .jsonl: load_texts('texts.jsonl')"
        )
    if having:
        return (wide or having)[0]
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


# Parquet


def _read_parquet(path: Path, columns: Columns) -> list[Entry]:
    with path.open("rb") as file:
        check_is_no_pointer(file.read(POINTER_BYTES + 1), path)
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise missing_package("pyarrow", "parquet", f"reading {path}") from error
    try:
        table = parquet.ParquetFile(path, page_checksum_verification=True)
        roots = columns.roots(table.schema_arrow.names, str(path))
        rows = table.read(columns=roots).to_pylist()
    except TextsError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        # Not only Arrow's own errors: a checksum that fails is an OSError without a number, text
        # that is not UTF-8 a ValueError.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise TextsError(
            f"{path} is not valid Parquet ({error}); write it with "
            f"pandas.DataFrame({{{columns.text!r}: texts}}).to_parquet({str(path)!r})"
        ) from error
    return [columns.entry(row, f"{path}, row {number}") for number, row in enumerate(rows)]


_READERS: dict[str, Callable[[str, Columns, Path], list[Entry]]] = {
    ".txt": _read_lines,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
}

"""Read texts of one file: plain text, delimited tables, JSON, JSON Lines and Parquet.

- .txt: one text per line.
- .csv (fields separated by commas, semicolons, tabs or vertical bars), .tsv, .parquet: a column.
- .jsonl, .ndjson: a string or an object with the column on each line.
- .json: a list of these, or an object with a list under the column's name.

All but Parquet may be compressed with gzip (.txt.gz). Every reader returns unstripped texts in the
file's order, each with its group. A file that cannot be read completely is refused; no row is
skipped.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.files.columns import Columns, Entry
from transformer_dynamics.texts.files.decoding import decoded, decompressed
from transformer_dynamics.texts.files.json_values import read_json, read_jsonl
from transformer_dynamics.texts.files.parquet import read_parquet
from transformer_dynamics.texts.files.refusals import without_columns
from transformer_dynamics.texts.files.tables import read_csv, read_tsv
from transformer_dynamics.texts.sources import ALLOWED


def read_file(path: Path, columns: Columns) -> list[Entry]:
    """Read the texts of a file with their groups.

    Args:
        path: path of an existing file, whose extension selects the reader.
        columns: columns of the texts and of their groups in a table or an object.

    Raises:
        TextsError: the extension is unknown, or the content does not match it.
    """
    kind, is_compressed = _kind_of(path)
    try:
        if kind == ".parquet":
            return read_parquet(path, columns)
        with path.open("rb") as file:
            raw = file.read()
    except OSError as error:
        raise TextsError(
            f"{path} cannot be read: {error}; name a readable file: load_texts('texts.txt')"
        ) from error
    text = decoded(decompressed(raw, path) if is_compressed else raw, path)
    return _READERS[kind](text, columns, path)


def _kind_of(path: Path) -> tuple[str, bool]:
    """Return the extension without .gz, and whether .gz follows it."""
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


_READERS: dict[str, Callable[[str, Columns, Path], list[Entry]]] = {
    ".txt": _read_lines,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
}

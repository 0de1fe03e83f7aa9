"""Texts of Parquet files."""

from __future__ import annotations

from pathlib import Path

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.files.columns import Columns, Entry
from transformer_dynamics.texts.files.refusals import missing_package
from transformer_dynamics.texts.files.signatures import POINTER_BYTES, check_is_no_pointer


def read_parquet(path: Path, columns: Columns) -> list[Entry]:
    """Read the columns of texts and groups of a Parquet file."""
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
        # A failed checksum is an OSError without a number, and text that is not UTF-8 is a
        # ValueError; neither is an error class of Arrow.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise TextsError(
            f"{path} is not valid Parquet ({error}); write it with "
            f"pandas.DataFrame({{{columns.text!r}: texts}}).to_parquet({str(path)!r})"
        ) from error
    return [columns.entry(row, f"{path}, row {number}") for number, row in enumerate(rows)]

"""Signatures of files that are not text: pointers of Git LFS, archives, models, binary data."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from transformer_dynamics.errors import TextsError

_LFS_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\r?\n.*oid ", re.DOTALL)
POINTER_BYTES = 1024
"""Longest pointer in bytes that the specification of Git LFS allows."""
_EXPORT = "save the texts from it as .txt or .csv first: load_texts('texts.txt')"
_RENAME = "give it the extension {0}: load_texts('texts{0}')"
_MARKS: tuple[tuple[bytes, str, str], ...] = (
    (rb"PAR1", "a Parquet file", _RENAME.format(".parquet")),
    (rb"PK\x03\x04|PK\x05\x06", "a ZIP archive (.zip, .docx, .xlsx, .npz, .pt)", _EXPORT),
    (rb"\x80[\x02-\x05]", "a pickle", _EXPORT),
    (rb"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it first: unzstd FILE"),
    (rb"BZh[1-9]1AY&SY", "compressed with bzip2", "decompress it first: bunzip2 FILE"),
    (rb"\xfd7zXZ\0", "compressed with xz", "decompress it first: unxz FILE"),
    (rb"%PDF-\d", "a PDF document", _EXPORT),
    (rb"GGUF[\x01-\x09]\0", "a GGUF model", "a model goes to load_model: load_model('model.gguf')"),
    (rb"\x93NUMPY", "a NumPy array", _EXPORT),
    (rb"\x89HDF\r\n", "an HDF5 file", _EXPORT),
    (rb"SQLite format 3\0", "an SQLite database", _EXPORT),
    (rb"ARROW1\0", "an Arrow file", _EXPORT),
)


def check_is_no_pointer(head: bytes, path: Path) -> None:
    """Refuse the small text file that Git LFS leaves in place of a file."""
    if len(head) <= POINTER_BYTES and _LFS_POINTER.match(head):
        raise TextsError(
            f"{path} is a pointer of Git LFS, not the file itself; fetch the file in its "
            "repository, git lfs pull, then load it again"
        )


def check_is_no_binary(raw: bytes, path: Path) -> None:
    """Refuse a file whose first bytes are those of a binary format.

    Args:
        raw: content of the file, decompressed.
        path: path of the file, for the error.

    Raises:
        TextsError: the format is known and not text.
    """
    if raw.startswith(b"\x1f\x8b"):
        if path.suffix.lower() == ".gz":
            remedy = f"decompress it once: gunzip {quoted(path)}"
        else:
            remedy = f"add .gz to its name: load_texts({f'{path}.gz'!r})"
        raise TextsError(f"{path} is compressed with gzip, not text; {remedy}")
    for mark, kind, remedy in _MARKS:
        if re.match(mark, raw):
            raise TextsError(f"{path} is {kind}, not text; {remedy.replace('FILE', quoted(path))}")
    header = int.from_bytes(raw[:8], "little")
    if raw[8:9] == b"{" and 0 < header <= len(raw) - 8:
        raise TextsError(
            f"{path} is a safetensors file, not text; weights of a model go to load_model: "
            "load_model('folder')"
        )


def quoted(path: Path) -> str:
    """Quote a path for a shell."""
    return shlex.quote(str(path))

"""Text of a file's bytes, or an error where they are not text in UTF-8, UTF-16 or UTF-32.

UTF-16 and UTF-32 need their byte order mark; UTF-8 may have one. No other encoding is guessed: a
wrong guess decodes without an error into wrong characters. A file holds no NUL character.
"""

from __future__ import annotations

import codecs
import gzip
import re
import shlex
import zlib
from pathlib import Path

from transformer_dynamics.errors import TextsError

_LFS_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\r?\n.*oid ", re.DOTALL)
POINTER_BYTES = 1024
"""The longest pointer that the specification of Git LFS allows."""
_LEAST_NUL_SHARE = 0.25
"""ASCII in UTF-16 is half NUL bytes. Valid UTF-8 with fewer than this share is damaged text."""

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
    """Refuse the small text file that stands for a file in Git LFS."""
    if len(head) <= POINTER_BYTES and _LFS_POINTER.match(head):
        raise TextsError(
            f"{path} is a pointer of Git LFS, not the file itself; fetch the file in its "
            "repository, git lfs pull, then load it again"
        )


def decompressed(raw: bytes, path: Path) -> bytes:
    """Content of a gzip file."""
    try:
        return gzip.decompress(raw)
    except EOFError as error:
        raise TextsError(
            f"{path} is truncated: the gzip stream stops before its end; copy or download the "
            f"file again and check it: gzip -t {_quoted(path)}"
        ) from error
    except (OSError, zlib.error) as error:
        if not raw.startswith(b"\x1f\x8b"):
            raise TextsError(
                f"{path} is not compressed with gzip; remove .gz from its name: "
                f"load_texts({str(path.with_suffix(''))!r})"
            ) from error
        raise TextsError(
            f"{path} is damaged ({error}); copy or download the file again and check it: "
            f"gzip -t {_quoted(path)}"
        ) from error


def decoded(raw: bytes, path: Path) -> str:
    """Text of the bytes of a file, without its byte order mark.

    Args:
        raw: the whole content, decompressed.
        path: for the error.

    Raises:
        TextsError: it is a pointer of Git LFS, a binary file, or text in another encoding.
    """
    check_is_no_pointer(raw, path)
    _check_is_no_binary(raw, path)
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if raw.startswith(mark):
            return _decoded_after_mark(raw, encoding, path)
    if b"\0" in raw:
        raise _holds_nul(raw, path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(raw, error, path) from error


def _check_is_no_binary(raw: bytes, path: Path) -> None:
    if raw.startswith(b"\x1f\x8b"):
        if path.suffix.lower() == ".gz":
            remedy = f"decompress it once: gunzip {_quoted(path)}"
        else:
            remedy = f"add .gz to its name: load_texts({f'{path}.gz'!r})"
        raise TextsError(f"{path} is compressed with gzip, not text; {remedy}")
    for mark, kind, remedy in _MARKS:
        if re.match(mark, raw):
            raise TextsError(f"{path} is {kind}, not text; {remedy.replace('FILE', _quoted(path))}")
    header = int.from_bytes(raw[:8], "little")
    if raw[8:9] == b"{" and 0 < header <= len(raw) - 8:
        raise TextsError(
            f"{path} is a safetensors file, not text; weights of a model go to load_model: "
            "load_model('folder')"
        )


def _decoded_after_mark(raw: bytes, encoding: str, path: Path) -> str:
    name = encoding.upper()
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise TextsError(
            f"{path} begins with the byte order mark of {name}, but is not valid {name} "
            f"({error.reason} at byte {error.start}): it is damaged or truncated. Copy it again, "
            "or save it as UTF-8"
        ) from error
    if "\0" in text:
        raise TextsError(
            f"{path} holds a NUL character (character {text.index(chr(0)) + 1}), which no text "
            "has: it is a binary file or damaged. Save the texts as UTF-8"
        )
    return text


def _holds_nul(raw: bytes, path: Path) -> TextsError:
    encoding = _utf16_without_mark(raw)
    if encoding:
        return TextsError(
            f"{path} is not UTF-8: its NUL bytes are those of UTF-16 without a byte order mark. "
            f"Convert it: {_conversion(encoding, path)}"
        )
    return TextsError(
        f"{path} holds a NUL byte (byte {raw.index(0) + 1} of {len(raw)}), which no text has: it "
        "is a binary file or damaged. If the rest is text, remove the NUL bytes: "
        f"tr -d '\\000' < {_quoted(path)} > clean{_extension(path)}"
    )


def _utf16_without_mark(raw: bytes) -> str | None:
    """Which UTF-16 it can be: all NUL bytes are the high bytes of characters, or None."""
    even, odd = raw[::2].count(0), raw[1::2].count(0)
    if even and odd:
        return None
    encoding = "utf-16le" if odd else "utf-16be"
    if not _decodes(raw, encoding):
        return None
    is_utf16 = (even + odd) / len(raw) >= _LEAST_NUL_SHARE or not _decodes(raw, "utf-8")
    return encoding if is_utf16 else None


def _not_utf8(raw: bytes, error: UnicodeDecodeError, path: Path) -> TextsError:
    line = raw.count(b"\n", 0, error.start) + 1
    remedy = f"find out its encoding (file --mime-encoding {_quoted(path)})"
    if _decodes(raw, "cp1252"):
        remedy += f"; if it is Windows-1252: {_conversion('cp1252', path)}"
    else:
        remedy += f" and put it in place of ENCODING: {_conversion('ENCODING', path)}"
    return TextsError(
        f"{path} is not UTF-8: the byte {raw[error.start]:#04x} in line {line} cannot be decoded "
        f"({error.reason}); {remedy}"
    )


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _conversion(encoding: str, path: Path) -> str:
    is_gzip = path.suffix.lower() == ".gz"
    source = f"gunzip -c {_quoted(path)} | " if is_gzip else ""
    file = "" if is_gzip else f" {_quoted(path)}"
    return f"{source}iconv -f {encoding} -t utf-8{file} > utf-8{_extension(path)}"


def _extension(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))

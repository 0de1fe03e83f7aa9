"""Text of a file's bytes, or an error if they are not text in UTF-8, UTF-16 or UTF-32.

UTF-16 and UTF-32 need their byte order mark; UTF-8 may have one. No other encoding is guessed: a
wrong guess decodes without an error into wrong characters. A file holds no NUL character.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.files.signatures import (
    check_is_no_binary,
    check_is_no_pointer,
    quoted,
)

_LEAST_NUL_SHARE = 0.25
"""ASCII in UTF-16 is half NUL bytes. Valid UTF-8 with a smaller share is damaged text."""


def decompressed(raw: bytes, path: Path) -> bytes:
    """Decompress a gzip file.

    Raises:
        TextsError: the file is not compressed with gzip, damaged or truncated.
    """
    try:
        return gzip.decompress(raw)
    except EOFError as error:
        raise TextsError(
            f"{path} is truncated: the gzip stream stops before its end; copy or download the "
            f"file again and check it: gzip -t {quoted(path)}"
        ) from error
    except (OSError, zlib.error) as error:
        if not raw.startswith(b"\x1f\x8b"):
            raise TextsError(
                f"{path} is not compressed with gzip; remove .gz from its name: "
                f"load_texts({str(path.with_suffix(''))!r})"
            ) from error
        raise TextsError(
            f"{path} is damaged ({error}); copy or download the file again and check it: "
            f"gzip -t {quoted(path)}"
        ) from error


def decoded(raw: bytes, path: Path) -> str:
    """Decode the bytes of a file, without its byte order mark.

    Args:
        raw: whole content, decompressed.
        path: path of the file, for the error.

    Raises:
        TextsError: the file is a pointer of Git LFS, binary, or text in another encoding.
    """
    check_is_no_pointer(raw, path)
    check_is_no_binary(raw, path)
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
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


def _decoded_after_mark(raw: bytes, encoding: str, path: Path) -> str:
    name = encoding.upper()
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise TextsError(
            f"{path} begins with the byte order mark of {name}, but is not valid {name} "
            f"({error.reason} at byte {error.start}): the file is damaged or truncated. Copy it "
            "again, or save it as UTF-8"
        ) from error
    if "\0" in text:
        raise TextsError(
            f"{path} holds a NUL character (character {text.index(chr(0)) + 1}), which no text "
            "contains: the file is binary or damaged. Save the texts as UTF-8"
        )
    return text


def _holds_nul(raw: bytes, path: Path) -> TextsError:
    encoding = _utf16_without_mark(raw)
    if encoding:
        return TextsError(
            f"{path} is not UTF-8: its NUL bytes suggest UTF-16 without a byte order mark. "
            f"Convert it: {_conversion(encoding, path)}"
        )
    return TextsError(
        f"{path} holds a NUL byte (byte {raw.index(0) + 1} of {len(raw)}), which no text "
        "contains: the file is binary or damaged. If the rest is text, remove the NUL bytes: "
        f"tr -d '\\000' < {quoted(path)} > clean{_extension(path)}"
    )


def _utf16_without_mark(raw: bytes) -> str | None:
    """Return the byte order if all NUL bytes are high bytes of UTF-16 characters, else None."""
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
    remedy = f"determine its encoding (file --mime-encoding {quoted(path)})"
    if _decodes(raw, "cp1252"):
        remedy += f"; if it is Windows-1252: {_conversion('cp1252', path)}"
    else:
        remedy += f" and insert it for ENCODING: {_conversion('ENCODING', path)}"
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
    source = f"gunzip -c {quoted(path)} | " if is_gzip else ""
    file = "" if is_gzip else f" {quoted(path)}"
    return f"{source}iconv -f {encoding} -t utf-8{file} > utf-8{_extension(path)}"


def _extension(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix

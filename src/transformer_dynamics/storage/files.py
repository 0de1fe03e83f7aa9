"""Files that are complete or absent: written under another name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformer_dynamics.errors import TdynError

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` if the block ends without an error."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def local_path(path: str | Path, error: type[TdynError] = TdynError) -> Path:
    """Return a path on this machine, with `~` expanded.

    Args:
        path: the path.
        error: class of the error to raise.

    Raises:
        TdynError: the argument is an address (`s3://...`) or not a path.
    """
    if not isinstance(path, str | os.PathLike):
        raise error(
            f"got {path!r:.60} of type {type(path).__name__} as a path; allowed is a str or a "
            "pathlib.Path: pathlib.Path('runs/demo')"
        )
    text = os.fspath(path)
    if ADDRESS.match(text):
        raise error(
            f"got {text!r}; only folders and files of this machine are read and written. Mount "
            "the store, or copy it with its own command, and name the local path"
        )
    if not text or "\0" in text:
        raise error(f"got the path {text!r}; name a file or a folder, such as 'runs/demo'")
    return Path(text).expanduser()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text completely or not at all; lone surrogates are replaced."""
    with replaced(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="replace"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON completely or not at all, with sorted keys, in ASCII; NaN raises a ValueError."""
    write_text(
        path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, default=plain) + "\n"
    )


def read_json(path: Path) -> Any:
    """Read JSON; return None for a missing file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise TdynError(
            f"{path} is not valid JSON ({error}); delete it to create it again"
        ) from error


def plain(value: Any) -> Any:
    """Convert a value of numpy, a path or a set for JSON; for the `default` of `json.dumps`.

    Raises:
        TypeError: JSON cannot hold the value.
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain)
    return hashlib.sha256(canonical.encode()).hexdigest()


def make_folder(path: Path) -> None:
    """Create a folder and check that it is writable.

    Raises:
        TdynError: the folder cannot be created or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise TdynError(
            f"cannot write to the folder {path}: {error.strerror}; name a folder that can be "
            "written, such as runs/demo"
        ) from error


def remove_folder(path: Path) -> None:
    """Delete a folder if it exists."""
    shutil.rmtree(path, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Files that are whole or not there: written under another name, then renamed into place."""

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
    """A temporary path that takes the place of `path` when the block ends without an error."""
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
    """A path on this machine, with `~` as the home folder.

    Raises:
        error: it is an address (`s3://...`), or no path at all.
    """
    if not isinstance(path, str | os.PathLike):
        raise error(
            f"got {path!r:.60} of type {type(path).__name__} as a path; it is a str or a "
            "pathlib.Path"
        )
    given = os.fspath(path)
    if ADDRESS.match(given):
        raise error(
            f"got {given!r}; only folders and files of this machine are read and written. Mount "
            "the store, or copy it with its own command, and name the local path"
        )
    if not given or "\0" in given:
        raise error(f"got the path {given!r}; name a file or a folder, as 'runs/demo'")
    return Path(given).expanduser()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all; lone surrogates are replaced."""
    with replaced(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="replace"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all: sorted keys, ASCII, NaN as null never written silently."""
    write_text(
        path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, default=plain) + "\n"
    )


def read_json(path: Path) -> Any:
    """Read JSON; a missing file is None."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise TdynError(
            f"{path} is not valid JSON ({error}); delete it to have it made again"
        ) from error


def plain(value: Any) -> Any:
    """A value of numpy, a path or a set as JSON holds it; for the `default` of `json.dumps`.

    Raises:
        TypeError: JSON cannot hold it.
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON can hold")


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON-able value, over its canonical form."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain)
    return hashlib.sha256(canonical.encode()).hexdigest()


def make_folder(path: Path) -> None:
    """Create a folder and prove that it can be written to.

    Raises:
        TdynError: the folder cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise TdynError(
            f"cannot write to the folder {path}: {error.strerror}; name one that can be written, "
            "as in --out runs/demo"
        ) from error


def remove_folder(path: Path) -> None:
    """Delete a folder if it is there."""
    shutil.rmtree(path, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

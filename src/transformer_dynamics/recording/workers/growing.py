"""Folder of a growing recording, `<out>.partial/`, in which any number of workers write.

- `settings.json` and `outline.json`: the recording and its sizes; written first, never changed.
- `recording.zarr`: the store. The file of a shard appears in it whole or not at all, and never
  changes: it is the one mark of a recorded shard.
- `work/<worker>/`: files that a worker has not finished.
- `claims/`, `failed/` and `split/`: a note for each shard in progress, of a failed last try, and
  recorded in smaller batches.

Every step that could be taken twice ends in renaming a folder, which fails where the other name is
taken. File systems need neither locks nor hard links for it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk.chunks import states_folder
from transformer_dynamics.recording.disk.shard_files import write_shard_file
from transformer_dynamics.recording.workers.outline import Outline
from transformer_dynamics.storage.files import make_folder, read_json, remove_folder, write_json

STORE = "recording.zarr"
CLAIMS, FAILED, SPLIT, WORK = "claims", "failed", "split", "work"
SETTINGS, OUTLINE = "settings.json", "outline.json"
# Another worker was first (Linux, macOS and Windows name it differently).
TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES)


class Growing:
    """Folder of a growing recording, seen by one worker.

    Args:
        out: Folder of the finished recording.
        worker: Name of the worker, which no other worker has.
    """

    def __init__(self, out: Path, worker: str) -> None:
        self.out, self.worker = out, worker
        self.folder = partial_folder(out)
        self.store = self.folder / STORE
        self.work = self.folder / WORK / worker

    @property
    def settings(self) -> dict[str, Any] | None:
        """Settings of the recording; None before it is begun."""
        settings: dict[str, Any] | None = read_json(self.folder / SETTINGS)
        return settings

    def begin(
        self, settings: Mapping[str, Any], outline: Outline, write: Callable[[Path], None] | None
    ) -> None:
        """Begin the folder, or leave it to another worker who was first.

        Args:
            settings: Settings of the recording.
            outline: Its sizes.
            write: Writes the store to a path; None where a finished one will be moved here.
        """
        if self.folder.exists() and self.settings is None:
            self.discard()
        private = self._beside("begin")
        remove_folder(private)
        for name in (CLAIMS, FAILED, SPLIT, WORK):
            (private / name).mkdir(parents=True)
        if write is not None:
            write(private / STORE)
            states_folder(private / STORE).mkdir(parents=True, exist_ok=True)
        write_json(private / OUTLINE, outline.as_json())
        write_json(private / SETTINGS, settings)
        if not _moved(private, self.folder):
            remove_folder(private)

    def join(self) -> None:
        """Make the worker's own folder.

        Raises:
            FileNotFoundError: the recording was closed.
        """
        self.work.mkdir(exist_ok=True)

    def leave(self) -> None:
        """Remove the worker's own folder."""
        remove_folder(self.work)

    def published(self) -> set[int]:
        """Shards whose files are in the store.

        Raises:
            FileNotFoundError: the recording was closed.
        """
        return numbered(states_folder(self.store), "")

    def is_published(self, shard: int) -> bool:
        """Whether the file of a shard is in the store."""
        return (states_folder(self.store) / str(shard)).exists()

    def failed(self) -> set[int]:
        """Shards whose last try failed.

        Raises:
            FileNotFoundError: the recording was closed.
        """
        return numbered(self.folder / FAILED, ".json")

    def publish(self, shard: int, states: NDArray[Any], rows: int, n_chunks: int) -> bool:
        """Write the file of a shard, and move it to the store.

        Args:
            shard: Index of the shard.
            states: Its states, `(sample, site, unit)`.
            rows: Number of samples in a chunk.
            n_chunks: Number of chunks of a whole shard.

        Returns:
            False if another worker was first; its file stays.

        Raises:
            FileNotFoundError: the recording was closed.
        """
        private = self.work / str(shard)
        remove_folder(private)
        private.mkdir()
        (private / "0").mkdir()
        write_shard_file(private / "0" / "0", states, rows, n_chunks)
        first = _moved(private, states_folder(self.store) / str(shard))
        if not first:
            remove_folder(private)
        (self.folder / FAILED / f"{shard}.json").unlink(missing_ok=True)
        return first

    def note(self, kind: str, shard: int, entries: Mapping[str, Any]) -> None:
        """Write the note of a shard in `claims`, `failed` or `split`."""
        write_json(self.folder / kind / f"{shard}.json", entries)

    def close(self) -> None:
        """Give the finished store its name; does nothing if another worker has."""
        _moved(self.store, self.out)
        self.discard()

    def discard(self) -> None:
        """Remove the folder where the finished recording exists, or where none was begun in it.

        With a finished recording, folders of workers that were killed here or at the begin go too.
        """
        old = self._beside("old")
        remove_folder(old)
        with suppress(FileNotFoundError):  # there is none, or another worker does the same
            # Under its own name a frozen worker that wakes up would write to a half-removed folder.
            self.folder.rename(old)
        if (old / SETTINGS).exists() and not self.out.exists():
            _moved(old, self.folder)  # another worker has just begun it
        remove_folder(old)
        if self.out.exists():
            self._sweep()

    def _sweep(self) -> None:
        begun, old = (f".{self.out.name}.{purpose}-" for purpose in ("begin", "old"))
        for entry in list(self.out.parent.iterdir()):
            if entry.name.startswith((begun, old)):
                remove_folder(entry)

    def _beside(self, purpose: str) -> Path:
        return self.out.with_name(f".{self.out.name}.{purpose}-{self.worker}")


def partial_folder(out: Path) -> Path:
    """Folder in which `out` grows; its parent is created."""
    if out.suffix != ".zarr":
        raise RecordingError(
            f"got out={str(out)!r}; a recording's folder ends in .zarr: out='recording.zarr'"
        )
    make_folder(out.parent)
    return out.with_name(out.name + ".partial")


def numbered(folder: Path, suffix: str) -> set[int]:
    """Numbers that the entries of a folder have as names; other entries do not count."""
    names = [Path(entry.name) for entry in os.scandir(folder)]
    return {int(name.stem) for name in names if name.suffix == suffix and name.stem.isdecimal()}


def _moved(source: Path, target: Path) -> bool:
    """Rename a folder that is not empty; False if the target exists or the source does not.

    Raises:
        OSError: the folder of the target is gone, or another error of the file system.
    """
    try:
        source.rename(target)
    except OSError as error:
        # A network file system may repeat a call that succeeded, and report the second one.
        if target.exists() and (error.errno in TAKEN or not source.exists()):
            return False
        raise
    return True

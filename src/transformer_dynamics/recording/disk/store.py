"""Store of a growing recording, which is whole or not there.

It lies in `<out>.partial/` until its last shard is marked and is then renamed to `<out>`. The same
call again, after any interruption, does what is missing and nothing else; a folder begun with
another model, other texts or other settings is refused, saying what differs; so is a second writer.
A finished recording is checked chunk by chunk when the call that made it is made again: shards with
a broken chunk are recorded anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import xarray as xr

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk.checks import broken_chunks
from transformer_dynamics.recording.disk.chunks import create_states
from transformer_dynamics.recording.disk.opening import open_recording
from transformer_dynamics.recording.disk.shards import (
    MARKERS,
    STORE,
    is_recorded,
    record_shard,
    write_marker,
)
from transformer_dynamics.recording.fingerprint import difference
from transformer_dynamics.recording.job import Job
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.files import make_folder, read_json, remove_folder, write_json

Count = Callable[[int], None]


def record_to_disk(job: Job, template: xr.Dataset, out: Path, count: Count) -> Recording:
    """Record what is missing of a job in `out`, and open it.

    Args:
        job: the recording.
        template: everything of the recording but the states.
        out: the folder that will hold it.
        count: told the tokens of each batch done, and of each shard that was there already.
    """
    folder = partial_folder(out)
    with only_writer(out):
        if out.exists():
            require_same(job.settings, open_recording(out, check=False).provenance, out)
            if not _reopen(job, out, folder):
                remove_folder(folder)
                return open_recording(out)
        _begin(job, template, folder)
        for shard in range(job.plan.n_shards):
            if is_recorded(folder, shard):
                count(job.plan.n_tokens(shard))
            else:
                record_shard(job, folder, shard, count)
        _sweep(folder / STORE)
        (folder / STORE).rename(out)
        remove_folder(folder)
    return open_recording(out)


def _sweep(store: Path) -> None:
    """Remove files that a killed process left half written, under the names zarr gives those."""
    for stray in store.rglob("*.partial"):
        stray.unlink()


def partial_folder(out: Path) -> Path:
    """Folder in which `out` grows; its parent is made."""
    if out.suffix != ".zarr":
        raise RecordingError(f"got out={str(out)!r}; a recording's folder ends in .zarr")
    make_folder(out.parent)
    return out.with_name(out.name + ".partial")


def _reopen(job: Job, out: Path, folder: Path) -> bool:
    """Turn a finished recording with broken chunks into an unfinished one without them.

    Markers of the whole shards come first and the store moves last, so that an interruption on the
    way leaves either the finished recording or the unfinished one.
    """
    broken = {
        chunk * job.chunk_rows // job.plan.shard_rows for chunk in broken_chunks(out, read=True)
    }
    if not broken:
        return False
    remove_folder(folder)
    make_folder(folder / MARKERS)
    for shard in set(range(job.plan.n_shards)) - broken:
        write_marker(folder, shard, job.plan.rows(shard))
    write_json(folder / "settings.json", job.settings)
    out.rename(folder / STORE)
    return True


def _begin(job: Job, template: xr.Dataset, folder: Path) -> None:
    """Lay out the store, or make sure that the one begun is of the same recording."""
    begun = read_json(folder / "settings.json")
    if begun is not None:
        require_same(job.settings, begun, folder)
        return
    remove_folder(folder)
    make_folder(folder / MARKERS)
    require_room(folder, int(np.prod(job.shape)) * np.dtype(job.storage).itemsize)
    # The states get their place without being written; a row that never is reads as NaN.
    template.to_zarr(folder / STORE, mode="w", consolidated=False)
    create_states(folder / STORE, job.shape, job.storage, job.chunk_rows)
    write_json(folder / "settings.json", job.settings)


def require_room(folder: Path, n_bytes: int) -> None:
    """Refuse before the first forward pass what the disk cannot hold.

    Raises:
        RecordingError: fewer than `n_bytes` are free.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise RecordingError(
            f"this recording needs {n_bytes / 1e9:.2f} GB and {folder.parent} has "
            f"{free / 1e9:.2f} GB free; keep fewer positions (positions='last'), half the size "
            "(storage='float16'), or moments alone (keep='moments'), or give another folder"
        )


def require_same(wanted: Mapping[str, Any], found: Mapping[str, Any], where: Path) -> None:
    """Refuse to go on with another recording.

    Raises:
        RecordingError: a setting differs, or the model gives other states; names each with both
            values.
    """
    differing = [key for key in wanted if key != "fingerprint" and wanted[key] != found.get(key)]
    details = [
        f"{key}: {_short(found.get(key))} there, {_short(wanted[key])} now" for key in differing
    ]
    if not details and "fingerprint" in wanted:
        other_states = difference(wanted["fingerprint"], found.get("fingerprint"), wanted)
        details = [] if other_states is None else [other_states]
    if details:
        raise RecordingError(
            f"{where} holds another recording ({'; '.join(details)}); give another folder with "
            "out=, or delete that one"
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the folder; the operating system frees it however the process ends."""
    lock = filelock.FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise RecordingError(
            f"another process is recording to {out}; wait for it, or give another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()

"""Store of a growing recording, which appears under its name only when it is complete.

The store grows in `<out>.partial/` and is renamed to `<out>` after its last shard. The same call
again, after any interruption, records only what is missing. A folder begun with another model,
other texts or other settings is refused, with the differences; so is a second writer. Repeating the
call for a finished recording checks every chunk and records shards with a broken chunk again.
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
    """Record the missing shards of a job in `out`, and open the recording.

    Args:
        job: Job of the recording.
        template: Labels and provenance of the recording.
        out: Folder of the recording.
        count: Called with the number of tokens of each finished batch, and of each shard that was
            recorded before.
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
    """Remove incomplete files of a killed process, by the suffix that zarr gives them."""
    for stray in store.rglob("*.partial"):
        stray.unlink()


def partial_folder(out: Path) -> Path:
    """Folder in which `out` grows; its parent is created."""
    if out.suffix != ".zarr":
        raise RecordingError(
            f"got out={str(out)!r}; a recording's folder ends in .zarr: out='recording.zarr'"
        )
    make_folder(out.parent)
    return out.with_name(out.name + ".partial")


def _reopen(job: Job, out: Path, folder: Path) -> bool:
    """Turn a finished recording with broken chunks into an unfinished one without them.

    Markers of the unbroken shards are written first and the store moves last, so that an
    interruption leaves either the finished recording or the unfinished one.
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
    """Create the store, or check that an unfinished one is of the same recording."""
    begun = read_json(folder / "settings.json")
    if begun is not None:
        require_same(job.settings, begun, folder)
        return
    remove_folder(folder)
    make_folder(folder / MARKERS)
    require_room(folder, int(np.prod(job.shape)) * np.dtype(job.storage).itemsize)
    # The array of states is created without writing chunks; a missing row would read as NaN.
    template.to_zarr(folder / STORE, mode="w", consolidated=False)
    create_states(folder / STORE, job.shape, job.storage, job.chunk_rows)
    write_json(folder / "settings.json", job.settings)


def require_room(folder: Path, n_bytes: int) -> None:
    """Refuse a recording that the disk cannot hold, before the first forward pass.

    Raises:
        RecordingError: fewer than `n_bytes` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise RecordingError(
            f"this recording needs {n_bytes / 1e9:.2f} GB and {folder.parent} has "
            f"{free / 1e9:.2f} GB free; keep fewer positions (positions='last'), half the size "
            "(storage='float16'), or moments alone (keep='moments'), or give another folder"
        )


def require_same(wanted: Mapping[str, Any], found: Mapping[str, Any], where: Path) -> None:
    """Refuse to continue another recording.

    Raises:
        RecordingError: a setting or the fingerprint of the states differs; the message names each
            with both values.
    """
    differing = [key for key in wanted if key != "fingerprint" and wanted[key] != found.get(key)]
    details = [
        f"{key}: {_short(found.get(key))} recorded, {_short(wanted[key])} now" for key in differing
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
    """Lock the folder; the operating system releases the lock when the process ends."""
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

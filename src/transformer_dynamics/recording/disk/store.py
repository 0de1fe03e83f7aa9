"""Recording on disk: begun by the first worker, recorded by all, closed by the last.

The store grows in `<out>.partial/` (module `growing`) and gets its name `<out>` after its last
shard. The same call again, after any interruption or in another process at the same time, records
what is missing. A folder begun with another model, other texts or other settings is refused, with
the differences. Repeating the call for a finished recording checks every chunk and records shards
with a broken file again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import xarray as xr

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk.checks import (
    broken_files,
    is_first_layout,
    require_whole,
    states_array,
)
from transformer_dynamics.recording.disk.chunks import create_states, states_folder
from transformer_dynamics.recording.disk.opening import open_recording
from transformer_dynamics.recording.disk.splitting import split_provenance
from transformer_dynamics.recording.fingerprint import difference
from transformer_dynamics.recording.job import Job
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.recording.workers.growing import SPLIT, Growing, partial_folder
from transformer_dynamics.recording.workers.identity import Identity
from transformer_dynamics.recording.workers.worker import Count, Worker
from transformer_dynamics.storage.files import read_json, write_json


def record_to_disk(
    job: Job, template: xr.Dataset, out: Path, count: Count, *, repair: bool
) -> Recording:
    """Record the missing shards of a job in `out`, and open the recording.

    Args:
        job: Job of the recording.
        template: Labels and provenance of the recording.
        out: Folder of the recording.
        count: Called with the number of tokens of each finished batch, and of each shard that was
            recorded before or by another process.
        repair: Whether to check every chunk of a finished recording, and to record broken files
            again.
    """
    identity = Identity.here(str(job.model.device))
    try:
        growing = begin(job, template, out, identity.worker, repair=repair)
        if growing is not None:
            Worker(job, growing, identity, count).run()
            _close(growing)
    except FileNotFoundError as error:  # closed by another worker, unless nothing is left
        if not out.exists():
            raise RecordingError(
                f"{partial_folder(out)} disappeared while it was written; run the same command "
                "again"
            ) from error
    except OSError as error:
        raise RecordingError(
            f"cannot write to {partial_folder(out)} ({error.strerror or error}); what was recorded "
            "before is kept: correct it and run the same command again"
        ) from error
    return open_recording(out)


def begin(
    job: Job, template: xr.Dataset, out: Path, worker: str = "plan", *, repair: bool = False
) -> Growing | None:
    """Begin or join the folder of a growing recording; None if the recording is finished.

    Args:
        job: Job of the recording.
        template: Labels and provenance of the recording.
        out: Folder of the recording.
        worker: Name of the worker.
        repair: Whether to begin a finished recording with broken files again.

    Raises:
        RecordingError: `out` or the folder holds another recording, or one of an earlier layout.
    """
    growing = Growing(out, worker)
    if out.exists():
        require_same(job.settings, open_recording(out, check=False).provenance, out)
        if not repair or not _reopen(job, growing):
            growing.discard()
            return None
    begun = growing.settings
    if begun is None:
        require_room(growing.folder, job.outline.n_bytes)
        growing.begin(job.settings, job.outline, lambda store: _write_empty(job, template, store))
        begun = growing.settings
    if begun is None or out.exists():  # another worker has closed it in the meantime
        growing.discard()
        return None
    require_same(job.settings, begun, growing.folder)
    _require_layout(job, growing)
    return growing


def _write_empty(job: Job, template: xr.Dataset, path: Path) -> None:
    """Write the store without any file of states; a missing row would read as NaN.

    It is made in memory, since Zarr creates files by hard links, which some file systems lack.
    """
    import zarr

    entries: dict[str, Any] = {}
    store = zarr.storage.MemoryStore(entries)
    template.to_zarr(store, mode="w", consolidated=False)
    create_states(store, job.shape, job.storage, job.chunk_rows, job.plan.shard_rows)
    for name, content in entries.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.to_bytes())


def _require_layout(job: Job, growing: Growing) -> None:
    try:
        array = states_array(growing.store)
    except FileNotFoundError:  # closed or moved by another worker, which the next step finds
        return
    rows, whole = job.file_rows
    if array.shards is None or (array.chunks[0], array.shards[0]) != (rows, whole):
        raise RecordingError(
            f"{growing.folder} was begun by another version of this package, whose files have "
            "other sizes; delete it and run the same command again"
        )


def _reopen(job: Job, growing: Growing) -> bool:
    """Turn a finished recording with broken files into an unfinished one without them.

    The store moves last, so that an interruption leaves either the finished recording or the
    unfinished one.
    """
    out = growing.out
    broken = broken_files(out, read=True)
    if not broken:
        return False
    if is_first_layout(states_array(out)):
        require_whole(out, read=True)
    for shard in broken:
        shutil.rmtree(states_folder(out) / str(shard), ignore_errors=True)
    if growing.store.exists() and out.exists():  # begun by mistake while this one was closed
        growing.discard()
    growing.begin(job.settings, job.outline, None)
    with suppress(FileNotFoundError):  # of another worker that does the same
        out.rename(growing.store)
    return True


def _close(growing: Growing) -> None:
    """Note in the provenance which batches were split, and give the recording its name."""
    notes = {
        int(path.stem): int(read_json(path)["batch_tokens"])
        for path in (growing.folder / SPLIT).glob("*.json")
    }
    described = growing.store / "zarr.json"
    group = read_json(described) if notes else None
    if group is not None:
        provenance = json.loads(group["attributes"]["provenance"]) | split_provenance(notes)
        group["attributes"]["provenance"] = json.dumps(provenance, ensure_ascii=False)
        write_json(described, group)
    growing.close()


def require_room(folder: Path, n_bytes: int) -> None:
    """Refuse a recording that the disk cannot hold, before the first forward pass.

    Raises:
        RecordingError: fewer than `n_bytes` bytes are free.
    """
    free = shutil.disk_usage(folder.parent).free
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
    details = differences(wanted, found)
    if details:
        raise RecordingError(
            f"{where} holds another recording ({'; '.join(details)}); give another folder with "
            "out=, or delete that one"
        )


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Name each setting in which a recording differs from the wanted one, with both values."""
    differing = [key for key in wanted if key != "fingerprint" and wanted[key] != found.get(key)]
    details = [
        f"{key}: {_short(found.get(key))} recorded, {_short(wanted[key])} now" for key in differing
    ]
    if not details and "fingerprint" in wanted:
        other_states = difference(wanted["fingerprint"], found.get("fingerprint"), wanted)
        details = [] if other_states is None else [other_states]
    return details


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."

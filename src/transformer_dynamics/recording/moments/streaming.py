"""Moments of a model's states, computed shard after shard without storing the states.

After every shard the moments so far are written under a name with the number of shards, and then
that number. An interrupted call continues from the last complete file; the result is bit-identical,
since shards are always added in the same order. So one process writes: a lock keeps others out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import filelock
import xarray as xr

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk.chunks import DIMS
from transformer_dynamics.recording.disk.shards import shard_states
from transformer_dynamics.recording.disk.splitting import Splits, split_provenance
from transformer_dynamics.recording.disk.store import require_room, require_same
from transformer_dynamics.recording.job import Job
from transformer_dynamics.recording.moments.histograms import BINS
from transformer_dynamics.recording.moments.moments import Moments, open_moments
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.recording.workers.growing import partial_folder
from transformer_dynamics.recording.workers.worker import Count
from transformer_dynamics.storage.attributes import plain_attributes
from transformer_dynamics.storage.files import make_folder, read_json, remove_folder, write_json

# Two sets of moments exist while one is merged into the other.
MOST_BYTES = 8 * 2**30


def stream_moments(
    job: Job,
    template: xr.Dataset,
    options: RecordingOptions,
    out: Path | None,
    count: Count,
    elsewhere: Callable[[], Moments] | None = None,
) -> Moments:
    """Compute the moments of all rows of a job, in memory or in `out`.

    Args:
        job: Job of the recording.
        template: Labels and provenance of the recording.
        options: Options of the moments.
        out: Folder of the moments.
        count: Called with the number of tokens of each finished batch.
        elsewhere: Computes the moments in other processes; by default this one does.

    Raises:
        RecordingError: they would exceed 8 GiB, or `out` holds another recording.
    """
    n_bytes = _moments_bytes(*job.shape[1:], options.covariance)
    if n_bytes > MOST_BYTES:
        raise RecordingError(
            f"full covariances of {job.shape[1]} sites of {job.shape[2]} units take "
            f"{n_bytes / 2**30:.1f} GiB, at most {MOST_BYTES / 2**30:.0f} are allowed; keep the "
            "variance of each unit alone: options=td.RecordingOptions(covariance='unit')"
        )
    if out is None and elsewhere is not None:
        return elsewhere()
    if out is None:
        so_far = None
        for shard in range(job.plan.n_shards):
            so_far = add_shard(job, template, options, shard, so_far, count)
        assert so_far is not None  # a plan has at least one row
        return so_far
    folder = partial_folder(out)
    with _only_writer(out):
        if out.exists():
            finished = open_moments(out)
            require_same(job.settings, finished.provenance, out)
            return finished
        if elsewhere is None:
            _record(job, template, options, folder, count, n_bytes)
        else:
            remove_folder(folder)
            make_folder(folder)
            require_room(folder, n_bytes)
            _save(elsewhere(), folder, job.plan.n_shards)
        (folder / _name(job.plan.n_shards)).rename(out)
        remove_folder(folder)
    return open_moments(out)


def _record(
    job: Job,
    template: xr.Dataset,
    options: RecordingOptions,
    folder: Path,
    count: Count,
    n_bytes: int,
) -> None:
    begun = read_json(folder / "settings.json")
    if begun is None:
        remove_folder(folder)
        make_folder(folder)
        require_room(folder, 2 * n_bytes)
        write_json(folder / "settings.json", job.settings)
    else:
        require_same(job.settings, begun, folder)
    done = (read_json(folder / "done.json") or {"shards": 0})["shards"]
    so_far = open_moments(folder / _name(done)) if done else None
    count(sum(job.plan.n_tokens(shard) for shard in range(done)))
    for shard in range(done, job.plan.n_shards):
        so_far = add_shard(job, template, options, shard, so_far, count)
        _save(so_far, folder, shard + 1)


def _save(moments: Moments, folder: Path, shards: int) -> None:
    target = folder / _name(shards)
    remove_folder(target)  # complete, but not counted: the call was interrupted in between
    try:
        moments.save(target)
    except OSError as error:
        raise RecordingError(
            f"cannot write to {folder} ({error.strerror}); what was recorded before is kept: make "
            "room and run the same command again"
        ) from error
    write_json(folder / "done.json", {"shards": shards})
    remove_folder(folder / _name(shards - 1))


def _moments_bytes(n_sites: int, n_units: int, covariance: str) -> int:
    """Memory of one set of moments, in bytes."""
    pairs = n_units if covariance == "full" else 1
    return 8 * n_sites * n_units * (2 * pairs + 2 * BINS + BINS * BINS)


def _name(shards: int) -> str:
    return f"moments-{shards:06d}.zarr"


def add_shard(
    job: Job,
    template: xr.Dataset,
    options: RecordingOptions,
    shard: int,
    so_far: Moments | None,
    count: Count,
) -> Moments:
    """Compute the moments of a shard, and add them to those so far, if there are any."""
    states = shard_states(job, shard, count)
    rows = template.isel(sample=job.plan.rows(shard))
    block = Recording(rows.assign(activation=(DIMS, states)))
    grid = options.grid if so_far is None else so_far
    moments = Moments.of(block, covariance=options.covariance, grid=grid)
    merged = moments if so_far is None else so_far.merge(moments, same_origin=True)
    return _with_split(merged, shard, job.splits) if shard in job.splits.shards else merged


def _with_split(moments: Moments, shard: int, splits: Splits) -> Moments:
    """Note in the provenance that a shard ran in smaller batches."""
    before = moments.provenance.get("split_batches", {"shards": [], "batch_tokens": None})
    tokens = [each for each in (before["batch_tokens"], splits.most_tokens) if each is not None]
    notes = dict.fromkeys([*before["shards"], shard], min(tokens))
    provenance = {**moments.provenance, **split_provenance(notes)}
    attrs = plain_attributes({"provenance": provenance})
    return replace(moments, dataset=moments.dataset.assign_attrs(attrs))


@contextmanager
def _only_writer(out: Path) -> Iterator[None]:
    """Lock the folder; the operating system releases the lock when the process ends."""
    lock = filelock.FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise RecordingError(
            f"another process records moments to {out}; wait for it, or give another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()

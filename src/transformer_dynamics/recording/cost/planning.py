"""Plan a recording: `td.plan(model, texts)`, its cost before it is made.

Samples, shards and bytes are exact; operations and memory are counted on two short passes; the time
is that of a few batches and chunks of this very recording, or follows a stated throughput.
"""

from __future__ import annotations

import heapq
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.model.loading import ModelOptions, as_model, load_model
from transformer_dynamics.recording.cost.estimate import CostEstimate
from transformer_dynamics.recording.cost.operations import pass_cost
from transformer_dynamics.recording.cost.sizes import folder_bytes, peak_memory
from transformer_dynamics.recording.cost.throughput import (
    BatchShape,
    batch_flops,
    batch_shapes,
    measured_rate,
    state_bytes,
    write_seconds_per_byte,
)
from transformer_dynamics.recording.disk.chunks import create_states
from transformer_dynamics.recording.job import Job
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.positions import Positions
from transformer_dynamics.recording.record import prepare
from transformer_dynamics.storage.files import local_path, make_folder

CALIBRATION_SECONDS = 5.0


@dataclass(frozen=True)
class Resources:
    """Resources of a recording that is planned.

    Attributes:
        workers: Number of workers, each with a device of its own.
        tokens_per_second: Known throughput of one worker; by default it is measured.
        calibration_seconds: Time of the measurement.

    Raises:
        RecordingError: a number that is not positive.
    """

    workers: int = 1
    tokens_per_second: float | None = None
    calibration_seconds: float = CALIBRATION_SECONDS

    def __post_init__(self) -> None:
        for name, example in (
            ("workers", "4"),
            ("tokens_per_second", "2500"),
            ("calibration_seconds", "10"),
        ):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise RecordingError(
                    f"got {name}={value!r}; it is a positive number: "
                    f"td.plan(model, texts, {name}={example})"
                )


def plan(
    model: Any,
    texts: Any,
    positions: Positions = "last",
    *,
    out: str | Path = "recording.zarr",
    options: RecordingOptions | None = None,
    workers: int = 1,
    tokens_per_second: float | None = None,
    calibration_seconds: float = CALIBRATION_SECONDS,
) -> CostEstimate:
    """Estimate the cost of a recording; nothing of it is kept.

    Args:
        model: A `td.Model`, or anything that `td.load_model` takes. The weights of a model that is
            named are not loaded where its throughput is stated.
        texts: Texts in any form that `td.record` takes.
        positions: Kept positions, as `td.record` takes them.
        out: Folder of the recording to be made. The speed of its disk is measured in the folder
            that will hold it, or in the one above where that does not exist.
        options: Options of the recording.
        workers: Number of workers, each with a device of its own.
        tokens_per_second: Known throughput of one worker; nothing is measured then.
        calibration_seconds: Time of the measurement of the throughput.

    Returns:
        Tokens, shards, operations, bytes on disk and in memory, and time. `print` shows a table.

    Raises:
        RecordingError: as `td.record`, or a number that is not positive.

    The time does not contain loading the model. With several workers it is that of the busiest one;
    workers that share a device or its cores are slower than one alone.
    """
    resources = Resources(workers, tokens_per_second, calibration_seconds)
    folder = _existing(local_path(out, RecordingError).absolute().parent)
    loaded = _planned_model(model, measured=tokens_per_second is None)
    start = time.perf_counter()
    job, template = prepare(loaded, texts, positions, options or RecordingOptions())
    setup = time.perf_counter() - start
    return estimated_cost(job, template, folder, resources, setup)


def _planned_model(model: Any, *, measured: bool) -> Model:
    """Model to be planned; weights of one that is named are loaded only to measure it."""
    if measured:
        return as_model(model)
    if isinstance(model, str | Path):
        return load_model(model, options=ModelOptions(weights=False))
    return model if isinstance(model, Model) else as_model(model)


def estimated_cost(
    job: Job, template: xr.Dataset, folder: Path, resources: Resources, setup_seconds: float
) -> CostEstimate:
    """Estimate the cost of a job.

    Args:
        job: Job of the recording.
        template: Labels and provenance of the recording.
        folder: Folder that will hold the recording; a temporary one is made in it and removed.
        resources: Workers and throughput.
        setup_seconds: Time that making the job took, which every worker spends again.
    """
    passes, shapes = pass_cost(job.model, job.plan), batch_shapes(job.plan)
    flops = batch_flops(shapes, passes.flops)
    disk = _disk(job, template, folder, measured=resources.tokens_per_second is None)
    if resources.tokens_per_second is not None:
        of_shards = _by_shard(job, shapes, [shape.n_tokens for shape in shapes])
        of_shards, setup_seconds = of_shards / resources.tokens_per_second, 0.0
        origin = "stated"
    else:
        rate = measured_rate(job, shapes, flops, resources.calibration_seconds)
        written = [shape.n_kept * state_bytes(job) * disk.seconds_per_byte for shape in shapes]
        of_shards = _by_shard(job, shapes, flops * rate.seconds_per_flop + written)
        origin = f"measured on {rate.n_batches} of {len(shapes)} batches in {rate.seconds:.1f} s"
    memory = peak_memory(job, shapes, passes.activation_bytes)
    n_tokens = sum(shape.n_tokens for shape in shapes)
    return CostEstimate(
        model=job.model.name,
        device=str(job.model.device),
        n_texts=len(job.plan.token_lists),
        n_tokens=n_tokens,
        n_samples=job.shape[0],
        n_sites=job.shape[1],
        n_units=job.shape[2],
        n_shards=job.plan.n_shards,
        storage=job.storage,
        flops=round(flops.sum()),
        disk_bytes=disk.n_bytes,
        free_bytes=shutil.disk_usage(folder).free,
        memory_bytes=memory.machine,
        device_memory_bytes=memory.device,
        n_workers=resources.workers,
        tokens_per_second=float(n_tokens / of_shards.sum()),
        throughput=origin,
        seconds=setup_seconds + _busiest(of_shards, resources.workers),
    )


@dataclass(frozen=True)
class _Disk:
    """Bytes of the finished recording, and seconds to write one (0 if not measured)."""

    n_bytes: int
    seconds_per_byte: float


def _disk(job: Job, template: xr.Dataset, folder: Path, *, measured: bool) -> _Disk:
    """Write the labels and, to measure the disk, one file; add the bytes of all files."""
    make_folder(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".tdyn-plan-") as name:
        store = Path(name) / "recording.zarr"
        template.to_zarr(store, mode="w", consolidated=False)
        create_states(store, job.shape, job.storage, job.chunk_rows, job.plan.shard_rows)
        n_bytes = folder_bytes(store) + job.outline.n_bytes
        return _Disk(n_bytes, write_seconds_per_byte(job, Path(name)) if measured else 0.0)


def _existing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _by_shard(job: Job, shapes: Sequence[BatchShape], costs: Any) -> NDArray[np.float64]:
    """Sum of the costs of a shard's batches, `(shard,)`."""
    shards = [shape.shard for shape in shapes]
    sums = np.bincount(shards, weights=costs, minlength=job.plan.n_shards)
    return sums.astype(np.float64)


def _busiest(seconds: NDArray[np.float64], workers: int) -> float:
    """Time of the busiest worker where each takes the next shard when it has finished one."""
    busy = [0.0] * min(workers, len(seconds))
    for each in seconds:
        heapq.heapreplace(busy, busy[0] + float(each))
    return max(busy)

"""Throughput of the recorder, measured on a few real batches and a few written chunks.

Batches are drawn evenly over the operations of the whole recording, so that long and short texts
have their share. Cost: about the given number of seconds, and at least two batches.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.recording.cost.operations import Quadratic
from transformer_dynamics.recording.disk.shard_files import write_shard_file
from transformer_dynamics.recording.disk.shards import kept_states
from transformer_dynamics.recording.job import Job
from transformer_dynamics.recording.plan import Batch, Plan

# Consecutive multiples of the golden ratio cover the unit interval evenly, however many are taken.
GOLDEN_RATIO = (5**0.5 - 1) / 2
MOST_WRITTEN = 64 * 2**20


@dataclass(frozen=True)
class Rate:
    """Measured speed of forward passes.

    Attributes:
        seconds_per_flop: Seconds per operation.
        n_batches: Number of measured batches.
        seconds: Time of these.
    """

    seconds_per_flop: float
    n_batches: int
    seconds: float


@dataclass(frozen=True)
class BatchShape:
    """Shape of a batch.

    Attributes:
        shard: Its shard.
        place: Its place among the batches of the shard.
        n_lines: Number of texts that run together.
        length: Number of tokens to which these are padded.
        n_tokens: Number of tokens without padding.
        n_kept: Number of kept states.
    """

    shard: int
    place: int
    n_lines: int
    length: int
    n_tokens: int
    n_kept: int


def batch_shapes(plan: Plan) -> list[BatchShape]:
    """Shapes of all batches of a plan, in the order in which they run."""
    return [
        _shape(shard, place, batch)
        for shard in range(plan.n_shards)
        for place, batch in enumerate(plan.batches(shard))
    ]


def _shape(shard: int, place: int, batch: Batch) -> BatchShape:
    n_lines, length = batch.tokens.shape
    return BatchShape(shard, place, n_lines, length, int(batch.lengths.sum()), len(batch.row))


def batch_flops(shapes: Sequence[BatchShape], flops: Quadratic) -> NDArray[np.float64]:
    """Operations of each batch, padding included."""
    return np.array([flops.of(shape.n_lines, shape.length) for shape in shapes])


def measured_rate(
    job: Job, shapes: Sequence[BatchShape], flops: NDArray[np.float64], seconds: float
) -> Rate:
    """Run batches for about `seconds` seconds; the first one warms up where three or more run.

    Args:
        job: Job of the recording.
        shapes: Shapes of all its batches.
        flops: Operations of each, `(batch,)`.
        seconds: Time after which no further batch begins.
    """
    spent = 0.0
    timed: list[tuple[float, float]] = []
    for index in _spread(flops):
        batch = _batch(job.plan, shapes[index])
        start = time.perf_counter()
        kept_states(job.model, batch)
        timed.append((time.perf_counter() - start, float(flops[index])))
        spent += timed[-1][0]
        if spent >= seconds and len(timed) > 1:
            break
    kept = timed[1:] if len(timed) > 2 else timed
    measured = sum(each for each, _ in kept)
    return Rate(measured / sum(cost for _, cost in kept), len(kept), measured)


def write_seconds_per_byte(job: Job, folder: Path) -> float:
    """Seconds to write a byte of states through to the disk, measured on one small file.

    Args:
        job: Job of the recording.
        folder: Folder on the disk, which is thrown away afterwards.
    """
    rows, whole = job.file_rows
    chunk_bytes = rows * state_bytes(job)
    n_chunks = max(1, min(whole // rows, MOST_WRITTEN // chunk_bytes))
    states = np.zeros((min(job.plan.n_rows, n_chunks * rows), *job.shape[1:]), dtype=job.storage)
    states[:] = np.random.default_rng(0).standard_normal(job.shape[2])
    start = time.perf_counter()
    write_shard_file(folder / "measured", states, rows, n_chunks)
    return (time.perf_counter() - start) / states.nbytes


def state_bytes(job: Job) -> int:
    """Bytes of one sample."""
    return int(np.prod(job.shape[1:])) * np.dtype(job.storage).itemsize


def _spread(costs: NDArray[np.float64]) -> Iterator[int]:
    """Every batch once, any first few of them evenly spread over the sorted costs."""
    order = np.argsort(costs, kind="stable")
    ends = np.cumsum(costs[order]) / costs.sum()
    seen: set[int] = set()
    for step in range(1, 4 * len(costs) + 1):
        place = int(np.searchsorted(ends, step * GOLDEN_RATIO % 1.0))
        if place not in seen:
            seen.add(place)
            yield int(order[place])


def _batch(plan: Plan, shape: BatchShape) -> Batch:
    return next(
        batch for place, batch in enumerate(plan.batches(shape.shard)) if place == shape.place
    )

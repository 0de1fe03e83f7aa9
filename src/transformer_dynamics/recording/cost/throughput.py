"""Throughput of the recorder, measured on a few real batches and a few written chunks.

Batches are drawn evenly over the operations of the whole recording, so that long and short texts
have their share. Cost: about the given number of seconds, and at least two batches.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from transformer_dynamics.recording.cost.operations import Quadratic
from transformer_dynamics.recording.disk.shards import batch_states
from transformer_dynamics.recording.job import Job
from transformer_dynamics.recording.plan import Batch, Plan

# Consecutive multiples of the golden ratio cover the unit interval evenly, however many are taken.
GOLDEN_RATIO = (5**0.5 - 1) / 2
WRITTEN_BYTES = 64 * 2**20
MOST_WRITES = 8


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
        batch_states(job.model, batch).cpu()
        timed.append((time.perf_counter() - start, float(flops[index])))
        spent += timed[-1][0]
        if spent >= seconds and len(timed) > 1:
            break
    kept = timed[1:] if len(timed) > 2 else timed
    measured = sum(each for each, _ in kept)
    return Rate(measured / sum(cost for _, cost in kept), len(kept), measured)


def write_seconds_per_byte(array: zarr.Array, store: Path) -> float:
    """Seconds to write a byte of states through to the disk, measured on a few chunks.

    Args:
        array: Empty array of the states, which is thrown away afterwards.
        store: Folder of its store.
    """
    rows = array.chunks[0]
    chunk = np.zeros((rows, *array.shape[1:]), dtype=array.dtype)
    chunk[:] = np.random.default_rng(0).standard_normal(array.shape[2])
    n_writes = max(1, min(array.shape[0] // rows, MOST_WRITES, WRITTEN_BYTES // chunk.nbytes))
    written = 0
    start = time.perf_counter()
    for place in range(n_writes):
        block = chunk[: array.shape[0] - place * rows]
        array[place * rows : place * rows + len(block)] = block
        written += block.nbytes
    for file in store.rglob("*"):
        if file.is_file():
            _flush(file)
    return (time.perf_counter() - start) / written


def _flush(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


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

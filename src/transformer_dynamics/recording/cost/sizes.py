"""Bytes of a recording on disk, and of a worker in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr

from transformer_dynamics.model.language_model import Model
from transformer_dynamics.recording.cost.operations import Quadratic
from transformer_dynamics.recording.cost.throughput import BatchShape
from transformer_dynamics.recording.disk.checks import CHECKSUM_BYTES
from transformer_dynamics.recording.job import Job

# A process that has imported this package, torch and transformers; measured on Linux.
LIBRARY_BYTES = 600 * 10**6
# Zarr encodes a chunk of 16 MiB while the next ones wait, and torch converts a batch's states.
COPIES = 2


def state_bytes(array: zarr.Array) -> int:
    """Bytes of the chunks of an array of states; every chunk has its full size on disk."""
    n_chunks = -(-array.shape[0] // array.chunks[0])
    return int(n_chunks * (np.prod(array.chunks) * array.dtype.itemsize + CHECKSUM_BYTES))


def folder_bytes(folder: Path) -> int:
    """Sum of the sizes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@dataclass(frozen=True)
class Memory:
    """Peak memory of a worker, on its machine and on its accelerator (None on a CPU)."""

    machine: int
    device: int | None


def peak_memory(job: Job, shapes: Sequence[BatchShape], activations: Quadratic) -> Memory:
    """Estimate the peak memory of a worker from its weights, its largest batch and a shard."""
    model = job.model
    n_sites, n_units = job.shape[1:]
    of_state = n_sites * n_units
    kept = max(shape.n_kept for shape in shapes) * of_state
    passing = max(activations.of(shape.n_lines, shape.length) for shape in shapes)
    computed = round(passing) + kept * model.hf_model.dtype.itemsize
    shard = min(job.plan.shard_rows, job.plan.n_rows) * of_state * np.dtype(job.storage).itemsize
    encoded = min(job.chunk_rows, job.plan.n_rows) * of_state * np.dtype(job.storage).itemsize
    collected = shard + max(COPIES * encoded, kept * np.dtype(np.float32).itemsize)
    accelerator, machine = _weight_bytes(model)
    if model.device.type == "cpu":
        return Memory(LIBRARY_BYTES + machine + computed + collected, None)
    return Memory(LIBRARY_BYTES + machine + collected, accelerator + computed)


def _weight_bytes(model: Model) -> tuple[int, int]:
    """Bytes of parameters and buffers on accelerators, and on the CPU; shared ones count once."""
    sizes: dict[int, tuple[str, int]] = {}
    tensors: list[torch.Tensor] = [*model.hf_model.parameters(), *model.hf_model.buffers()]
    for tensor in tensors:
        key = id(tensor) if tensor.device.type == "meta" else tensor.untyped_storage().data_ptr()
        sizes[key] = (tensor.device.type, tensor.numel() * tensor.element_size())
    machine = sum(size for kind, size in sizes.values() if kind == "cpu")
    accelerator = sum(size for kind, size in sizes.values() if kind not in ("cpu", "meta"))
    return accelerator, machine

"""Bytes of a recording on disk, and of a worker in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from transformer_dynamics.model.language_model import Model
from transformer_dynamics.recording.cost.operations import Quadratic
from transformer_dynamics.recording.cost.throughput import BatchShape, state_bytes
from transformer_dynamics.recording.job import Job

# A process that has imported this package, torch and transformers; measured on Linux.
LIBRARY_BYTES = 600 * 10**6


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
    kept = max(shape.n_kept for shape in shapes) * int(np.prod(job.shape[1:]))
    passing = max(activations.of(shape.n_lines, shape.length) for shape in shapes)
    computed = round(passing) + kept * model.hf_model.dtype.itemsize
    # A batch's states are converted while the shard waits for them.
    shard = min(job.plan.shard_rows, job.plan.n_rows) * state_bytes(job)
    collected = shard + kept * np.dtype(np.float32).itemsize
    accelerator, machine = _weight_bytes(model)
    if model.device.type == "cpu":
        return Memory(LIBRARY_BYTES + machine + computed + collected, None)
    return Memory(LIBRARY_BYTES + machine + collected, accelerator + computed)


def _weight_bytes(model: Model) -> tuple[int, int]:
    """Bytes of parameters and buffers on accelerators, and on the CPU; shared ones count once."""
    sizes: dict[int, tuple[str, int]] = {}
    tensors: list[torch.Tensor] = [*model.hf_model.parameters(), *model.hf_model.buffers()]
    for tensor in tensors:
        kind = tensor.device.type if model.has_weights else model.device.type
        size = tensor.numel() * tensor.element_size()
        sizes[int(tensor.untyped_storage()._cdata)] = (kind, size)
    machine = sum(size for kind, size in sizes.values() if kind == "cpu")
    accelerator = sum(size for kind, size in sizes.values() if kind not in ("cpu", "meta"))
    return accelerator, machine

"""One shard of a recording: the unit of parallel work.

A shard is a block of rows with one writer and one completion marker. Its rows are whole chunks of
the store, so shards may be recorded in any order, by any process, again and again; the marker is
written after the last chunk, and a shard without one counts as not recorded.

Cost: one forward pass without the LM head over the shard's texts; states leave the device once per
batch. The pass takes no attention mask: padding stands on the right, where a causal model cannot
see it, and the kept positions all lie before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.files import read_json, write_json
from transformer_dynamics.models import Model
from transformer_dynamics.recording.plan import Batch, Plan
from transformer_dynamics.residual.hooks import evaluating, reading

STORE = "recording.zarr"
MARKERS = "shards"

Progress = Callable[[int, int], None]
"""Called with the work done and the work in all, in a unit that the caller is told of."""


@dataclass(frozen=True)
class Job:
    """A recording to be made: the model, the plan, and the settings that identify it."""

    model: Model
    plan: Plan
    settings: dict[str, Any]

    @property
    def storage_dtype(self) -> np.dtype[Any]:
        """float32 for every model but a float64 one: it holds every bfloat16 and float16 value."""
        return np.dtype("float64" if self.model.dtype == "float64" else "float32")


def shard_states(
    job: Job, shard: int, on_tokens: Callable[[int], None] | None = None
) -> NDArray[Any]:
    """Run a shard's texts and return its states, `(sample, site, unit)`.

    Raises:
        RecordingError: a state is not finite; names the text and the site.
    """
    rows = job.plan.rows(shard)
    sites = job.model.found_sites
    states = np.empty(
        (rows.stop - rows.start, len(sites.sites), sites.n_units), dtype=job.storage_dtype
    )
    for batch in job.plan.batches(shard):
        kept = _batch_states(job.model, batch).to(device="cpu", dtype=_torch_dtype(job))
        _require_finite(kept, batch, job.model)
        states[batch.row - rows.start] = kept.numpy()
        if on_tokens is not None:
            on_tokens(sum(len(job.plan.token_lists[text]) for text in batch.texts))
    return states


def record_shard(
    job: Job, folder: Path, shard: int, on_tokens: Callable[[int], None] | None = None
) -> None:
    """Run a shard, write it to the store in `folder`, and mark it complete."""
    states = shard_states(job, shard, on_tokens)
    rows = job.plan.rows(shard)
    array = zarr.open_array(folder / STORE / "activation", mode="r+")
    if rows.start % array.chunks[0] or (
        rows.stop % array.chunks[0] and rows.stop != array.shape[0]
    ):
        raise RecordingError(
            f"shard {shard} (rows {rows.start} to {rows.stop}) does not lie on whole chunks of "
            f"{array.chunks[0]} rows; the folder {folder} belongs to another plan: delete it"
        )
    array[rows] = states
    write_json(folder / MARKERS / f"{shard:06d}.json", {"rows": [rows.start, rows.stop]})


def is_recorded(folder: Path, shard: int) -> bool:
    """Whether a shard's marker is there."""
    return read_json(folder / MARKERS / f"{shard:06d}.json") is not None


def _batch_states(model: Model, batch: Batch) -> torch.Tensor:
    """The kept states of one forward pass, on the model's device, `(kept, site, unit)`."""
    sites = model.found_sites
    index = {site.label: place for place, site in enumerate(sites.sites)}
    source = torch.as_tensor(batch.source, device=model.device)
    position = torch.as_tensor(batch.position, device=model.device)
    kept = torch.full(
        (len(batch.row), len(sites.sites), sites.n_units),
        torch.nan,
        dtype=model.hf_model.dtype,
        device=model.device,
    )

    def keep(label: str, states: torch.Tensor) -> None:
        # Some families flatten (text, position) on the way.
        kept[:, index[label]] = states.reshape(*batch.tokens.shape, -1)[source, position]

    tokens = torch.as_tensor(batch.tokens, device=model.device)
    with evaluating(model.hf_model), reading(model.trunk, sites.sites, keep):
        model.trunk(input_ids=tokens, use_cache=False)
    return kept


def _torch_dtype(job: Job) -> torch.dtype:
    return torch.float64 if job.storage_dtype == np.float64 else torch.float32


def _require_finite(states: torch.Tensor, batch: Batch, model: Model) -> None:
    # One sum is the cheapest complete test: it is finite unless some state is not, or the finite
    # states overflow when added, which the exact test below then sorts out.
    if bool(torch.isfinite(states.sum())):
        return
    bad = ~torch.isfinite(states).all(dim=2)
    if not bool(bad.any()):
        return
    row, site = (int(place) for place in bad.nonzero()[0])
    raise RecordingError(
        f"the model {model.name} produced NaN or infinite states at the site "
        f"{model.sites[site]} for text {int(batch.texts[batch.source[row]])}; nothing of this "
        f"shard was kept. Its weights are broken or {model.dtype} is too narrow: "
        "try dtype='float32'"
    )

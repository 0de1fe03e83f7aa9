"""One shard of a recording: the unit of parallel work.

A shard is a block of rows with one writer and one completion marker. Its rows are whole chunks of
the store, so shards may be recorded in any order, by any process, again and again; the marker is
written after the last chunk, and a shard without one counts as not recorded.

Cost: one forward pass without the LM head over the shard's texts; states leave the device once per
batch. For a causal model the pass takes no attention mask: padding stands on the right, where the
model cannot see it, and the kept states all lie before it. An encoder gets a mask.
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
from transformer_dynamics.model.hooks import evaluating, reading
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.recording.plan import Batch, Plan
from transformer_dynamics.storage.files import read_json, write_json

STORE = "recording.zarr"
MARKERS = "shards"

Progress = Callable[[int, int], None]
"""Called with the work done and the work in all, in a unit that the caller is told of."""


@dataclass(frozen=True)
class Job:
    """A recording to be made: the model, the plan, and the settings that identify it.

    Attributes:
        model: the model.
        plan: what runs, and which rows that gives.
        chunk_rows: rows in a chunk of the store.
        storage: name of the dtype that the states are kept in.
        settings: everything that the states depend on.
    """

    model: Model
    plan: Plan
    chunk_rows: int
    storage: str
    settings: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Samples, sites and units."""
        sites = self.model.found_sites
        return self.plan.n_rows, len(sites.sites), sites.n_units


def shard_states(
    job: Job, shard: int, on_tokens: Callable[[int], None] | None = None
) -> NDArray[Any]:
    """Run a shard's texts and return its states, `(sample, site, unit)`.

    Raises:
        RecordingError: a state is not finite, or too large to be kept; names the text and the site.
    """
    rows = job.plan.rows(shard)
    states = np.empty((rows.stop - rows.start, *job.shape[1:]), dtype=job.storage)
    computed = torch.float64 if job.model.dtype == "float64" else torch.float32
    for batch in job.plan.batches(shard):
        kept = _batch_states(job.model, batch).to(device="cpu", dtype=computed)
        _require_finite(kept, batch, job.model)
        if job.storage == "float16":
            _require_in_range(kept, batch, job.model)
        states[batch.row - rows.start] = kept.numpy()
        if on_tokens is not None:
            on_tokens(int(batch.lengths.sum()))
    return states


def record_shard(
    job: Job, folder: Path, shard: int, on_tokens: Callable[[int], None] | None = None
) -> None:
    """Run a shard, write it to the store in `folder`, and mark it complete.

    Raises:
        RecordingError: the store cannot take it, as on a full disk, or belongs to another plan.
    """
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
    try:
        array[rows] = states
        write_marker(folder, shard, rows)
    except OSError as error:
        raise RecordingError(
            f"cannot write shard {shard} to {folder} ({error.strerror}); {states.nbytes / 1e6:.0f} "
            "MB are needed for it. What was recorded before is kept: make room and run the same "
            "command again"
        ) from error


def write_marker(folder: Path, shard: int, rows: slice) -> None:
    """Mark a shard as recorded."""
    write_json(folder / MARKERS / f"{shard:06d}.json", {"rows": [rows.start, rows.stop]})


def is_recorded(folder: Path, shard: int) -> bool:
    """Whether a shard's marker is there."""
    return read_json(folder / MARKERS / f"{shard:06d}.json") is not None


def _batch_states(model: Model, batch: Batch) -> torch.Tensor:
    """The kept states of one forward pass, on the model's device, `(kept, site, unit)`."""
    sites = model.found_sites
    index = {site.label: place for place, site in enumerate(sites.sites)}
    source, place = torch.as_tensor(batch.source), torch.as_tensor(batch.place)
    if model.device.type != "cpu":
        source, place = source.to(model.device), place.to(model.device)
    shape = (len(batch.row), len(sites.sites), sites.n_units)
    kept = torch.full(shape, torch.nan, dtype=model.hf_model.dtype, device=model.device)

    def keep(label: str, states: torch.Tensor) -> None:
        # Some families flatten (text, position) on the way; layers may lie on several devices.
        at = source.to(states.device), place.to(states.device)
        kept[:, index[label]] = states.reshape(*batch.tokens.shape, -1)[at].to(kept.device)

    tokens = torch.as_tensor(batch.tokens, device=model.device)
    mask = {}
    if not sites.causal:
        real = np.arange(batch.tokens.shape[1]) < batch.lengths[:, np.newaxis]
        mask["attention_mask"] = torch.as_tensor(real.astype(np.int64), device=model.device)
    with evaluating(model.hf_model), reading(model.trunk, sites.sites, keep):
        model.trunk(input_ids=tokens, use_cache=False, **mask)
    return kept


def _where(bad: torch.Tensor, batch: Batch, model: Model) -> str:
    """Site and text of the first state that `bad` `(kept, site)` marks."""
    row, site = (int(place) for place in bad.nonzero()[0])
    text = int(batch.texts[batch.source[row]])
    return f"at the site {model.sites[site]} for text {text}"


def _require_finite(states: torch.Tensor, batch: Batch, model: Model) -> None:
    # One sum is the cheapest complete test: it is finite unless some state is not, or the finite
    # states overflow when added, which the exact test below then sorts out.
    if bool(torch.isfinite(states.sum())):
        return
    bad = ~torch.isfinite(states).all(dim=2)
    if not bool(bad.any()):
        return
    raise RecordingError(
        f"the model {model.name} produced NaN or infinite states {_where(bad, batch, model)}; "
        f"nothing of this shard was kept. Its weights are broken or {model.dtype} is too narrow: "
        "try dtype='float32'"
    )


def _require_in_range(states: torch.Tensor, batch: Batch, model: Model) -> None:
    largest = float(np.finfo(np.float16).max)
    magnitude = states.abs().amax(dim=2)
    bad = magnitude > largest
    if bool(bad.any()):
        raise RecordingError(
            f"float16 storage holds magnitudes to {largest:.0f}, and the model {model.name} "
            f"reached {float(magnitude.max()):.6g} {_where(bad, batch, model)}; nothing of this "
            "shard was kept. Use storage='float32' (--storage float32), or leave out the first "
            "tokens, which most often carry such values: positions='skip:1'"
        )

"""Shard of a recording: the unit of parallel work.

A shard is a block of rows with one file. Shards may be recorded in any order, by any process,
repeatedly. The file appears whole or not at all; a shard without one counts as not recorded.

Cost: one forward pass without the LM head over the shard's texts; states leave the device once per
batch. A causal model gets no attention mask: padding stands on the right, and no kept state sees
it. An encoder gets a mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.model.hooks import evaluating, reading
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.recording.job import Job
from transformer_dynamics.recording.plan import Batch
from transformer_dynamics.recording.workers.growing import SPLIT, Growing

Progress = Callable[[int, int], None]
"""Called with the work done and the work in all."""


def shard_states(
    job: Job, shard: int, on_tokens: Callable[[int], None] | None = None
) -> NDArray[Any]:
    """Run a shard's texts and return its states, `(sample, site, unit)`.

    A batch that does not fit into memory is run in halves; `job.splits` holds which shards had one.

    Raises:
        RecordingError: a state is not finite or too large for the storage, or a text does not fit
            into memory; the message names the text and the site.
    """
    rows = job.plan.rows(shard)
    states = np.empty((rows.stop - rows.start, *job.shape[1:]), dtype=job.storage)
    for batch in job.plan.batches(shard):
        for piece, kept in job.splits.run(lambda each: kept_states(job.model, each), batch, shard):
            _require_finite(kept, piece, job.model)
            if job.storage == "float16":
                _require_in_range(kept, piece, job.model)
            states[piece.row - rows.start] = kept.numpy()
            if on_tokens is not None:
                on_tokens(int(piece.lengths.sum()))
    return states


def record_shard(
    job: Job, growing: Growing, shard: int, on_tokens: Callable[[int], None] | None = None
) -> None:
    """Run a shard and publish its file, unless another worker is first.

    Raises:
        RecordingError: writing failed, as on a full disk.
        FileNotFoundError: the recording was closed.
    """
    states = shard_states(job, shard, on_tokens)
    rows, whole = job.file_rows
    try:
        if shard in job.splits.shards:
            growing.note(SPLIT, shard, {"batch_tokens": job.splits.most_tokens})
        growing.publish(shard, states, rows, whole // rows)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RecordingError(
            f"cannot write shard {shard} to {growing.folder} ({error.strerror}); "
            f"{states.nbytes / 1e6:.0f} MB are needed for it. What was recorded before is kept: "
            "make room and run the same command again"
        ) from error


def kept_states(model: Model, batch: Batch) -> torch.Tensor:
    """Kept states of one forward pass in memory, `(kept, site, unit)`, in float32 or float64."""
    computed = torch.float64 if model.dtype == "float64" else torch.float32
    return _batch_states(model, batch).to(device="cpu", dtype=computed)


def _batch_states(model: Model, batch: Batch) -> torch.Tensor:
    """Kept states of one forward pass, on the model's device, `(kept, site, unit)`."""
    sites = model.found_sites
    index = {site.label: place for place, site in enumerate(sites.sites)}
    source, place = torch.as_tensor(batch.source), torch.as_tensor(batch.place)
    if model.device.type != "cpu":
        source, place = source.to(model.device), place.to(model.device)
    shape = (len(batch.row), len(sites.sites), sites.n_units)
    kept = torch.full(shape, torch.nan, dtype=model.hf_model.dtype, device=model.device)

    def keep(label: str, states: torch.Tensor) -> None:
        # Some families flatten (text, position); layers may lie on several devices.
        rows = source.to(states.device), place.to(states.device)
        kept[:, index[label]] = states.reshape(*batch.tokens.shape, -1)[rows].to(kept.device)

    tokens = torch.as_tensor(batch.tokens, device=model.device)
    mask = {}
    if not sites.causal:
        real = np.arange(batch.tokens.shape[1]) < batch.lengths[:, np.newaxis]
        mask["attention_mask"] = torch.as_tensor(real.astype(np.int64), device=model.device)
    with evaluating(model.hf_model), reading(model.trunk, sites.sites, keep):
        model.trunk(input_ids=tokens, use_cache=False, **mask)
    return kept


def _where(bad: torch.Tensor, batch: Batch, model: Model) -> str:
    """Site and text of the first True entry of `bad` `(kept, site)`."""
    row, site = (int(place) for place in bad.nonzero()[0])
    text = int(batch.texts[batch.source[row]])
    return f"at the site {model.sites[site]} for text {text}"


def _require_finite(states: torch.Tensor, batch: Batch, model: Model) -> None:
    # One sum is the cheapest complete test: it is finite unless a state is not, or the sum of
    # finite states overflows, which the exact test below excludes.
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
            "tokens, which most often have such values: positions='skip:1'"
        )

"""Record the residual stream of a model over texts: `td.record(model, texts, out=...)`.

On disk a recording grows in `<out>.partial/` and is renamed to `<out>` when its last shard is
marked, so that a folder of that name is always whole. The same call again, after any interruption,
records the shards that are missing and nothing else; a folder begun with another model, other
texts or other settings is refused, saying what differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
import transformers
import xarray as xr

import transformer_dynamics
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.files import make_folder, read_json, remove_folder, write_json
from transformer_dynamics.models import Model
from transformer_dynamics.recording import recording as recordings
from transformer_dynamics.recording.plan import Plan, fit, make_plan, tokenise
from transformer_dynamics.recording.recording import Recording, open_recording
from transformer_dynamics.recording.shards import (
    MARKERS,
    STORE,
    Job,
    Progress,
    is_recorded,
    record_shard,
    shard_states,
)

SHARD_SAMPLES = 256
# On two cores the forward pass is fastest with batches that stay within the cache; a GPU wants
# far more work at once.
BATCH_TOKENS = {"cpu": 2048, "cuda": 32768}


def record(
    model: Model,
    texts: Sequence[str] | Sequence[Sequence[int]],
    positions: str = "last",
    *,
    out: str | Path | None = None,
    bos: str = "tokenizer",
    too_long: str = "refuse",
    batch_tokens: int | None = None,
    shard_samples: int = SHARD_SAMPLES,
    on_progress: Progress | None = None,
) -> Recording:
    """Record the residual stream at every site.

    Args:
        model: what `td.load_model` returns.
        texts: strings, or lists of token ids.
        positions: `"last"` keeps the last token of each text, `"all"` every token.
        out: a folder ending in `.zarr` to be made; without it the recording stays in memory.
        bos: whether texts get a begin token: the `"tokenizer"`'s own rule, `"always"`, `"never"`.
        too_long: what to do with a text longer than the context: `"refuse"` or `"truncate"`.
        batch_tokens: tokens in one forward pass, padding included; by default by device.
        shard_samples: rows per shard, the unit of resuming; rounded up to whole chunks.
        on_progress: called with tokens done and tokens in all.

    Returns:
        A recording `(sample, site, unit)`, samples in the order of the texts.

    Raises:
        RecordingError: no usable texts, states that are not finite, a folder begun with something
            else, or one that another process is writing.
    """
    job = make_job(
        model,
        texts,
        positions,
        bos=bos,
        too_long=too_long,
        batch_tokens=batch_tokens,
        shard_samples=shard_samples,
    )
    strings = [text for text in texts if isinstance(text, str)] or _decoded(model, job.plan)
    source = {"source": getattr(texts, "source", "given"), **getattr(texts, "selection", {})}
    template = _template(job, strings, source)
    report = _Tally(job.plan, on_progress)
    if out is None:
        pieces = [shard_states(job, shard, report.add) for shard in range(job.plan.n_shards)]
        return Recording(template.assign(activation=(recordings.DIMS, np.concatenate(pieces))))
    return _record_to_disk(job, template, Path(out), report)


def make_job(
    model: Model,
    texts: Sequence[str] | Sequence[Sequence[int]],
    positions: str = "last",
    *,
    bos: str = "tokenizer",
    too_long: str = "refuse",
    batch_tokens: int | None = None,
    shard_samples: int = SHARD_SAMPLES,
) -> Job:
    """Settle everything about a recording before the first forward pass."""
    if len(texts) == 0:
        raise RecordingError("got no texts; td.record(model, texts) needs at least one")
    if shard_samples < 1 or (batch_tokens is not None and batch_tokens < 1):
        raise RecordingError(
            f"got shard_samples={shard_samples}, batch_tokens={batch_tokens}; both are at least 1"
        )
    strings = [text for text in texts if isinstance(text, str)]
    if strings and len(strings) < len(texts):
        raise RecordingError(
            f"got {len(strings)} strings among {len(texts)} texts; give all texts as strings or "
            "all as lists of token ids"
        )
    if strings:
        token_lists = tokenise(
            model.tokenizer,
            strings,
            bos=bos,
            context_length=model.context_length,
            too_long=too_long,
        )
    else:
        given = [[int(token) for token in text] for text in texts]
        token_lists = fit(given, context_length=model.context_length, too_long=too_long)
    sites = model.found_sites
    itemsize = 8 if model.dtype == "float64" else 4
    rows = min(shard_samples, recordings.chunk_rows(len(sites.sites), sites.n_units, itemsize))
    plan = make_plan(
        token_lists,
        positions=positions,
        chunk_rows=rows,
        shard_rows=-(-shard_samples // rows) * rows,
        batch_tokens=batch_tokens or BATCH_TOKENS.get(model.device.type, 2048),
    )
    return Job(model, plan, _settings(model, plan, positions, bos))


def _settings(model: Model, plan: Plan, positions: str, bos: str) -> dict[str, Any]:
    """Everything that the states depend on; two recordings with equal settings are equal."""
    return {
        "model": model.name,
        "architecture": type(model.hf_model).__name__,
        "weights": model.weight_hash,
        "dtype": model.dtype,
        "device": model.device.type,
        "attention": model.attention_implementation,
        "sites": list(model.sites),
        "tokens": plan.token_hash,
        "n_texts": len(plan.token_lists),
        "positions": positions,
        "bos": bos,
        "batch_tokens": plan.batch_tokens,
        "shard_rows": plan.shard_rows,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "transformer_dynamics": transformer_dynamics.__version__,
    }


def _template(job: Job, strings: Sequence[str], source: Mapping[str, Any]) -> xr.Dataset:
    """Everything of the recording but the states."""
    plan, tokenizer = job.plan, job.model.tokenizer
    token_ids = np.array(
        [
            plan.token_lists[text][place]
            for text, place in zip(plan.text, plan.position, strict=True)
        ]
    )
    names = {
        token: str(token) if tokenizer is None else _storable(tokenizer.decode([int(token)]))
        for token in np.unique(token_ids)
    }
    stored = [_storable(text) for text in strings]
    digest = hashlib.sha256("\0".join(stored).encode()).hexdigest()
    return xr.Dataset(
        {
            "text_string": ("text_index", np.array(stored, dtype=object)),
            "n_tokens": ("text_index", np.array([len(ids) for ids in plan.token_lists])),
            "input_id": ("input", np.concatenate([np.array(ids) for ids in plan.token_lists])),
        },
        coords={
            **recordings.site_coords(job.model.sites),
            "text": ("sample", plan.text),
            "position": ("sample", plan.position),
            "token_id": ("sample", token_ids),
            "token": ("sample", np.array([names[token] for token in token_ids], dtype=object)),
        },
        attrs={
            "format": recordings.FORMAT,
            "provenance": {
                **job.settings,
                "origin": job.model.provenance,
                "texts": dict(source),
                "texts_sha256": digest,
            },
        },
    )


def _record_to_disk(job: Job, template: xr.Dataset, out: Path, report: _Tally) -> Recording:
    if out.suffix != ".zarr":
        raise RecordingError(f"got out={str(out)!r}; a recording's folder ends in .zarr")
    make_folder(out.parent)
    folder = out.with_name(out.name + ".partial")
    with _only_writer(out):
        if out.exists():
            finished = open_recording(out)
            _require_same(job.settings, finished.provenance, out)
            remove_folder(folder)
            return finished
        _begin(job, template, folder)
        for shard in range(job.plan.n_shards):
            if is_recorded(folder, shard):
                report.add(job.plan.n_tokens(shard))
            else:
                record_shard(job, folder, shard, report.add)
        (folder / STORE).rename(out)
        remove_folder(folder)
    return open_recording(out)


def _begin(job: Job, template: xr.Dataset, folder: Path) -> None:
    """Lay out the store, or make sure that the one begun is of the same recording."""
    begun = read_json(folder / "settings.json")
    if begun is not None:
        _require_same(job.settings, begun, folder)
        return
    remove_folder(folder)
    make_folder(folder / MARKERS)
    # The states get their place without being written; a row that never is reads as NaN.
    template.to_zarr(folder / STORE, mode="w", consolidated=False)
    shape = (job.plan.n_rows, len(job.model.sites), job.model.found_sites.n_units)
    recordings.create_states(folder / STORE, shape, job.storage_dtype, job.plan.chunk_rows)
    write_json(folder / "settings.json", job.settings)


def _require_same(wanted: Mapping[str, Any], found: Mapping[str, Any], where: Path) -> None:
    differing = [key for key in wanted if wanted[key] != found.get(key)]
    if differing:
        details = "; ".join(
            f"{key}: {_short(found.get(key))} there, {_short(wanted[key])} now" for key in differing
        )
        raise RecordingError(
            f"{where} holds a recording made otherwise ({details}); give another folder with out=, "
            "or delete that one"
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


@contextmanager
def _only_writer(out: Path) -> Iterator[None]:
    """Hold the folder; the operating system frees it however the process ends."""
    lock = filelock.FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise RecordingError(
            f"another process is recording to {out}; wait for it, or give another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


class _Tally:
    """Adds up tokens and tells whoever asked to be told."""

    def __init__(self, plan: Plan, on_progress: Progress | None) -> None:
        self._total = sum(plan.n_tokens(shard) for shard in range(plan.n_shards))
        self._done = 0
        self._on_progress = on_progress

    def add(self, n_tokens: int) -> None:
        self._done += n_tokens
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)


def _decoded(model: Model, plan: Plan) -> list[str]:
    if model.tokenizer is None:
        return [" ".join(map(str, ids)) for ids in plan.token_lists]
    return [model.tokenizer.decode(list(ids)) for ids in plan.token_lists]


def _storable(text: str) -> str:
    """Text as UTF-8 can hold it: lone surrogates become question marks."""
    return text.encode("utf-8", errors="replace").decode("utf-8")

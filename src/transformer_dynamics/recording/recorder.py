"""Record the residual stream of a model over texts: `td.record(model, texts, out=...)`.

What is kept are the states themselves, or (`keep="moments"`) streaming moments of them, which take
the same space whatever the number of samples. How a recording grows on disk is in `store`.

Cost: the forward pass without the LM head, and one copy of what is kept.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
import transformers
import xarray as xr
from numpy.typing import NDArray

import transformer_dynamics
from transformer_dynamics.attributes import plain_attributes
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.models import Model
from transformer_dynamics.recording import recording as recordings
from transformer_dynamics.recording.moments import Moments
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.plan import Plan, make_plan
from transformer_dynamics.recording.positions import Positions, kept_positions, name_of
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.recording.shards import Job, Progress, shard_states
from transformer_dynamics.recording.store import record_to_disk
from transformer_dynamics.recording.stream import stream_moments
from transformer_dynamics.recording.windows import Window, fit, windows
from transformer_dynamics.tokens import storable, tokenise

SHARD_SAMPLES = 256
# With many rows to a text, a shard is as large as this, so that few texts lie in two shards and
# run twice.
SHARD_BYTES = 256 * 2**20
# On two cores the forward pass is fastest with batches that stay within the cache; a GPU wants
# far more work at once.
BATCH_TOKENS = {"cpu": 2048, "cuda": 32768}
KEEP = ("states", "moments")


@overload
def record(
    model: Model,
    texts: Sequence[str] | Sequence[Sequence[int]],
    positions: Positions = "last",
    *,
    out: str | Path | None = None,
    keep: Literal["states"] = "states",
    options: RecordingOptions | None = None,
    on_progress: Progress | None = None,
) -> Recording: ...


@overload
def record(
    model: Model,
    texts: Sequence[str] | Sequence[Sequence[int]],
    positions: Positions = "last",
    *,
    out: str | Path | None = None,
    keep: Literal["moments"],
    options: RecordingOptions | None = None,
    on_progress: Progress | None = None,
) -> Moments: ...


def record(
    model: Model,
    texts: Sequence[str] | Sequence[Sequence[int]],
    positions: Positions = "last",
    *,
    out: str | Path | None = None,
    keep: str = "states",
    options: RecordingOptions | None = None,
    on_progress: Progress | None = None,
) -> Recording | Moments:
    """Record the residual stream at every site.

    Args:
        model: what `td.load_model` returns.
        texts: strings, or lists of token ids.
        positions: `"last"` keeps the last token of each text, `"all"` every token, `"skip:4"` all
            but the first four, `"random:8"` eight of each text; or a function from the token ids of
            a text to a boolean mask, or a list of positions for each text.
        out: a folder ending in `.zarr` to be made; without it the result stays in memory.
        keep: `"states"`, or `"moments"` of them alone.
        options: everything else; see `td.RecordingOptions`.
        on_progress: called with tokens done and tokens in all.

    Returns:
        A recording `(sample, site, unit)`, samples in the order of the texts and their positions;
        or its moments.

    Raises:
        RecordingError: no usable texts, states that are not finite, a folder begun with something
            else, or one that another process is writing.

    Warns:
        UserWarning: texts of which no position is kept, once, with their number.
    """
    if keep not in KEEP:
        raise RecordingError(
            f"got keep={keep!r}; allowed are {', '.join(KEEP)}: td.record(model, texts, "
            "keep='moments')"
        )
    options = options or RecordingOptions()
    job = make_job(model, texts, positions, options, keep=keep)
    _warn_of_left_out(job.plan)
    tally = _Tally(job.plan, on_progress)
    target = None if out is None else Path(out)
    template = _template(job, texts)
    if keep == "moments":
        return stream_moments(job, template, options, target, tally.add)
    if target is not None:
        return record_to_disk(job, template, target, tally.add)
    states = np.empty(job.shape, dtype=job.storage)
    for shard in range(job.plan.n_shards):
        states[job.plan.rows(shard)] = shard_states(job, shard, tally.add)
    return Recording(template.assign(activation=(recordings.DIMS, states)))


def make_job(
    model: Model,
    texts: Sequence[str] | Sequence[Sequence[int]],
    positions: Positions = "last",
    options: RecordingOptions | None = None,
    *,
    keep: str = "states",
) -> Job:
    """Settle everything about a recording before the first forward pass."""
    options = options or RecordingOptions()
    token_lists = _token_lists(model, texts, options)
    kept = kept_positions(positions, token_lists, options.seed)
    sites = model.found_sites
    exact = "float64" if model.dtype == "float64" else "float32"
    storage = exact if options.storage == "auto" else options.storage
    itemsize = np.dtype(storage).itemsize
    row_bytes = len(sites.sites) * sites.n_units * itemsize
    shard_samples = options.shard_samples or _shard_samples(kept, row_bytes)
    chunk_rows = min(
        shard_samples, recordings.chunk_rows(len(sites.sites), sites.n_units, itemsize)
    )
    plan = make_plan(
        token_lists,
        _windows(model, token_lists, options),
        kept,
        shard_rows=-(-shard_samples // chunk_rows) * chunk_rows,
        batch_tokens=options.batch_tokens or BATCH_TOKENS.get(model.device.type, 2048),
    )
    settings = _settings(model, plan, positions, options, storage)
    if keep == "moments":
        settings |= {"keep": keep, "covariance": options.covariance}
    return Job(model, plan, chunk_rows, storage, settings)


def _token_lists(
    model: Model, texts: Sequence[str] | Sequence[Sequence[int]], options: RecordingOptions
) -> list[list[int]]:
    if len(texts) == 0:
        raise RecordingError("got no texts; td.record(model, texts) needs at least one")
    strings = [text for text in texts if isinstance(text, str)]
    if strings and len(strings) < len(texts):
        raise RecordingError(
            f"got {len(strings)} strings among {len(texts)} texts; give all texts as strings or "
            "all as lists of token ids"
        )
    if strings:
        token_lists = tokenise(model.tokenizer, strings, options.bos)
    else:
        token_lists = [[int(token) for token in text] for text in texts]
    for index, tokens in enumerate(token_lists):
        if not tokens:
            raise RecordingError(f"text {index} has no tokens; leave empty texts out")
    return fit(token_lists, context_length=model.context_length, too_long=options.too_long)


def _windows(
    model: Model, token_lists: Sequence[Sequence[int]], options: RecordingOptions
) -> list[Window]:
    length = model.context_length if options.too_long == "window" else None
    return windows(token_lists, length, getattr(model.tokenizer, "bos_token_id", None))


def _shard_samples(kept: Sequence[NDArray[np.int64]], row_bytes: int) -> int:
    if max(map(len, kept)) <= 1:
        return SHARD_SAMPLES
    return max(SHARD_SAMPLES, SHARD_BYTES // row_bytes)


def _settings(
    model: Model, plan: Plan, positions: Positions, options: RecordingOptions, storage: str
) -> dict[str, Any]:
    """Everything that the states depend on; two recordings with equal settings are equal."""
    return {
        "model": model.name,
        "architecture": type(model.hf_model).__name__,
        "weights": model.weight_hash,
        "dtype": model.dtype,
        "device": model.placement,
        "attention": model.attention_implementation,
        "sites": list(model.sites),
        "tokens": plan.token_hash,
        "n_texts": len(plan.token_lists),
        "positions": name_of(positions),
        "rows": plan.row_hash,
        "seed": options.seed,
        "bos": options.bos,
        "too_long": options.too_long,
        "storage": storage,
        "batch_tokens": plan.batch_tokens,
        "shard_rows": plan.shard_rows,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "transformer_dynamics": transformer_dynamics.__version__,
    }


def _template(job: Job, texts: Sequence[str] | Sequence[Sequence[int]]) -> xr.Dataset:
    """Everything of the recording but the states."""
    plan, tokenizer = job.plan, job.model.tokenizer
    strings = [text for text in texts if isinstance(text, str)] or _decoded(job.model, plan)
    tokens = np.concatenate([np.array(ids) for ids in plan.token_lists])
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids in plan.token_lists])])
    token_ids = tokens[starts[plan.text] + plan.position]
    names = {
        token: str(token) if tokenizer is None else storable(tokenizer.decode([int(token)]))
        for token in np.unique(token_ids)
    }
    stored = [storable(text) for text in strings]
    source: Mapping[str, Any] = {
        "source": getattr(texts, "source", "given"),
        **getattr(texts, "selection", {}),
    }
    return xr.Dataset(
        {
            "text_string": ("text_index", np.array(stored, dtype=object)),
            "n_tokens": ("text_index", np.array([len(ids) for ids in plan.token_lists])),
            "input_id": ("input", tokens),
        },
        coords={
            **recordings.site_coords(job.model.sites),
            "text": ("sample", plan.text),
            "position": ("sample", plan.position),
            "token_id": ("sample", token_ids),
            "token": ("sample", np.array([names[token] for token in token_ids], dtype=object)),
        },
        attrs=plain_attributes(
            {
                "format": recordings.FORMAT,
                "provenance": {
                    **job.settings,
                    "origin": job.model.provenance,
                    "texts": dict(source),
                    "texts_sha256": hashlib.sha256("\0".join(stored).encode()).hexdigest(),
                },
            }
        ),
    )


def _decoded(model: Model, plan: Plan) -> list[str]:
    if model.tokenizer is None:
        return [" ".join(map(str, ids)) for ids in plan.token_lists]
    return [model.tokenizer.decode(list(ids)) for ids in plan.token_lists]


def _warn_of_left_out(plan: Plan) -> None:
    left_out = len(plan.token_lists) - len(np.unique(plan.text))
    if left_out:
        warnings.warn(
            f"{left_out} of {len(plan.token_lists)} texts have no position that is kept and give "
            "no sample",
            UserWarning,
            stacklevel=3,
        )


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

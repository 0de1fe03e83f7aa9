"""Record the residual stream of a model over texts: `td.record(model, texts, out=...)`.

What is kept are the states themselves, or (`keep="moments"`) streaming moments of them, which take
the same space whatever the number of samples. How a recording grows on disk is in `store`.

Cost: the forward pass without the LM head, and one copy of what is kept.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
import transformers
import xarray as xr
from numpy.typing import NDArray

import transformer_dynamics
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.model.loading import as_model
from transformer_dynamics.recording import recording as recordings
from transformer_dynamics.recording.disk.chunks import DIMS
from transformer_dynamics.recording.disk.shards import Job, Progress, shard_states
from transformer_dynamics.recording.disk.store import record_to_disk
from transformer_dynamics.recording.fingerprint import state_fingerprint
from transformer_dynamics.recording.groups import checked_groups, group_variable, groups_sha256
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.moments.streaming import stream_moments
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.plan import Plan, make_plan
from transformer_dynamics.recording.positions import Positions, kept_positions, name_of
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.recording.windows import Window, fit, windows
from transformer_dynamics.storage.attributes import plain_attributes
from transformer_dynamics.storage.files import local_path
from transformer_dynamics.texts.inputs import Inputs
from transformer_dynamics.texts.tokenization import special_ids, storable

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
    model: Any,
    texts: Any,
    positions: Positions = "last",
    *,
    out: str | Path | None = None,
    keep: Literal["states"] = "states",
    options: RecordingOptions | None = None,
    on_progress: Progress | None = None,
    groups: Sequence[Any] | None = None,
) -> Recording: ...


@overload
def record(
    model: Any,
    texts: Any,
    positions: Positions = "last",
    *,
    out: str | Path | None = None,
    keep: Literal["moments"],
    options: RecordingOptions | None = None,
    on_progress: Progress | None = None,
    groups: Sequence[Any] | None = None,
) -> Moments: ...


def record(
    model: Any,
    texts: Any,
    positions: Positions = "last",
    *,
    out: str | Path | None = None,
    keep: str = "states",
    options: RecordingOptions | None = None,
    on_progress: Progress | None = None,
    groups: Sequence[Any] | None = None,
) -> Recording | Moments:
    """Record the residual stream at every site.

    Args:
        model: a `td.Model`, or anything that `td.load_model` takes.
        texts: strings, token ids, the encoding of a tokenizer (padding goes by its attention mask)
            or chats (the tokenizer's template is applied); one or many, also from a generator.
        positions: `"last"` keeps the last token of each text, `"last_content"` the last one that is
            no special token, `"all"` every token, `"skip:4"` all but the first four, `"random:8"`
            eight of each text; or a function from the token ids of a text to a boolean mask, or a
            list of positions or a mask for each text.
        out: a folder ending in `.zarr` to be made; without it the result stays in memory.
        keep: `"states"`, or `"moments"` of them alone.
        options: everything else; see `td.RecordingOptions`.
        on_progress: called with tokens done and tokens in all.
        groups: one for each text, texts of one group resembling each other; intervals and splits
            go by group. By default those that `td.load_texts` found.

    Returns:
        A recording `(sample, site, unit)`, samples in the order of the texts and their positions;
        or its moments.

    Raises:
        RecordingError: no usable texts, states that are not finite, a folder begun with another
            model, other texts or other settings, or one that another process is writing.
        ModelError: the model cannot be loaded, or its stream cannot be found.

    Warns:
        UserWarning: texts of which no position is kept, once, with their number; the last token of
            every text is one and the same special token.
    """
    if keep not in KEEP:
        raise RecordingError(
            f"got keep={keep!r}; allowed are {', '.join(KEEP)}: td.record(model, texts, "
            "keep='moments')"
        )
    options = options or RecordingOptions()
    target = None if out is None else local_path(out, RecordingError)
    known = as_model(model)
    inputs = known.inputs(texts, bos=options.bos)
    if groups is not None:
        inputs = replace(inputs, groups=checked_groups(groups, len(inputs.token_lists)))
    job = make_job(known, inputs, positions, options, keep=keep)
    _warn_of_left_out(job.plan)
    _warn_of_special_tokens(job, positions)
    tally = _Tally(job.plan, on_progress)
    template = _template(job, inputs)
    if keep == "moments":
        return stream_moments(job, template, options, target, tally.add)
    if target is not None:
        return record_to_disk(job, template, target, tally.add)
    states = np.empty(job.shape, dtype=job.storage)
    for shard in range(job.plan.n_shards):
        states[job.plan.rows(shard)] = shard_states(job, shard, tally.add)
    return Recording(template.assign(activation=(DIMS, states)))


def make_job(
    model: Model,
    texts: Any,
    positions: Positions = "last",
    options: RecordingOptions | None = None,
    *,
    keep: str = "states",
) -> Job:
    """Settle everything about a recording before the first shard."""
    options = options or RecordingOptions()
    inputs = model.inputs(texts, bos=options.bos)
    token_lists = _token_lists(model, inputs, options)
    kept = kept_positions(positions, token_lists, options.seed, special_ids(model.tokenizer))
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
        batch_tokens=_batch_tokens(model, options),
    )
    settings = _settings(model, plan, positions, options, storage)
    if keep == "moments":  # which no group enters
        settings |= {"keep": keep, "covariance": options.covariance}
    elif inputs.groups is not None:
        settings |= {"groups": groups_sha256(inputs.groups)}
    return Job(model, plan, chunk_rows, storage, settings)


def _batch_tokens(model: Model, options: RecordingOptions) -> int:
    """Tokens in a batch; one text at a time where texts of a batch would change each other."""
    if not model.found_sites.independent:
        return 1
    return options.batch_tokens or BATCH_TOKENS.get(model.device.type, 2048)


def _token_lists(model: Model, inputs: Inputs, options: RecordingOptions) -> list[list[int]]:
    for index, tokens in enumerate(inputs.token_lists):
        if not tokens:
            raise RecordingError(f"text {index} has no tokens; leave empty texts out")
    return fit(inputs.token_lists, context_length=model.context_length, too_long=options.too_long)


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
    """Everything that the states depend on; two recordings with equal settings are equal.

    Of the fingerprint a rounding error is allowed to differ.
    """
    return {
        "model": model.name,
        **model.computation,
        "sites": list(model.sites),
        "fingerprint": state_fingerprint(model, plan.windows),
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


def _template(job: Job, inputs: Inputs) -> xr.Dataset:
    """Everything of the recording but the states."""
    plan, tokenizer = job.plan, job.model.tokenizer
    strings = inputs.strings or decoded(job.model, plan.token_lists)
    tokens = np.concatenate([np.array(ids) for ids in plan.token_lists])
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids in plan.token_lists])])
    token_ids = tokens[starts[plan.text] + plan.position]
    names = {
        token: str(token) if tokenizer is None else storable(tokenizer.decode([int(token)]))
        for token in np.unique(token_ids)
    }
    stored = [storable(text) for text in strings]
    source: Mapping[str, Any] = {"source": inputs.source, **inputs.selection}
    return xr.Dataset(
        {
            "text_string": ("text_index", np.array(stored, dtype=object)),
            "n_tokens": ("text_index", np.array([len(ids) for ids in plan.token_lists])),
            "input_id": ("input", tokens),
            **group_variable(inputs.groups),
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


def decoded(model: Model, token_lists: Sequence[Sequence[int]]) -> list[str]:
    """Token ids as strings; the ids themselves where there is no tokenizer."""
    if model.tokenizer is None:
        return [" ".join(map(str, ids)) for ids in token_lists]
    return [model.tokenizer.decode(list(ids)) for ids in token_lists]


def _warn_of_left_out(plan: Plan) -> None:
    left_out = len(plan.token_lists) - len(np.unique(plan.text))
    if left_out:
        warnings.warn(
            f"{left_out} of {len(plan.token_lists)} texts have no position that is kept and give "
            "no sample",
            UserWarning,
            stacklevel=3,
        )


def _warn_of_special_tokens(job: Job, positions: Positions) -> None:
    last = {ids[-1] for ids in job.plan.token_lists}
    if positions != "last" or len(last) > 1 or not last <= special_ids(job.model.tokenizer):
        return
    (token,) = last
    warnings.warn(
        f"every text ends in the same special token {job.model.tokenizer.decode([token])!r}, whose "
        "states are recorded; for the last token before it: positions='last_content'",
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

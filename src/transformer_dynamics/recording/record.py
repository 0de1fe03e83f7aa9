"""Record the residual stream of a model over texts: `td.record(model, texts, out=...)`.

A recording holds the states, or (`keep="moments"`) streaming moments of them, whose size does not
depend on the number of samples. Module `disk.store` describes how a recording grows on disk.

Cost: the forward pass without the LM head, and one copy of what is kept.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack, overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.model.loading import as_model
from transformer_dynamics.numerics.parallel import Workers, client_of
from transformer_dynamics.recording.disk.chunks import DIMS
from transformer_dynamics.recording.disk.shards import Progress, shard_states
from transformer_dynamics.recording.disk.splitting import split_provenance
from transformer_dynamics.recording.disk.store import begin, record_to_disk
from transformer_dynamics.recording.groups import checked_groups, group_variable
from transformer_dynamics.recording.job import Job, make_job
from transformer_dynamics.recording.labels import site_coords
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.moments.streaming import stream_moments
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.plan import Plan
from transformer_dynamics.recording.positions import Positions
from transformer_dynamics.recording.recording import FORMAT, Recording
from transformer_dynamics.recording.workers.on_dask import OnWorkers, Recipe
from transformer_dynamics.recording.workers.outline import Outline
from transformer_dynamics.recording.workers.worker import Count
from transformer_dynamics.storage.attributes import attribute, plain_attributes
from transformer_dynamics.storage.files import local_path
from transformer_dynamics.texts.inputs import Inputs
from transformer_dynamics.texts.tokenization import special_ids, storable

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
    **workers: Unpack[Workers],
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
    **workers: Unpack[Workers],
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
    **workers: Unpack[Workers],
) -> Recording | Moments:
    """Record the residual stream at every site.

    Args:
        model: A `td.Model`, or anything that `td.load_model` takes.
        texts: One or several strings, token ids, encodings of a tokenizer (the attention mask marks
            padding) or chats (the tokenizer's template is applied), also from a generator.
        positions: `"last"` keeps the last token of each text, `"last_content"` the last one that is
            no special token, `"all"` every token, `"skip:4"` all but the first four, `"random:8"`
            eight of each text; or a function from the token ids of a text to a boolean mask, or a
            list of positions or a mask for each text.
        out: Folder ending in `.zarr`; without it the result stays in memory. Several processes that
            make the same call, on any machines that see the folder, share the work.
        keep: `"states"`, or `"moments"` of them alone.
        options: Further options; see `td.RecordingOptions`.
        on_progress: Called with the number of tokens done and in all.
        groups: Group of each text; texts of a group resemble each other, and intervals and splits
            are by group. By default the groups that `td.load_texts` found.
        workers: `client=client`, a Dask client whose workers run the model, each with its own copy,
            and write the states to `out`, which they must see. Moments are added up as a tree.

    Returns:
        A recording `(sample, site, unit)`, samples in the order of the texts and their positions;
        or its moments.

    Raises:
        RecordingError: no usable texts, states that are not finite, a text that does not fit into
            memory, a folder begun with another model, other texts or other settings, moments that
            another process writes, workers without `out` or that compute other states.
        ModelError: the model cannot be loaded, or its stream cannot be found.

    Warns:
        UserWarning: number of texts without a kept position; all texts end in one special token; a
            batch that does not fit into memory and runs in halves, with the same states up to
            rounding (`split_batches` in the provenance names the shards).
    """
    client, options = client_of("record", workers), options or RecordingOptions()
    model = as_model(model)
    inputs = _inputs(model, texts, options, groups)
    job, template = prepare(model, inputs, positions, options, keep)
    count, target = _Tally(job.plan, on_progress).add, _target(out)
    if client is not None:
        recipe = Recipe.of(job, inputs, positions, options, keep)
        return OnWorkers(client, recipe, job, template, count).run(target)
    if keep == "moments":
        return stream_moments(job, template, options, target, count)
    if target is not None:
        return record_to_disk(job, template, target, count, repair=True)
    return _in_memory(job, template, count)


def _target(out: str | Path | None) -> Path | None:
    return None if out is None else local_path(out, RecordingError)


def _in_memory(job: Job, template: xr.Dataset, count: Count) -> Recording:
    states = np.empty(job.shape, dtype=job.storage)
    for shard in range(job.plan.n_shards):
        states[job.plan.rows(shard)] = shard_states(job, shard, count)
    return Recording(_with_splits(template, job).assign(activation=(DIMS, states)))


def begin_recording(
    model: Any,
    texts: Any,
    positions: Positions = "last",
    *,
    out: str | Path,
    options: RecordingOptions | None = None,
    groups: Sequence[Any] | None = None,
) -> Outline:
    """Begin the folder of a recording of states, to which workers then add.

    Args:
        model: As in `record`, as are all arguments.
        texts: Texts.
        positions: Kept positions.
        out: Folder of the recording, ending in `.zarr`.
        options: Further options.
        groups: Group of each text.

    Returns:
        Sizes of the recording.

    Raises:
        RecordingError: as `record` raises it.
    """
    options = options or RecordingOptions()
    job, template = prepare(as_model(model), texts, positions, options, groups=groups)
    begin(job, template, local_path(out, RecordingError))
    return job.outline


def join_recording(
    model: Any,
    texts: Any,
    positions: Positions = "last",
    *,
    out: str | Path,
    options: RecordingOptions | None = None,
    on_progress: Progress | None = None,
    groups: Sequence[Any] | None = None,
) -> Recording:
    """Record shards as one of many workers, until all are recorded by this one or by others.

    As `record` with `out`, but a finished recording is opened without reading it whole.

    Args:
        model: As in `record`, as are all arguments.
        texts: Texts.
        positions: Kept positions.
        out: Folder of the recording, ending in `.zarr`.
        options: Further options.
        on_progress: Called with the number of tokens done and in all.
        groups: Group of each text.

    Raises:
        RecordingError: as `record` raises it.
    """
    options = options or RecordingOptions()
    job, template = prepare(as_model(model), texts, positions, options, groups=groups)
    target = local_path(out, RecordingError)
    count = _Tally(job.plan, on_progress).add
    return record_to_disk(job, template, target, count, repair=False)


def prepare(
    model: Model,
    texts: Any,
    positions: Positions,
    options: RecordingOptions,
    keep: str = "states",
    groups: Sequence[Any] | None = None,
) -> tuple[Job, xr.Dataset]:
    """Fix a recording: its job, and its labels and provenance without the states.

    Raises:
        RecordingError: as `record`.
    """
    if keep not in KEEP:
        raise RecordingError(
            f"got keep={keep!r}; allowed are {', '.join(KEEP)}: td.record(model, texts, "
            "keep='moments')"
        )
    inputs = _inputs(model, texts, options, groups)
    job = make_job(model, inputs, positions, options, keep=keep)
    _warn_of_left_out(job.plan)
    _warn_of_special_tokens(job, positions)
    return job, _template(job, inputs)


def _inputs(
    model: Model, texts: Any, options: RecordingOptions, groups: Sequence[Any] | None
) -> Inputs:
    inputs = model.inputs(texts, bos=options.bos)
    if groups is None:
        return inputs
    return replace(inputs, groups=checked_groups(groups, len(inputs.token_lists)))


def _template(job: Job, inputs: Inputs) -> xr.Dataset:
    """Labels and provenance of the recording, without the states."""
    plan = job.plan
    strings = [storable(text) for text in inputs.strings or decoded(job.model, plan.token_lists)]
    tokens = np.concatenate([np.array(ids) for ids in plan.token_lists])
    provenance = {
        **job.settings,
        "origin": job.model.provenance,
        "texts": {"source": inputs.source, **inputs.selection},
        "texts_sha256": hashlib.sha256("\0".join(strings).encode()).hexdigest(),
    }
    return xr.Dataset(
        {
            "text_string": ("text_index", np.array(strings, dtype=object)),
            "n_tokens": ("text_index", np.array([len(ids) for ids in plan.token_lists])),
            "input_id": ("input", tokens),
            **group_variable(inputs.groups),
        },
        coords={**site_coords(job.model.sites), **_sample_coords(job, tokens)},
        attrs=plain_attributes({"format": FORMAT, "provenance": provenance}),
    )


def _with_splits(template: xr.Dataset, job: Job) -> xr.Dataset:
    """Note in the provenance which batches were split because memory did not suffice."""
    notes = dict.fromkeys(job.splits.shards, job.splits.most_tokens or 0)
    provenance = attribute(template, "provenance") | split_provenance(notes)
    return template.assign_attrs(plain_attributes({"provenance": provenance}))


def _sample_coords(job: Job, tokens: NDArray[np.int64]) -> dict[str, Any]:
    """Text, position, token id and token along `sample`; `tokens` joins those of all texts."""
    plan, tokenizer = job.plan, job.model.tokenizer
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids in plan.token_lists])])
    token_ids = tokens[starts[plan.text] + plan.position]
    names = {
        token: str(token) if tokenizer is None else storable(tokenizer.decode([int(token)]))
        for token in np.unique(token_ids)
    }
    return {
        "text": ("sample", plan.text),
        "position": ("sample", plan.position),
        "token_id": ("sample", token_ids),
        "token": ("sample", np.array([names[token] for token in token_ids], dtype=object)),
    }


def decoded(model: Model, token_lists: Sequence[Sequence[int]]) -> list[str]:
    """Decode token ids to strings; without a tokenizer the strings list the ids."""
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
            stacklevel=4,
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
        stacklevel=4,
    )


class _Tally:
    """Count of the tokens done, reported to `on_progress`."""

    def __init__(self, plan: Plan, on_progress: Progress | None) -> None:
        self._total = sum(plan.n_tokens(shard) for shard in range(plan.n_shards))
        self._done = 0
        self._on_progress = on_progress

    def add(self, n_tokens: int) -> None:
        self._done += n_tokens
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)

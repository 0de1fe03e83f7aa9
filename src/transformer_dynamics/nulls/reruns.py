"""Nulls that run a model: its untrained twins, and its own texts with their tokens shuffled.

Both run the texts of the recording's samples and give a recording with the same samples and sites
in the same order, whatever was selected from it. Cost: one recording of those texts each.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, RecordingError
from transformer_dynamics.recording.groups import group_variable
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import null

if TYPE_CHECKING:
    from transformer_dynamics.model.loading import Model


# Twins of different calls run the same texts, so that they can be reused and compared.
TEXTS_SEED = 0


@null(
    "untrained",
    keeps="architecture, texts",
    destroys="learning",
    needs_model=True,
)
def untrained(
    recording: Recording, *, model: Model, seed: int = 0, out: str | Path | None = None, **how: Any
) -> Recording:
    """The recording that the same architecture gives with its weights as initialized.

    Args:
        recording: a recording of `model`.
        model: the trained model.
        seed: of the initialization.
        out: where to record to; in memory without it.
        how: `options` and `on_progress`, as `td.record` takes them.
    """
    from transformer_dynamics.model.loading import as_model

    twin = as_model(model).untrained_twin(seed)
    return _rerun(recording, twin, token_lists(recording), out, how)


def untrained_twins(
    recording: Recording,
    *,
    model: Model,
    seeds: Sequence[int] = range(8),
    n_texts: int | None = 128,
    out: str | Path | None = None,
    **how: Any,
) -> list[Recording]:
    """Recordings of several untrained twins over the same texts, as a null distribution.

    With more than `n_texts` texts in the recording, all twins run one and the same random choice of
    them. Samples pair with those of the recording by text and position, and keep its order.

    Args:
        recording: a recording of `model`.
        model: the trained model.
        seeds: of the initializations, one per twin.
        n_texts: how many texts at most; all of them with `None`.
        out: a folder that receives `untrained-<seed>.zarr` for every twin; a twin recorded there
            before is opened. In memory without it.
        how: `options` and `on_progress`, as `td.record` takes them.

    Returns:
        One recording per seed, with `untrained_seed` in the `origin` of its provenance.

    Raises:
        InputError: there is no seed, one comes twice, or `n_texts` is below 1.
    """
    chosen = list(seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(
            f"got seeds={chosen}; each twin has a seed of its own: "
            "untrained_twins(recording, model=model, seeds=range(8))"
        )
    some = _some_texts(recording, n_texts)
    folder = None if out is None else Path(out)
    return [
        untrained(
            some,
            model=model,
            seed=seed,
            out=None if folder is None else folder / f"untrained-{seed}.zarr",
            **how,
        )
        for seed in chosen
    ]


def _some_texts(recording: Recording, n_texts: int | None) -> Recording:
    """The samples of at most `n_texts` texts, a fixed seeded choice."""
    if n_texts is not None and n_texts < 1:
        raise InputError(f"got n_texts={n_texts}; give one at least, or None for all: n_texts=128")
    texts = np.unique(recording.text_index)
    if n_texts is None or len(texts) <= n_texts:
        return recording
    chosen = np.random.default_rng(TEXTS_SEED).choice(texts, n_texts, replace=False)
    return recording.isel(sample=np.flatnonzero(np.isin(recording.text_index, chosen)))


@null(
    "shuffled_tokens",
    keeps="unigram statistics of every text",
    destroys="syntax",
    needs_model=True,
)
def shuffled_tokens(
    recording: Recording, *, model: Model, seed: int = 0, out: str | Path | None = None, **how: Any
) -> Recording:
    """The recording that the model gives when the tokens of every text are shuffled.

    A begin token stays in front. The last token changes with the order, as it must: its place is
    part of the syntax.

    Raises:
        InputError: the recording was made with other weights.
    """
    from transformer_dynamics.model.loading import as_model

    model = as_model(model)
    require_weights_of(recording, model)
    generator = np.random.default_rng(seed)
    begin = getattr(model.tokenizer, "bos_token_id", None)
    shuffled = []
    for ids in token_lists(recording):
        n_fixed = 1 if begin is not None and ids[0] == begin else 0
        rest = generator.permutation(np.array(ids[n_fixed:], dtype=np.int64)).tolist()
        shuffled.append([*ids[:n_fixed], *rest])
    return _rerun(recording, model, shuffled, out, how)


def require_weights_of(recording: Recording, model: Model) -> None:
    """Refuse a model with other weights than those that the recording was made with.

    Raises:
        InputError: they differ; a recording that names no weights is taken as it is.
    """
    made = recording.provenance.get("weights")
    if made is not None and made != model.weight_hash:
        raise InputError(
            f"the recording was made with other weights ({str(made)[:12]}...) than {model.name} "
            f"has now ({model.weight_hash[:12]}...); record the model as it is: "
            "td.record(model, texts)"
        )


def require_texts_of(recording: Recording, null: Recording, name: str) -> None:
    """Refuse a null whose text numbers stand for other texts than those of the recording.

    A twin of some of the texts, opened from its folder, numbers them from 0 again. Shuffled texts
    have the same tokens in another order.

    Raises:
        InputError: they differ; recordings that keep no tokens are taken as they are.
    """
    own, others = recording.token_lists, null.token_lists
    if not own or not others:
        return
    for text in np.unique(null.text_index).tolist():
        if text >= len(own) or sorted(own[text]) != sorted(others[text]):
            raise InputError(
                f"the recording of the null {name!r} has other tokens in text {text} than the "
                "recording; a twin of some of the texts is opened by making it again, which reads "
                "what is there: td.nulls.untrained_twins(recording, model=model, out=folder)"
            )


def token_lists(recording: Recording) -> list[list[int]]:
    """The tokens that a recording was made of.

    Raises:
        RecordingError: it did not keep them, as a synthetic one does not.
    """
    lists = [list(ids) for ids in recording.token_lists]
    if not lists:
        raise RecordingError(
            "this recording holds no tokens to run a model over; nulls that run a model need one "
            "made by td.record(model, texts)"
        )
    return lists


def _rerun(
    recording: Recording, model: Model, lists: list[list[int]], out: str | Path | None, how: Any
) -> Recording:
    """Run the texts of a recording's samples and keep its samples and sites, in its order."""
    from transformer_dynamics.recording.options import RecordingOptions
    from transformer_dynamics.recording.record import decoded, record

    made = recording.provenance
    text, position = recording.text_index, np.asarray(recording.dataset["position"].values)
    texts = np.unique(text)
    given: RecordingOptions = how.pop("options", None) or RecordingOptions()
    # Texts that were cut are short already; those that ran in windows are whole.
    too_long = "window" if made.get("too_long") == "window" else "refuse"
    groups = recording.text_groups
    options = replace(given, bos="never", too_long=too_long, seed=made.get("seed", 0))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "every text ends in the same special token")
        rerun: Recording = record(
            model,
            [lists[index] for index in texts],
            _positions(text, position, lists, texts),
            out=out,
            options=options,
            groups=None if groups is None else [groups[index] for index in texts],
            **how,
        )
    keys = texts[rerun.text_index] * _SPAN + rerun.dataset["position"].values
    rows = np.searchsorted(keys, text * _SPAN + position)
    if not np.array_equal(rows, np.arange(len(keys))) or rerun.sites != recording.sites:
        rerun = rerun.sel(sample=rows, site=list(recording.sites))
    if "units" in made:
        rerun = rerun.sel(unit=made["units"])
    if len(texts) == len(lists):
        return rerun
    # Texts keep the numbers that they have in the recording, so that samples pair by them.
    strings = np.array(decoded(model, lists), dtype=object)
    kept = rerun.dataset.drop_vars(
        ["text_string", "n_tokens", "input_id", "group"], errors="ignore"
    )
    dataset = kept.assign(group_variable(groups)).assign(
        text_string=("text_index", strings),
        n_tokens=("text_index", np.array([len(ids) for ids in lists])),
        input_id=("input", np.concatenate([np.array(ids) for ids in lists])),
    )
    return Recording(dataset.assign_coords(text=("sample", text)))


# More than any text has tokens: text * _SPAN + position orders samples by text, then position.
_SPAN = 2**32


def _positions(
    text: NDArray[np.int64], position: NDArray[np.int64], lists: list[list[int]], texts: Any
) -> str | list[list[int]]:
    """The positions of each text that has samples, by name where they have one."""
    kept = [np.unique(position[text == index]).tolist() for index in texts]
    lengths = [len(lists[index]) for index in texts]
    if all(places == [length - 1] for places, length in zip(kept, lengths, strict=True)):
        return "last"
    if all(len(places) == length for places, length in zip(kept, lengths, strict=True)):
        return "all"
    return kept

"""Untrained twins: the model's architecture with initialized weights, run over the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls.reruns.same_samples import rerun, token_lists
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import null

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model

# Twins of different calls run the same texts, so that they can be reused and compared.
TEXTS_SEED = 0


@null(
    "untrained",
    keeps="architecture, texts",
    destroys="learning",
    needs_model=True,
)
def untrained(
    recording: Recording,
    *,
    model: Model,
    seed: int = 0,
    out: str | Path | None = None,
    **recording_arguments: Any,
) -> Recording:
    """Recording of the same architecture with its weights as initialized.

    Args:
        recording: recording of `model`.
        model: the trained model.
        seed: seed of the initialization.
        out: folder of the new recording; in memory by default.
        recording_arguments: `options` and `on_progress` of `td.record`.
    """
    from transformer_dynamics.model.loading import as_model

    twin = as_model(model).untrained_twin(seed)
    return rerun(recording, twin, token_lists(recording), out, **recording_arguments)


def untrained_twins(
    recording: Recording,
    *,
    model: Model,
    seeds: Sequence[int] = range(8),
    n_texts: int | None = 128,
    out: str | Path | None = None,
    **recording_arguments: Any,
) -> list[Recording]:
    """Recordings of several untrained twins over the same texts, as a null distribution.

    With more than `n_texts` texts in the recording, all twins run the same random subset of them.
    Samples pair with those of the recording by text and position, and keep its order.

    Args:
        recording: recording of `model`.
        model: the trained model.
        seeds: seeds of the initializations, one per twin.
        n_texts: largest number of texts; all of them with `None`.
        out: folder that receives `untrained-<seed>.zarr` for every twin; a twin that it already
            holds is opened. In memory by default.
        recording_arguments: `options` and `on_progress` of `td.record`.

    Returns:
        One recording per seed, with `untrained_seed` in the `origin` of its provenance.

    Raises:
        InputError: there is no seed, one occurs twice, or `n_texts` is below 1.
    """
    distinct = list(seeds)
    if not distinct or len(set(distinct)) < len(distinct):
        raise InputError(
            f"got seeds={distinct}; each twin has a seed of its own: "
            "untrained_twins(recording, model=model, seeds=range(8))"
        )
    subset = _text_subset(recording, n_texts)
    folder = None if out is None else Path(out)
    return [
        untrained(
            subset,
            model=model,
            seed=seed,
            out=None if folder is None else folder / f"untrained-{seed}.zarr",
            **recording_arguments,
        )
        for seed in distinct
    ]


def _text_subset(recording: Recording, n_texts: int | None) -> Recording:
    """Samples of at most `n_texts` texts, a fixed seeded choice."""
    if n_texts is not None and n_texts < 1:
        raise InputError(f"got n_texts={n_texts}; give at least one, or None for all: n_texts=128")
    texts = np.unique(recording.text_index)
    if n_texts is None or len(texts) <= n_texts:
        return recording
    chosen = np.random.default_rng(TEXTS_SEED).choice(texts, n_texts, replace=False)
    return recording.isel(sample=np.flatnonzero(np.isin(recording.text_index, chosen)))

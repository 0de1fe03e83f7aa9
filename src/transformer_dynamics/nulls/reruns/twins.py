"""Untrained twins: the model's architecture with initialized weights, run over the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls.reruns.same_samples import (
    CONTROL_TEXTS,
    N_TWINS,
    rerun,
    text_subset,
    token_lists,
)
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import null

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model
    from transformer_dynamics.recording.disk.shards import Progress


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
    seeds: Sequence[int] = range(N_TWINS),
    n_texts: int | None = CONTROL_TEXTS,
    out: str | Path | None = None,
    on_progress: Progress | None = None,
    **recording_arguments: Any,
) -> list[Recording]:
    """Recordings of several untrained twins over the same texts, as a null distribution.

    With more than `n_texts` texts in the recording, all twins run the same random subset of them.
    Samples pair with those of the recording by text and position, and keep its order. The sites of
    the first twin are proved; the others, which differ in the seed alone, take them over.

    Args:
        recording: recording of `model`.
        model: the trained model.
        seeds: seeds of the initializations, one per twin.
        n_texts: largest number of texts; all of them with `None`.
        out: folder that receives `untrained-<seed>.zarr` for every twin; a twin that it already
            holds is opened. In memory by default.
        on_progress: called with the number of tokens done and in all, over all twins.
        recording_arguments: `options` of `td.record`.

    Returns:
        One recording per seed, with `untrained_seed` in the `origin` of its provenance.

    Raises:
        InputError: there is no seed, one occurs twice, or `n_texts` is below 1.
    """
    distinct = list(seeds)
    if not distinct or len(set(distinct)) < len(distinct):
        raise InputError(
            f"got seeds={distinct}; each twin has a seed of its own: "
            "untrained_twins(recording, model=model, seeds=range(5))"
        )
    from transformer_dynamics.model.loading import as_model

    subset, folder = text_subset(recording, n_texts), None if out is None else Path(out)
    lists, own_model = token_lists(subset), as_model(model)
    twins: list[Recording] = []
    findings: dict[str, Any] = {}
    for number, seed in enumerate(distinct):
        twin = own_model.untrained_twin(seed)
        twin.adopt(findings)
        path = None if folder is None else folder / f"untrained-{seed}.zarr"
        progress = _over_all(on_progress, number, len(distinct))
        twins.append(rerun(subset, twin, lists, path, on_progress=progress, **recording_arguments))
        findings = twin.findings
        del twin  # or its weights would stay while those of the next one are drawn
    return twins


def _over_all(on_progress: Progress | None, number: int, n_twins: int) -> Progress | None:
    """Progress of one twin as progress of all of them, whose texts are the same."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress(number * total + done, n_twins * total)

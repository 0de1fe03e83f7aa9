"""Shuffled tokens: the model run over the recording's texts with each text's tokens permuted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transformer_dynamics.nulls.reruns.requirements import require_weights_of
from transformer_dynamics.nulls.reruns.same_samples import rerun, token_lists
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import null

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model


@null(
    "shuffled_tokens",
    keeps="unigram statistics of every text",
    destroys="syntax",
    needs_model=True,
)
def shuffled_tokens(
    recording: Recording,
    *,
    model: Model,
    seed: int = 0,
    out: str | Path | None = None,
    **recording_arguments: Any,
) -> Recording:
    """Recording of the model over texts whose tokens are shuffled.

    A begin token stays in front. The last token changes with the order, as it must: its position
    is part of the syntax.

    Args:
        recording: recording of `model`.
        model: the model.
        seed: seed of the permutations.
        out: folder of the new recording; in memory by default.
        recording_arguments: `options` and `on_progress` of `td.record`.

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
    return rerun(recording, model, shuffled, out, **recording_arguments)

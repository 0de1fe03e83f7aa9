"""Nulls that run a model: untrained twins, and the recording's own texts with shuffled tokens.

Both run the texts of the recording's samples and return a recording with the same samples and sites
in the same order, also where samples or sites were selected. Cost: one recording of those texts.
"""

from transformer_dynamics.nulls.reruns.requirements import require_texts_of, require_weights_of
from transformer_dynamics.nulls.reruns.same_samples import (
    CONTROL_TEXTS,
    N_TWINS,
    text_subset,
    token_lists,
)
from transformer_dynamics.nulls.reruns.shuffling import shuffled_tokens
from transformer_dynamics.nulls.reruns.twins import untrained, untrained_twins

__all__ = [
    "CONTROL_TEXTS",
    "N_TWINS",
    "require_texts_of",
    "require_weights_of",
    "shuffled_tokens",
    "text_subset",
    "token_lists",
    "untrained",
    "untrained_twins",
]

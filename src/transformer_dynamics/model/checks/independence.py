"""Tests that a token's state depends on neither later tokens nor other texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.states import read_states, relative_difference
from transformer_dynamics.model.hooks import Site
from transformer_dynamics.model.probe import SHARED_TOKENS, probe_tokens

# How far a text alone and in a batch may lie apart, as a multiple of the tolerance.
BATCH_SLACK = 5.0


def padding_and_batch(
    hf_model: Any, sites: Sequence[Site], tolerance: float
) -> tuple[bool, float, bool]:
    """Test that a token's state depends on neither later tokens nor other texts.

    Returns:
        Whether the model is causal; how far what stands behind a token, or another text, changes
        its state, over its norm; whether texts of a batch leave each other alone.
    """
    tokens = probe_tokens(hf_model)
    together = read_states(hf_model, sites, tokens)
    alone = [read_states(hf_model, sites, tokens[text : text + 1]) for text in range(len(tokens))]
    others = max(
        relative_difference(together[site.label][text], read[site.label][0])
        for text, read in enumerate(alone)
        for site in sites
    )
    # Batches of one and of two sum in another order, which adds up over the layers.
    if others > BATCH_SLACK * max(tolerance, 1e-4):
        return False, others, False
    return (*_padding(hf_model, sites, tolerance, together), True)


def _padding(
    hf_model: Any, sites: Sequence[Site], tolerance: float, seen: Mapping[str, Tensor]
) -> tuple[bool, float]:
    """Whether the model is causal, and how far what stands behind a token changes its state.

    Args:
        hf_model: the model.
        sites: where its stream is read.
        tolerance: of the model's precision.
        seen: states of the probe's texts, which share their first tokens.
    """
    allowed = max(tolerance, 1e-4)
    tokens = probe_tokens(hf_model)
    later = max(
        relative_difference(states[1, :SHARED_TOKENS], states[0, :SHARED_TOKENS])
        for states in seen.values()
    )
    if later <= allowed:
        return True, later
    mask = torch.ones_like(tokens)
    mask[0, SHARED_TOKENS:] = 0
    padded = read_states(hf_model, sites, tokens, mask)
    alone = read_states(hf_model, sites, tokens[:1, :SHARED_TOKENS])
    masked = max(
        relative_difference(padded[site.label][0, :SHARED_TOKENS], alone[site.label][0])
        for site in sites
    )
    if masked <= allowed:
        return False, masked
    raise ModelError(
        f"the model is not causal (later tokens change earlier states by {later:.1e} of their "
        f"norm), and an attention mask does not hide padding from it ({masked:.1e}; allowed "
        f"{allowed:.0e}); record it one text at a time elsewhere and use td.from_captured"
    )

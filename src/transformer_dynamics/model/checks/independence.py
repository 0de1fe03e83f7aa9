"""Independence of a token's states from later tokens and from other texts of a batch.

Right padding needs states that do not depend on the tokens after them: in a causal model by
construction, in an encoder under an attention mask. A model in which texts of a batch change each
other (activations quantized per tensor) is run one text at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.states import SLACK, read_states, relative_difference
from transformer_dynamics.model.hooks import Site
from transformer_dynamics.model.probe import SHARED_TOKENS, probe_tokens


def check_independence(
    hf_model: Any, sites: Sequence[Site], tolerance: float
) -> tuple[bool, float, bool]:
    """Test whether a token's states depend on later tokens or on other texts.

    Returns:
        Whether the model is causal; the largest change of a token's state by later tokens or by
        another text, relative to its norm; whether the texts of a batch are independent.

    Raises:
        ModelError: later tokens change earlier states even under an attention mask.
    """
    tokens = probe_tokens(hf_model)
    together = read_states(hf_model, sites, tokens)
    alone = [read_states(hf_model, sites, tokens[text : text + 1]) for text in range(len(tokens))]
    others = max(
        relative_difference(together[site.label][text], read[site.label][0])
        for text, read in enumerate(alone)
        for site in sites
    )
    # Batches of one and of two sum in different orders, and the error accumulates over layers.
    if others > SLACK * max(tolerance, 1e-4):
        return False, others, False
    return (*_padding(hf_model, sites, tolerance, together), True)


def _padding(
    hf_model: Any, sites: Sequence[Site], tolerance: float, states: Mapping[str, Tensor]
) -> tuple[bool, float]:
    """Test whether the model is causal, and how far padding changes a token's state.

    Args:
        hf_model: the model.
        sites: sites at which its stream is read.
        tolerance: tolerance of the model's precision.
        states: states of the probe's texts, which share their first tokens.
    """
    allowed = max(tolerance, 1e-4)
    tokens = probe_tokens(hf_model)
    later = max(
        relative_difference(by_text[1, :SHARED_TOKENS], by_text[0, :SHARED_TOKENS])
        for by_text in states.values()
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
        f"{allowed:.0e}); capture its states one text at a time with your own code: "
        "td.Recording.from_activations(model(**batch, output_hidden_states=True))"
    )

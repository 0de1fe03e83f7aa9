"""Choice between a context shared by all states and a text repeated for every state.

The two strategies are compared on a few tokens, at the sites of the first, the middle and the last
layer. Cost: one clean pass, and two short passes for every compared site.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.states import relative_error
from transformer_dynamics.model.injection import layer_paths
from transformer_dynamics.model.labels import parse
from transformer_dynamics.model.passes.context import Context
from transformer_dynamics.model.passes.runner import FAILURES, Runner
from transformer_dynamics.model.probe import probe_tokens
from transformer_dynamics.model.sites import Sites

Strategy = Literal["shared", "repeated"]
# Few tokens, so that they lie within any sliding window.
N_PROBE_TOKENS = 4


@torch.inference_mode(False)
def choose_strategy(hf_model: Any, sites: Sites) -> Strategy:
    """Return `shared` if both strategies agree on a few tokens, otherwise `repeated`.

    Raises:
        ModelError: the model is not causal, or its sites were named by hand.
    """
    require_causal(sites)
    runner = Runner(hf_model, sites)
    tokens = probe_tokens(hf_model)[0, :N_PROBE_TOKENS]
    try:
        shared = runner.run_clean(tokens, cached=True)
        if shared.cache is None:
            return "repeated"
        repeated = Context(shared.tokens, shared.clean, shared.outputs, None)
        n_layers = len(sites.proofs)
        compared = {0, n_layers // 2, n_layers - 1}
        for index, start in enumerate(sites.labels[:-1]):
            if parse(start)[0] not in compared:
                continue
            clean = shared.clean[index]
            # Two perturbed states: each must see the context and itself, and not the other.
            states = torch.stack([clean.roll(1), clean - 0.5 * clean.flip(0)])
            kept = sites.labels[index + 1 :]
            one, other = (runner.run(each, states, start, kept) for each in (shared, repeated))
            if any((relative_error(one[s], other[s]) > runner.tolerance).any() for s in kept):
                return "repeated"
    except FAILURES:
        return "repeated"
    return "shared"


def require_causal(sites: Sites) -> None:
    """Refuse a model without a fixed context.

    Raises:
        ModelError: the model is not causal, the texts of a batch change each other, or the sites
            were named by hand.
    """
    layer_paths(sites)
    if not sites.independent:
        raise ModelError(
            "the texts of a batch change each other's states in this model (by "
            f"{sites.padding_error:.1e} of their norm), as with activations quantized per "
            "tensor; a flow map needs states that do not change each other in one pass: load "
            "the model without quantization, td.load_model(name, dtype='float32')"
        )
    if not sites.causal:
        raise ModelError(
            "this model is not causal: a perturbed state of its last token changes the states of "
            "all other tokens, so no context can be held fixed; flow maps need a decoder, as "
            "td.load_model('openai-community/gpt2')"
        )

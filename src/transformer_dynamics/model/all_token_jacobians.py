"""Jacobians from a site of one token to the last site of all later tokens.

    J[s] = 1/T sum over t, t' >= t of d final_t' / d x[s]_t

for a causal model. One backward pass per output unit reaches all sites at once.

Limits: no sites within a layer, whose tensor may be a copy of the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transformer_dynamics.model.checks.derivatives import (
    differentiating,
    require_derivatives,
    requiring_gradients,
)
from transformer_dynamics.model.checks.wrappers import trunk_of
from transformer_dynamics.model.hooks import evaluating, reading
from transformer_dynamics.model.sites import Sites
from transformer_dynamics.numerics.arrays import Floats

# Output units per backward pass, each with its own copy of the text.
OUTPUTS_PER_PASS = 16


@torch.inference_mode(False)
def summed_jacobians(
    hf_model: Any, sites: Sites, token_ids: Sequence[int], chosen: Sequence[str]
) -> Floats:
    """Compute Jacobians summed over later and averaged over earlier tokens, `(site, output, unit)`.

    Args:
        hf_model: the model.
        sites: its sites.
        token_ids: token ids of the text.
        chosen: labels of the first sites of layers, or of the last site.
    """
    require_derivatives(hf_model)
    trunk = trunk_of(hf_model)
    last = sites.labels[-1]
    wanted = [site for site in sites.sites if site.label in {*chosen, last}]
    result = np.empty((len(chosen), sites.n_units, sites.n_units))
    for first in range(0, sites.n_units, OUTPUTS_PER_PASS):
        units = torch.arange(first, min(first + OUTPUTS_PER_PASS, sites.n_units))
        streams: dict[str, Tensor] = {}

        def keep(label: str, stream: Tensor, streams: dict[str, Tensor] = streams) -> None:
            streams[label] = stream

        tokens = torch.as_tensor(token_ids, device=hf_model.device).expand(len(units), -1)
        embedding = hf_model.get_input_embeddings()
        with (
            differentiating(hf_model),
            evaluating(hf_model, torch.enable_grad),
            reading(trunk, wanted, keep),
            requiring_gradients(embedding),
        ):
            trunk(input_ids=tokens, use_cache=False)
            final = streams[last]
            picked = final[torch.arange(len(units)), :, units.to(final.device)].sum()
            gradients = torch.autograd.grad(picked, [streams[label] for label in chosen])
        for index, gradient in enumerate(gradients):
            rows = gradient.detach().double().mean(dim=1).cpu().numpy()
            result[index, first : first + len(units)] = rows
    return result

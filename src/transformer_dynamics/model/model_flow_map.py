"""Flow map of a language model for the last token of one text.

Two strategies give the same numbers. `shared`: G states are G tokens of one sequence, all at the
last token's position, under a mask in which each attends to the context and to itself (as in tree
attention); the context's keys and values are stored once, and a state costs one token from its
layer on. `repeated`: the whole text runs once per state, which is exact for every causal model and
slower by the number of tokens. `choose_strategy` compares both on a few tokens; the clean state of
each text must also reproduce the clean trajectory, which fails if a sliding window is shorter than
the text, and then the text is repeated. Jacobians are one backward pass over a copy per output.

Limits: no models that are not causal, no sites named by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.checks.derivatives import differentiating
from transformer_dynamics.model.checks.states import relative_error
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.model.passes.runner import FAILURES, Runner
from transformer_dynamics.model.passes.strategies import Strategy, require_causal
from transformer_dynamics.model.sites import Sites
from transformer_dynamics.numerics.arrays import Floats

# More states per pass compute more masked attention between states; fewer read the weights more
# often.
STATES_PER_PASS = 128
TOKENS_PER_PASS = 4096
NO_TOKENS = "got a text of no tokens; a flow map follows a text's last token"


class ModelFlowMap(FlowMap):
    """Flow map of the last token of one text.

    Attributes:
        strategy: `shared` (one context for all states) or `repeated` (the text once per state).
    """

    @torch.inference_mode(False)
    def __init__(
        self,
        hf_model: Any,
        sites: Sites,
        token_ids: Sequence[int],
        *,
        strategy: Strategy,
        name: str,
    ) -> None:
        """Run the text once.

        Args:
            hf_model: the model.
            sites: its sites with their proofs.
            token_ids: token ids of the text.
            strategy: result of `choose_strategy` for this model.
            name: name of the model in results.

        Raises:
            InputError: there are no tokens.
            ModelError: the model is not causal, or its sites were named by hand.
        """
        if not len(token_ids):
            raise InputError(NO_TOKENS)
        require_causal(sites)
        self.sites = sites.labels
        self.name = name
        self._runner = Runner(hf_model, sites)
        tokens = torch.as_tensor(token_ids, device=hf_model.device)
        self._context = self._runner.run_clean(tokens, cached=strategy == "shared")
        self.clean = _as_numpy(self._context.clean)
        self.strategy: Strategy = "repeated" if self._context.cache is None else "shared"
        if self.strategy == "shared" and not self._reproduces_clean_trajectory():
            self._context = self._runner.run_clean(tokens, cached=False)
            self.strategy = "repeated"

    def _reproduces_clean_trajectory(self) -> bool:
        first = self._context.clean[:1]
        try:
            states = self._runner.run(self._context, first, self.sites[0], self.sites)
        except FAILURES:
            return False
        carried = torch.stack([states[label][0] for label in self.sites])
        return bool((relative_error(carried, self._context.clean) <= self._runner.tolerance).all())

    @torch.inference_mode(False)
    def _advance(self, states: Floats, start: str, stop: str, keep: tuple[str, ...]) -> Floats:
        result = np.empty((len(states), len(keep), self.n_units))
        for rows, batch in self._passes(states):
            carried = self._runner.run(self._context, batch, start, (*keep, stop))
            for index, label in enumerate(keep):
                result[rows, index] = _as_numpy(carried[label])
            if start in keep:
                result[rows, keep.index(start)] = states[rows]
        return result

    @torch.inference_mode(False)
    def _log_probabilities(self, states: Floats, start: str) -> Floats:
        pieces = []
        for _, batch in self._passes(states):
            logits = self._runner.logits(self._context, batch, start)
            pieces.append(_as_numpy(torch.log_softmax(logits.double(), dim=-1)))
        return np.concatenate(pieces)

    def _vjp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        self._runner.require_derivatives()
        result = np.empty_like(vectors)
        with differentiating(self._runner.hf_model):
            for rows, batch in self._passes(vectors):
                state = self._tensor(at).expand(len(batch), -1).clone().requires_grad_(True)
                carried = self._runner.run(self._context, state, start, (stop,), torch.enable_grad)
                (gradient,) = torch.autograd.grad(carried[stop], state, batch)
                result[rows] = _as_numpy(gradient)
        return result

    def _jvp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        from torch.autograd import forward_ad
        from torch.nn.attention import SDPBackend, sdpa_kernel

        self._runner.require_derivatives()
        result = np.empty_like(vectors)
        # The other attention kernels have no forward derivatives.
        with (
            differentiating(self._runner.hf_model),
            sdpa_kernel(SDPBackend.MATH),
            forward_ad.dual_level(),
        ):
            for rows, batch in self._passes(vectors):
                state = self._tensor(at).expand(len(batch), -1)
                dual = forward_ad.make_dual(state.clone(), batch)
                carried = self._runner.run(self._context, dual, start, (stop,), torch.enable_grad)
                result[rows] = _as_numpy(forward_ad.unpack_dual(carried[stop]).tangent)
        return result

    def _tensor(self, states: Floats) -> Tensor:
        return torch.as_tensor(
            states, dtype=self._context.clean.dtype, device=self._context.clean.device
        )

    def _passes(self, states: Floats) -> Iterator[tuple[slice, Tensor]]:
        size = STATES_PER_PASS
        if self.strategy == "repeated":
            size = max(1, TOKENS_PER_PASS // len(self._context.tokens))
        for first in range(0, len(states), size):
            rows = slice(first, min(first + size, len(states)))
            yield rows, self._tensor(states[rows])


def _as_numpy(tensor: Tensor) -> Floats:
    """Convert a tensor to a float64 array."""
    array: Floats = tensor.detach().double().cpu().numpy()
    return array

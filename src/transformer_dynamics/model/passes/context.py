"""Context of a text's last token: the unperturbed run and the inputs of perturbed runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transformer_dynamics.model.passes.caches import shared_view


@dataclass(frozen=True, eq=False)
class Context:
    """Context and states of the unperturbed run.

    Attributes:
        tokens: token ids of the text, `(position)`.
        clean: states of the last token, `(site, unit)`.
        outputs: result of every layer with empty states, as a template of its structure.
        cache: keys and values of all tokens but the last; None if they cannot be shared, so that
            the whole text runs once per state.
    """

    tokens: Tensor
    clean: Tensor
    outputs: list[Any]
    cache: Any

    @property
    def n_bytes(self) -> int:
        """Memory of the states, keys and values."""
        layers = [] if self.cache is None else self.cache.layers
        kept = [self.clean, *(each for layer in layers for each in (layer.keys, layer.values))]
        return sum(each.untyped_storage().nbytes() for each in kept)

    def inputs(self, n_states: int) -> dict[str, Any]:
        """Return the arguments of a pass with `n_states` copies of the last token."""
        if self.cache is None:
            return {"input_ids": self.tokens.expand(n_states, -1), "use_cache": False}
        device = self.tokens.device
        n_context = len(self.tokens) - 1
        # Each state attends to the context and to itself: (state, context + state).
        mask = torch.full((n_states, n_states), torch.finfo(self.clean.dtype).min)
        mask = torch.cat([torch.zeros(n_states, n_context), mask.fill_diagonal_(0.0)], dim=1)
        return {
            "input_ids": self.tokens[-1:].expand(1, n_states),
            "position_ids": torch.full((1, n_states), n_context, device=device),
            "attention_mask": mask.to(device=device, dtype=self.clean.dtype)[None, None],
            "past_key_values": shared_view(self.cache),
            "use_cache": True,
        }

    def replacement(self, rows: slice, n_states: int) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the function that replaces some of the last token's states in a pass's stream.

        Args:
            rows: states that are replaced.
            n_states: number of states of the pass.
        """

        def replace_tokens(stream: Tensor, states: Tensor) -> Tensor:
            return _replaced(stream.reshape(n_states, -1), rows, states).reshape(stream.shape)

        def replace_last(stream: Tensor, states: Tensor) -> Tensor:
            by_text = stream.reshape(n_states, len(self.tokens), -1)
            last = _replaced(by_text[:, -1], rows, states)[:, None]
            return torch.cat([by_text[:, :-1], last], dim=1).reshape(stream.shape)

        return replace_last if self.cache is None else replace_tokens

    def last_states(self, stream: Tensor, n_states: int) -> Tensor:
        """Return the last token's states, `(state, unit)`, from the stream of a pass."""
        if self.cache is not None:
            return stream.reshape(n_states, -1)
        return stream.reshape(n_states, len(self.tokens), -1)[:, -1].clone()


def _replaced(old: Tensor, rows: slice, states: Tensor) -> Tensor:
    """Return `old` `(state, unit)` with other states in some rows."""
    new = states.to(old.device)
    if len(new) == len(old):
        return new
    return torch.cat([old[: rows.start], new, old[rows.stop :]])

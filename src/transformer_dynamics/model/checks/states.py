"""States at given sites in one pass over probe tokens, and tolerances for their comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.wrappers import trunk_of
from transformer_dynamics.model.hooks import Site, evaluating, reading

# A sum recomputed from its parts in the model's precision is exact up to one rounding.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 4e-3, torch.float16: 5e-4}
# Allowed difference between two computations of one state, as a multiple of the tolerance:
# sums in another order differ, and the difference accumulates over the layers.
SLACK = 5.0


def tolerance_of(dtype: torch.dtype) -> float:
    """Return the largest relative error of one recomputed sum in a precision."""
    return TOLERANCE.get(dtype, 1e-5)


def read_states(
    hf_model: Any, sites: Sequence[Site], tokens: Tensor, mask: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the states `(text, position, unit)` at each site of one pass.

    Args:
        hf_model: the model.
        sites: sites to read.
        tokens: token ids, `(text, position)`.
        mask: attention mask, `(text, position)`; by default none.

    Raises:
        ModelError: the model does not run on the tokens, or a site does not give states once.
    """
    trunk = trunk_of(hf_model)
    states: dict[str, list[Tensor]] = {site.label: [] for site in sites}

    def keep(label: str, read: Tensor) -> None:
        states[label].append(read.detach().clone())

    options = {} if mask is None else {"attention_mask": mask}
    with evaluating(hf_model), reading(trunk, sites, keep):
        try:
            trunk(input_ids=tokens, use_cache=False, **options)
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            masked = "" if mask is None else " with an attention mask"
            raise ModelError(
                f"{type(hf_model).__name__} does not run on token ids of shape "
                f"{tuple(tokens.shape)}{masked} ({type(error).__name__}: {error}); capture its "
                "states with your own code: "
                "td.Recording.from_activations(model(**batch, output_hidden_states=True))"
            ) from error
    for site in sites:
        reads = states[site.label]
        if len(reads) != 1 or reads[0].shape[:-1] not in (tokens.shape, (tokens.numel(),)):
            shapes = ", ".join(str(tuple(each.shape)) for each in reads) or "nothing"
            raise ModelError(
                f"the {site.port} of {site.module} gave {shapes} in one pass over tokens of shape "
                f"{tuple(tokens.shape)}; a site gives states (text, position, unit) once "
                "per pass"
            )
    return {label: reads[0].reshape(*tokens.shape, -1) for label, reads in states.items()}


def relative_difference(states: Tensor, reference: Tensor) -> float:
    """|states - reference| / |reference|, infinite if it is not a number."""
    exact = reference.double()
    error = (states.double() - exact).norm() / exact.norm()
    return float(error) if torch.isfinite(error) else float("inf")


def relative_error(states: Tensor, reference: Tensor) -> Tensor:
    """|states - reference| / |reference| along the last axis."""
    exact = reference.double()
    error: Tensor = (states.double() - exact).norm(dim=-1) / exact.norm(dim=-1).clamp_min(1e-300)
    return error

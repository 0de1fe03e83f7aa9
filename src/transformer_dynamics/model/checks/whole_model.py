"""Check that the recorded trunk computes the same states as the whole model.

Recordings run the trunk, without the head. If the model's own `forward` passes other inputs to its
trunk (virtual tokens of prompt tuning, rescaled embeddings), the recorded states would never occur
in normal use. Cost: two passes over 8 tokens, the second up to the last site.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.states import SLACK, relative_error, tolerance_of
from transformer_dynamics.model.checks.wrappers import trunk_of, unwrapped
from transformer_dynamics.model.hooks import PassEnded, evaluating, reading
from transformer_dynamics.model.probe import probe_tokens
from transformer_dynamics.model.sites import Sites


def require_same_states(hf_model: Any, sites: Sites) -> None:
    """Compare all sites between a pass of the whole model and a pass of its trunk.

    Raises:
        ModelError: the states differ, or the whole model does not run on token ids alone.
    """
    trunk = trunk_of(hf_model)
    model = unwrapped(hf_model)
    if trunk is model:
        return
    tokens = probe_tokens(hf_model)[:1]
    alone = _read(hf_model, trunk, sites, tokens)
    try:
        whole = _read(hf_model, model, sites, tokens)
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError) as error:
        raise ModelError(
            f"{type(model).__name__} does not run on token ids alone ({type(error).__name__}: "
            f"{error}); record the part that reads text: td.load_model(hf_model.base_model, "
            "tokenizer=tokenizer)"
        ) from error
    allowed = SLACK * tolerance_of(hf_model.dtype)
    for label in sites.labels:
        one, other = alone.get(label), whole.get(label)
        same = one is not None and other is not None and one.shape == other.shape
        if same and not _relative(other, one) <= allowed:
            same = False
        if not same:
            raise ModelError(_refusal(model, label, one, other))


def _read(hf_model: Any, runs: nn.Module, sites: Sites, tokens: Tensor) -> dict[str, Tensor]:
    states: dict[str, Tensor] = {}
    last = sites.labels[-1]

    def keep(label: str, stream: Tensor) -> None:
        states[label] = stream.detach().double().clone()
        if label == last:
            raise PassEnded

    with (
        evaluating(hf_model),
        reading(trunk_of(hf_model), sites.sites, keep),
        suppress(PassEnded),
    ):
        runs(input_ids=tokens, use_cache=False)
    return states


def _relative(states: Any, reference: Any) -> float:
    return float(relative_error(states.flatten(), reference.flatten()))


def _refusal(model: Any, label: str, alone: Tensor | None, whole: Tensor | None) -> str:
    if whole is None:
        seen = "are not reached"
    elif alone is not None and alone.shape != whole.shape:
        seen = f"have shape {tuple(whole.shape)}, and {tuple(alone.shape)} in its base model"
    else:
        seen = f"differ by {_relative(whole, alone):.1e} of their norm from its base model"
    return (
        f"{type(model).__name__} passes other inputs than the token ids to its base model: the "
        f"states at {label} {seen}. A recording would hold the states of the "
        "bare base model. Prompt tuning and prefix "
        "tuning are not supported; to record the base model without them: "
        "td.load_model(hf_model.get_base_model(), tokenizer=tokenizer)"
    )

"""A few numbers of the states of one short text, by which a recording knows its model again.

Weights, configuration, hooks and adapters are compared by themselves. What they do not show (a
function replaced in place, another kernel) changes the states, so one text is run again before a
recording is continued or reused. Cost: one pass over about 16 tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from transformer_dynamics.model.hooks import evaluating, reading
from transformer_dynamics.recording.windows import Window

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model

# Long enough for attention to matter, short enough to cost nothing.
TOKENS = 16
# Two machines may sum in another order; changes of the model lie far above.
TOLERANCE = {"float64": 1e-8, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}


def state_fingerprint(model: Model, windows: Sequence[Window]) -> dict[str, Any]:
    """Norm and one projection of a text's last state at every site.

    Args:
        model: the model.
        windows: what a recording runs; the one whose length is nearest to 16 tokens is taken.

    Returns:
        `text`, `norm` (site) and `projection` (site), in stream units; None where not finite.
    """
    window = min(windows, key=lambda each: abs(len(each.tokens) - TOKENS))
    states: dict[str, torch.Tensor] = {}

    def keep(label: str, stream: torch.Tensor) -> None:
        states[label] = stream.reshape(len(window.tokens), -1)[-1].double().cpu()

    tokens = torch.as_tensor([window.tokens], device=model.device)
    with evaluating(model.hf_model), reading(model.trunk, model.found_sites.sites, keep):
        model.trunk(input_ids=tokens, use_cache=False)
    values = np.stack([states[label].numpy() for label in model.sites])
    direction = np.cos(np.arange(values.shape[1])) * np.sqrt(2 / values.shape[1])
    return {
        "text": window.text,
        "norm": _finite(np.linalg.norm(values, axis=1)),
        "projection": _finite(values @ direction),
    }


def difference(wanted: Mapping[str, Any], found: Any, settings: Mapping[str, Any]) -> str | None:
    """The first site where two fingerprints differ, in words; None where they agree."""
    if not isinstance(found, Mapping) or len(found.get("norm", ())) != len(wanted["norm"]):
        return "no fingerprint of the states there"
    exact = settings["dtype"] if settings["autocast"] == "off" else "bfloat16"
    allowed = TOLERANCE.get(exact, TOLERANCE["bfloat16"])
    for place, label in enumerate(settings["sites"]):
        norm = wanted["norm"][place] or 0.0
        for name in ("norm", "projection"):
            now, before = wanted[name][place], found[name][place]
            if now is None or before is None:
                continue
            if abs(now - before) > allowed * max(norm, found["norm"][place] or 0.0):
                return (
                    f"the model gives other states for text {wanted['text']} now ({name} at "
                    f"{label}: {before:.6g} there, {now:.6g} now)"
                )
    return None


def _finite(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]

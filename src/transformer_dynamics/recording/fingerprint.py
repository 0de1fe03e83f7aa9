"""Fingerprint of a model's states: a few numbers of the states of one short text.

Weights, configuration, hooks and adapters are compared separately. Other changes (a function
replaced in place, another kernel) change the states, so one text is run again before a recording is
continued or reused. Cost: one pass over about 16 tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from transformer_dynamics.model.hooks import reading
from transformer_dynamics.recording.windows import Window

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model

# Long enough for attention to matter, short enough for a negligible cost.
TOKENS = 16
# Two machines may sum in a different order; changes of the model are far larger.
TOLERANCE = {"float64": 1e-8, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}


def state_fingerprint(model: Model, windows: Sequence[Window]) -> dict[str, Any]:
    """Compute the norm and one projection of the last state of a text at every site.

    Args:
        model: The model.
        windows: Windows of the recording; the one with a length closest to 16 tokens is run.

    Returns:
        `text`, `norm` (site) and `projection` (site), in stream units; None where not finite.
    """
    window = min(windows, key=lambda each: abs(len(each.tokens) - TOKENS))
    states: dict[str, torch.Tensor] = {}

    def keep(label: str, stream: torch.Tensor) -> None:
        states[label] = stream.reshape(len(window.tokens), -1)[-1].double().cpu()

    with model.passing() as run, reading(model.trunk, model.found_sites.sites, keep):
        run([window.tokens])
    values = np.stack([states[label].numpy() for label in model.sites])
    direction = np.cos(np.arange(values.shape[1])) * np.sqrt(2 / values.shape[1])
    return {
        "text": window.text,
        "norm": _finite(np.linalg.norm(values, axis=1)),
        "projection": _finite(values @ direction),
    }


def difference(wanted: Mapping[str, Any], found: Any, settings: Mapping[str, Any]) -> str | None:
    """Describe the first site where two fingerprints differ; None if they agree."""
    if not isinstance(found, Mapping) or len(found.get("norm", ())) != len(wanted["norm"]):
        return "it has no fingerprint of the states"
    exact = settings["dtype"] if settings["autocast"] == "off" else "bfloat16"
    allowed = TOLERANCE.get(exact, TOLERANCE["bfloat16"])
    for site, label in enumerate(settings["sites"]):
        norm = wanted["norm"][site] or 0.0
        for name in ("norm", "projection"):
            now, before = wanted[name][site], found[name][site]
            if now is None or before is None:
                continue
            if abs(now - before) > allowed * max(norm, found["norm"][site] or 0.0):
                return (
                    f"the model computes other states for text {wanted['text']} ({name} at "
                    f"{label}: {before:.6g} recorded, {now:.6g} now)"
                )
    return None


def _finite(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]

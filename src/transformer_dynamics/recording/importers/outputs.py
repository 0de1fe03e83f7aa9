"""Hidden states in an output of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformer_dynamics.errors import RecordingError

ENCODER_DECODER = ("encoder_hidden_states", "decoder_hidden_states")


def holds_hidden_states(states: Any) -> bool:
    """Whether this is an output of transformers, or a dictionary of its entries."""
    return any(_has_entry(states, name) for name in ("hidden_states", *ENCODER_DECODER))


def hidden_states_of(output: Any) -> Any:
    """Return the hidden states of a `ModelOutput` of transformers.

    Raises:
        RecordingError: it holds none, or those of an encoder and a decoder.
    """
    entries = {
        name: _entry(output, name)
        for name in ("hidden_states", *ENCODER_DECODER)
        if _has_entry(output, name)
    }
    present = [name for name, value in entries.items() if value is not None]
    kind = type(output).__name__
    if not present:
        raise RecordingError(
            f"this {kind} holds no hidden states; run the model with output_hidden_states=True: "
            "td.Recording.from_activations(model(**inputs, output_hidden_states=True))"
        )
    if present[0] != "hidden_states":
        raise RecordingError(
            f"this {kind} has {' and '.join(present)}; choose one: "
            f"td.Recording.from_activations(output.{present[-1]}, sites='hidden_states')"
        )
    return entries["hidden_states"]


def _has_entry(states: Any, name: str) -> bool:
    return (isinstance(states, Mapping) and name in states) or hasattr(states, name)


def _entry(states: Any, name: str) -> Any:
    if isinstance(states, Mapping) and name in states:
        return states[name]
    return getattr(states, name, None)

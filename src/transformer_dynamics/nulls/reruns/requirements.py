"""Conditions under which a model or a null belongs to a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from transformer_dynamics.errors import InputError
from transformer_dynamics.recording.recording import Recording

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model


def require_weights_of(recording: Recording, model: Model) -> None:
    """Refuse a model with other weights than those that made the recording.

    Raises:
        InputError: they differ; a recording that names no weights is accepted.
    """
    made = recording.provenance.get("weights")
    if made is not None and made != model.weight_hash:
        raise InputError(
            f"the recording was made with other weights ({str(made)[:12]}...) than {model.name} "
            f"has now ({model.weight_hash[:12]}...); record the model as it is: "
            "td.record(model, texts)"
        )


def require_texts_of(recording: Recording, null: Recording, name: str) -> None:
    """Refuse a null whose text numbers denote other texts than those of the recording.

    Shuffled texts have the same tokens in another order.

    Raises:
        InputError: they differ; recordings without tokens are accepted.
    """
    own, others = recording.token_lists, null.token_lists
    if not own or not others:
        return
    for text in np.unique(null.text_index).tolist():
        if text >= len(own) or sorted(own[text]) != sorted(others[text]):
            raise InputError(
                f"the recording of the null {name!r} has other tokens in text {text} than the "
                "recording; make it of this recording's texts: "
                f"td.nulls.{name}(recording, model=model)"
            )

"""State of an autoencoder's training after an epoch, and the digest of its inputs.

The number of the epoch is the whole state of the random orders, since the generator of an epoch is
seeded by the seed and that number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dimension.autoencoder_options import (
    AutoencoderOptions,
    TrainingStates,
)
from transformer_dynamics.measures.dimension.autoencoder_streaming import StreamedStates
from transformer_dynamics.storage.files import fingerprint

if TYPE_CHECKING:
    from torch import Tensor

States = TrainingStates | StreamedStates

PARTS = ("weights", "first", "second", "best")


@dataclass
class TrainingState:
    """State of training after an epoch; tensors by name of the weight.

    Attributes:
        weights: present weights.
        first: running mean of the gradients, of Adam.
        second: running mean of the squared gradients, of Adam.
        best: weights of the epoch with the smallest validation error.
        steps: number of batches so far.
        history: validation error after each epoch.
    """

    weights: dict[str, Tensor]
    first: dict[str, Tensor]
    second: dict[str, Tensor]
    best: dict[str, Tensor]
    steps: int = 0
    history: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The first epoch with the smallest validation error, counted from 0."""
        return int(np.argmin(self.history))

    def saved(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays and header of a checkpoint."""
        arrays = {
            f"{part}/{name}": array
            for part in PARTS
            for name, array in arrays_of(getattr(self, part)).items()
        }
        return arrays, {"steps": self.steps, "history": self.history}


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Copy tensors to numpy arrays of the same names."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def training_identity(
    states: States, bottleneck: int, options: AutoencoderOptions, seed: int
) -> str:
    """Digest of everything on which the weights depend."""
    hasher = hashlib.sha256()
    if isinstance(states, StreamedStates):
        hasher.update(states.recording.digest.encode())
    for array in (states.training, states.validation, states.mean, np.float64(states.scale)):
        hasher.update(np.ascontiguousarray(array).data)
    parameters = {"bottleneck": bottleneck, "seed": seed, "states": hasher.hexdigest()}
    return fingerprint({**asdict(options), **parameters})

"""Options of an autoencoder and its training, and training states in memory.

Source: arXiv 2502.12131 (ten layers, Adam with 1e-3, 100 epochs, patience 10); batch size ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError

Progress = Callable[[int, int], None]
"""Called with epochs done and the maximum number of epochs."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderOptions:
    """Options of an autoencoder and its training; the defaults are those of arXiv 2502.12131.

    Attributes:
        n_layers: layers of units in each half, the stream and the bottleneck included.
        n_epochs: maximum number of epochs.
        patience: epochs without a smaller validation error after which training ends.
        learning_rate: learning rate of Adam.
        batch_size: number of states in a batch.
        device: device of the training, as in `torch.device`.
    """

    n_layers: int = 10
    n_epochs: int = 100
    patience: int = 10
    learning_rate: float = 1e-3
    batch_size: int = 256
    device: str = "cpu"

    def __post_init__(self) -> None:
        counts = (self.n_layers - 1, self.n_epochs, self.patience, self.batch_size)
        if min(counts) < 1 or not self.learning_rate > 0:
            raise InputError(
                f"got {self}; there are at least two layers, one epoch, a patience of one epoch "
                "and one state in a batch, and the learning rate is positive: "
                "AutoencoderOptions(n_layers=10, n_epochs=100)"
            )


@dataclass(frozen=True)
class TrainingStates:
    """States in memory on which an autoencoder is trained.

    Attributes:
        training: states `(row, unit)`.
        validation: states of other texts, `(row, unit)`.
        mean: mean subtracted from both, `(unit)`.
        scale: divisor of both.
    """

    training: NDArray[Any]
    validation: NDArray[Any]
    mean: NDArray[np.float64]
    scale: float

    def require_rows(self) -> None:
        """Refuse states whose shapes do not fit.

        Raises:
            InputError: no training or validation states, or different numbers of units.
        """
        shapes = self.training.shape, self.validation.shape
        if any(len(shape) != 2 or 0 in shape for shape in shapes) or shapes[0][1] != shapes[1][1]:
            raise InputError(
                f"got training and validation states of shapes {shapes[0]} and {shapes[1]}; both "
                "are (row, unit) with at least one row and the same units: "
                "TrainingStates(training, validation, mean=training.mean(axis=0), scale=1.0)"
            )

    @property
    def n_units(self) -> int:
        """Number of units of a state."""
        return int(self.training.shape[1])

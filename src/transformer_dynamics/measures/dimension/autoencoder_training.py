"""Training of an autoencoder: Adam on the mean squared error, stopped by texts not trained on.

Each epoch takes the training states once, in batches. The weights of the epoch with the smallest
error on the validation states are kept; training ends after `patience` epochs without a smaller
one, or after `n_epochs`. The same seed gives the same bits on the same machine with the same number
of threads: initial weights and the order of each epoch have their own generators.

Source: arXiv 2502.12131 (Adam, 1e-3, mean squared error, 100 epochs, patience 10).
Cost: about 6 operations per weight, state and epoch; 0.5 million weights for D = 576, k = 10 and a
bottleneck of 2. Limits: one seed at a time, no learning rate schedule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dimension.autoencoder_files import AutoencoderFiles
from transformer_dynamics.measures.dimension.autoencoder_network import (
    Autoencoder,
    build_network,
    initial_weights,
    load_autoencoder,
    scaled_rows,
)
from transformer_dynamics.measures.dimension.autoencoder_options import (
    AutoencoderOptions,
    Progress,
    TrainingStates,
)
from transformer_dynamics.measures.dimension.autoencoder_state import (
    PARTS,
    States,
    TrainingState,
    arrays_of,
    training_identity,
)
from transformer_dynamics.measures.dimension.autoencoder_streaming import StreamedStates

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CHECKPOINT_EVERY = 5


def train_autoencoder(
    states: States,
    bottleneck: int,
    *,
    options: AutoencoderOptions | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    on_progress: Progress | None = None,
) -> Autoencoder:
    """Train one autoencoder.

    Args:
        states: training and validation states with their mean and scale, in memory or read from a
            recording in each epoch.
        bottleneck: number of units of the narrowest layer, smaller than that of the states.
        options: layers and training; the defaults are those of the paper.
        seed: seed of the initial weights and of the batches.
        out: folder of checkpoints and result, `autoencoder-<bottleneck>.safetensors`; interrupted
            training continues there. Nothing is written by default.
        on_progress: called with epochs done and maximum number of epochs; equal at the end.

    Returns:
        The autoencoder with the best validation weights.

    Raises:
        InputError: no training or validation states, a bottleneck that is not narrower, or a folder
            with the autoencoder of other states, options or another seed.
        TdynError: the folder cannot be written.
    """
    options = options or AutoencoderOptions()
    if isinstance(states, TrainingStates):
        states.require_rows()
    identity = training_identity(states, bottleneck, options, seed)
    report = on_progress or (lambda done, total: None)
    files = None if out is None else AutoencoderFiles(Path(out), bottleneck, identity)
    if files is not None and files.is_finished():
        report(options.n_epochs, options.n_epochs)
        return load_autoencoder(files.result)
    state = None if files is None else _resumed(files, options)
    if state is None:
        weights = initial_weights(states.n_units, bottleneck, options.n_layers, seed=seed)
        state = _begun(weights, options)
    trainer = _Trainer(states, options, (seed, bottleneck), state)
    while not trainer.done:
        trainer.epoch()
        if files is not None and len(state.history) % CHECKPOINT_EVERY == 0:
            files.save_checkpoint(*state.saved())
        report(len(state.history), options.n_epochs)
    if len(state.history) < options.n_epochs:
        report(options.n_epochs, options.n_epochs)
    best, history = arrays_of(state.best), tuple(state.history)
    trained = Autoencoder(best, states.mean, states.scale, history, identity)
    if files is not None:
        files.finish(trained)
    return trained


def _begun(weights: Mapping[str, NDArray[Any]], options: AutoencoderOptions) -> TrainingState:
    """State before the first epoch."""
    zeros = {name: np.zeros_like(array) for name, array in weights.items()}

    def tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        return {name: _tensor(array, options) for name, array in arrays.items()}

    return TrainingState(tensors(weights), tensors(zeros), tensors(zeros), tensors(weights))


def _resumed(files: AutoencoderFiles, options: AutoencoderOptions) -> TrainingState | None:
    """State of the last checkpoint; None without one."""
    checkpoint = files.load_checkpoint()
    if checkpoint is None:
        return None
    arrays, header = checkpoint
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    for name, array in arrays.items():
        part, _, weight = name.partition("/")
        parts[part][weight] = _tensor(array, options)
    return TrainingState(**parts, steps=header["steps"], history=header["history"])


class _HeldBatches:
    """Batches of states in memory, on the device."""

    def __init__(self, states: TrainingStates, options: AutoencoderOptions) -> None:
        import torch

        self._rows, self._validation = (
            torch.from_numpy(scaled_rows(rows, states.mean, states.scale)).to(options.device)
            for rows in (states.training, states.validation)
        )
        self._size = options.batch_size

    def training(self, entropy: tuple[int, ...]) -> Iterator[Tensor]:
        import torch

        order = np.random.default_rng(entropy).permutation(len(self._rows))
        for batch in torch.from_numpy(order).split(self._size):
            yield self._rows[batch.to(self._rows.device)]

    def validation(self) -> Iterator[Tensor]:
        yield self._validation


class _StreamedBatches:
    """Batches of states that are read in each epoch and copied to the device one by one."""

    def __init__(self, states: StreamedStates, options: AutoencoderOptions) -> None:
        self._states, self._options = states, options

    def training(self, entropy: tuple[int, ...]) -> Iterator[Tensor]:
        for rows in self._states.batches(self._options.batch_size, entropy):
            yield _tensor(rows, self._options)

    def validation(self) -> Iterator[Tensor]:
        for rows in self._states.validation_blocks():
            yield _tensor(rows, self._options)


class _Trainer:
    """Epochs of training on one state."""

    def __init__(
        self,
        states: States,
        options: AutoencoderOptions,
        entropy: tuple[int, ...],
        state: TrainingState,
    ) -> None:
        self._batches: _HeldBatches | _StreamedBatches = (
            _StreamedBatches(states, options)
            if isinstance(states, StreamedStates)
            else _HeldBatches(states, options)
        )
        self._options, self._entropy, self._state = options, entropy, state
        self._network = build_network(state.weights)
        self._network.requires_grad_()
        state.weights = dict(self._network.named_parameters())
        self._optimizer = _optimizer(state, options)

    @property
    def done(self) -> bool:
        """Whether training has ended."""
        history = self._state.history
        if not history:
            return False
        waited = len(history) - 1 - self._state.best_epoch
        return len(history) >= self._options.n_epochs or waited >= self._options.patience

    def epoch(self) -> None:
        """Take the training states once, then score the validation states."""
        import torch

        epoch = len(self._state.history)
        for rows in self._batches.training((*self._entropy, epoch)):
            self._optimizer.zero_grad()
            self._error(rows).backward()
            self._optimizer.step()
            self._state.steps += 1
        with torch.no_grad():
            self._state.history.append(self._validation_error())
        if self._state.best_epoch == epoch:
            self._state.best = {
                name: weight.detach().clone() for name, weight in self._state.weights.items()
            }

    def _validation_error(self) -> float:
        """Mean squared error on the validation states, in blocks of any size."""
        blocks = [(float(self._error(rows)), len(rows)) for rows in self._batches.validation()]
        errors, sizes = zip(*blocks, strict=True)
        return float(np.average(errors, weights=sizes))

    def _error(self, rows: Tensor) -> Tensor:
        reconstructed: Tensor = self._network(rows)
        return (reconstructed - rows).square().mean()


def _optimizer(state: TrainingState, options: AutoencoderOptions) -> torch.optim.Adam:
    """Adam whose running means are the tensors of the state."""
    import torch

    # Fused, since one call per small layer takes longer than its arithmetic.
    optimizer = torch.optim.Adam(state.weights.values(), lr=options.learning_rate, fused=True)
    for name, weight in state.weights.items():
        optimizer.state[weight] = {
            "step": torch.tensor(float(state.steps), device=weight.device),
            "exp_avg": state.first[name],
            "exp_avg_sq": state.second[name],
        }
    return optimizer


def _tensor(array: NDArray[Any], options: AutoencoderOptions) -> Tensor:
    import torch

    return torch.tensor(np.asarray(array, dtype=np.float32), device=options.device)

"""Training an autoencoder: Adam on the mean squared error, stopped by texts it does not train on.

Each epoch goes once through the training states in batches, in an order of its own. After it the
mean squared error on the validation states is taken; the weights of the epoch with the least are
kept, and training ends after `patience` epochs without a lesser one, or after `n_epochs`.

The same seed gives the same bits on the same machine with the same number of threads. Initial
weights and the order of each epoch come from generators of their own (the order from the seed and
the epoch's number, so that the number is all of the generator's state that there is to keep); no
global generator is read or seeded.

With a folder, weights, the state of the optimizer, the best weights and the epoch are written there
every few epochs, each time in one file that is whole or not there. Training that was interrupted
goes on from it and ends with the very same weights; one that is finished is read back.

Source: arXiv 2502.12131 (Adam, 1e-3, mean squared error, 100 epochs, patience 10). The batch size
is ours.

Cost: about 6 operations per weight, state and epoch, a few calls per layer and batch on top. With
D = 576, k = 10 and a bottleneck of 2 there are 0.5 million weights: 3 million operations a state.

Not handled: several seeds at once (the scatter between them is not in any interval), schedules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.autoencoder_network import (
    DECODER,
    ENCODER,
    Autoencoder,
    initial_weights,
    load_arrays,
    load_autoencoder,
    run_half,
    save_arrays,
)
from transformer_dynamics.measures.dimension.autoencoder_streaming import StreamedStates
from transformer_dynamics.storage.files import fingerprint, make_folder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CHECKPOINT_FORMAT = "transformer-dynamics autoencoder checkpoint 1"
CHECKPOINT_EVERY = 5

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class AutoencoderOptions:
    """Options of an autoencoder and its training; the paper's values where it gives them.

    Attributes:
        n_layers: layers of units in each half, the stream and the bottleneck included.
        n_epochs: epochs at most.
        patience: epochs without a lesser validation error after which training ends.
        learning_rate: of Adam.
        batch_size: states in a batch.
        device: where torch trains, as in `torch.device`.
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
    """States that an autoencoder is trained on.

    Attributes:
        training: states `(row, unit)`.
        validation: states of other texts, `(row, unit)`.
        mean: what is taken from both, `(unit)`.
        scale: what both are divided by.
    """

    training: NDArray[Any]
    validation: NDArray[Any]
    mean: NDArray[np.float64]
    scale: float


@dataclass
class _State:
    """State of training after an epoch; tensors by weight's name.

    Attributes:
        weights: as they are.
        first: running mean of gradients, of the optimizer.
        second: running mean of their squares.
        best: weights of the epoch with the least validation error.
        steps: batches seen.
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
        """The first epoch with the least validation error, counted from 0."""
        return int(np.argmin(self.history))


def train_autoencoder(
    states: TrainingStates | StreamedStates,
    bottleneck: int,
    *,
    options: AutoencoderOptions | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    on_progress: Progress | None = None,
) -> Autoencoder:
    """Train one autoencoder.

    Args:
        states: training and validation states, with the mean and scale to apply to both; in
            memory, or read from a recording in each epoch.
        bottleneck: units of the narrowest layer, fewer than those of the states.
        options: layers and training; the paper's by default.
        seed: of the initial weights and of the batches.
        out: a folder for checkpoints and the result, `autoencoder-<bottleneck>.safetensors`;
            training that was interrupted goes on where it stopped. Without it nothing is written.
        on_progress: called with epochs done and epochs at most; the last call has both equal.

    Returns:
        The autoencoder with the best validation weights.

    Raises:
        InputError: no training or validation states, a bottleneck that is none, or a folder that
            holds the autoencoder of other states, options or another seed.
        TdynError: the folder cannot be written.
    """
    options = options or AutoencoderOptions()
    n_units = _require_states(states)
    identity = _identity(states, bottleneck, options, seed)
    report = on_progress or (lambda done, total: None)
    files = None if out is None else _Files(Path(out), bottleneck, identity)
    if files is not None and files.finished():
        report(options.n_epochs, options.n_epochs)
        return load_autoencoder(files.result)
    state = None if files is None else files.load(options)
    if state is None:
        state = _begin(initial_weights(n_units, bottleneck, options.n_layers, seed=seed), options)
    trainer = _Trainer(states, options, (seed, bottleneck), state)
    while not trainer.done:
        trainer.epoch()
        if files is not None and len(state.history) % CHECKPOINT_EVERY == 0:
            files.save(state)
        report(len(state.history), options.n_epochs)
    if len(state.history) < options.n_epochs:
        report(options.n_epochs, options.n_epochs)
    best, history = _arrays(state.best), tuple(state.history)
    trained = Autoencoder(best, states.mean, states.scale, history, identity)
    if files is not None:
        files.finish(trained)
    return trained


def _require_states(states: TrainingStates | StreamedStates) -> int:
    """The number of units; states in memory whose shapes do not fit are refused."""
    if isinstance(states, StreamedStates):
        return states.n_units
    shapes = states.training.shape, states.validation.shape
    if any(len(shape) != 2 or 0 in shape for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise InputError(
            f"got training and validation states of shapes {shapes[0]} and {shapes[1]}; both are "
            "(row, unit) with at least one row and the same units: "
            "TrainingStates(training, validation, mean=training.mean(axis=0), scale=1.0)"
        )
    return int(states.training.shape[1])


class _Held:
    """States in memory, on the device."""

    def __init__(self, states: TrainingStates, options: AutoencoderOptions) -> None:
        self._rows = _tensor((states.training - states.mean) / states.scale, options)
        self._validation = _tensor((states.validation - states.mean) / states.scale, options)
        self._size = options.batch_size

    def batches(self, entropy: tuple[int, ...]) -> Iterator[Tensor]:
        import torch

        order = np.random.default_rng(entropy).permutation(len(self._rows))
        for batch in torch.from_numpy(order).split(self._size):
            yield self._rows[batch.to(self._rows.device)]

    def validation(self) -> Iterator[Tensor]:
        yield self._validation


class _Streamed:
    """States that are read in each epoch and taken to the device batch by batch."""

    def __init__(self, states: StreamedStates, options: AutoencoderOptions) -> None:
        self._states, self._options = states, options

    def batches(self, entropy: tuple[int, ...]) -> Iterator[Tensor]:
        for rows in self._states.batches(self._options.batch_size, entropy):
            yield _tensor(rows, self._options)

    def validation(self) -> Iterator[Tensor]:
        for rows in self._states.validation_blocks():
            yield _tensor(rows, self._options)


class _Trainer:
    """Epoch after epoch on one state."""

    def __init__(
        self,
        states: TrainingStates | StreamedStates,
        options: AutoencoderOptions,
        entropy: tuple[int, ...],
        state: _State,
    ) -> None:
        self._source: _Held | _Streamed = (
            _Streamed(states, options)
            if isinstance(states, StreamedStates)
            else _Held(states, options)
        )
        self._options, self._entropy, self._state = options, entropy, state
        for weight in state.weights.values():
            weight.requires_grad_()
        self._optimizer = _optimizer(state, options)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to train."""
        history = self._state.history
        if not history:
            return False
        waited = len(history) - 1 - self._state.best_epoch
        return len(history) >= self._options.n_epochs or waited >= self._options.patience

    def epoch(self) -> None:
        """Go through the training states once, then look at the validation states."""
        import torch

        epoch = len(self._state.history)
        for rows in self._source.batches((*self._entropy, epoch)):
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
        """Mean squared error on the validation states, which come in blocks of any size."""
        found = [(float(self._error(rows)), len(rows)) for rows in self._source.validation()]
        errors, sizes = zip(*found, strict=True)
        return float(np.average(errors, weights=sizes))

    def _error(self, rows: Tensor) -> Tensor:
        latents = run_half(self._state.weights, ENCODER, rows)
        return (run_half(self._state.weights, DECODER, latents) - rows).square().mean()


def _begin(weights: Mapping[str, NDArray[Any]], options: AutoencoderOptions) -> _State:
    """Training that has not begun."""
    zeros = {name: np.zeros_like(array) for name, array in weights.items()}

    def tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        return {name: _tensor(array, options) for name, array in arrays.items()}

    return _State(tensors(weights), tensors(zeros), tensors(zeros), tensors(weights))


def _optimizer(state: _State, options: AutoencoderOptions) -> torch.optim.Adam:
    """Adam whose running means are the state's own tensors."""
    import torch

    # One call for all weights: called one by one, small layers take longer than their arithmetic.
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


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def _identity(
    states: TrainingStates | StreamedStates, bottleneck: int, options: AutoencoderOptions, seed: int
) -> str:
    """A digest of everything that the weights depend on."""
    hasher = hashlib.sha256()
    if isinstance(states, StreamedStates):
        hasher.update(states.recording.digest.encode())
    for array in (states.training, states.validation, states.mean, np.float64(states.scale)):
        hasher.update(np.ascontiguousarray(array).data)
    told = {**asdict(options), "bottleneck": bottleneck, "seed": seed, "states": hasher.hexdigest()}
    return fingerprint(told)


class _Files:
    """The checkpoint and the result of one autoencoder in a folder."""

    PARTS = ("weights", "first", "second", "best")

    def __init__(self, folder: Path, bottleneck: int, identity: str) -> None:
        make_folder(folder)
        self.result = folder / f"autoencoder-{bottleneck}.safetensors"
        self._checkpoint = folder / f"autoencoder-{bottleneck}.checkpoint.safetensors"
        self._identity = identity

    def finished(self) -> bool:
        """Whether the autoencoder is there already."""
        if not self.result.exists():
            return False
        self._require_same(self.result, load_autoencoder(self.result).identity)
        return True

    def load(self, options: AutoencoderOptions) -> _State | None:
        """The state that was saved last, if there is one."""
        if not self._checkpoint.exists():
            return None
        arrays, header = load_arrays(self._checkpoint, CHECKPOINT_FORMAT)
        self._require_same(self._checkpoint, header["identity"])
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in self.PARTS}
        for name, array in arrays.items():
            part, _, weight = name.partition("/")
            parts[part][weight] = _tensor(array, options)
        return _State(**parts, steps=header["steps"], history=header["history"])

    def save(self, state: _State) -> None:
        """Write the state, in place of the one before."""
        arrays = {
            f"{part}/{name}": array
            for part in self.PARTS
            for name, array in _arrays(getattr(state, part)).items()
        }
        header = {"steps": state.steps, "history": state.history, "identity": self._identity}
        save_arrays(self._checkpoint, arrays, {"format": CHECKPOINT_FORMAT, **header})

    def finish(self, trained: Autoencoder) -> None:
        """Write the result and clear the checkpoint away."""
        trained.save(self.result)
        self._checkpoint.unlink(missing_ok=True)

    def _require_same(self, path: Path, identity: str) -> None:
        if identity != self._identity:
            raise InputError(
                f"{path} was trained on other states, with other options or another seed; give "
                "another folder, or delete the file: out='runs/demo/autoencoder'"
            )

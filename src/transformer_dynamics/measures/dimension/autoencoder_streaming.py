"""Training states read from a recording in blocks, so that they need not fit in memory.

Each epoch takes the stored blocks of samples in an order of its own; a few blocks are held at a
time, and their states, all sites together, are shuffled. Order and shuffles depend on the seed and
the epoch. Every state of the training texts is used once an epoch.

Source: arXiv 2502.12131 trains on 85,000 x 64 states; the blocks: ours. Cost: the recording is read
once for the means, and once per epoch for training and validation. Limits: batches do not mix
states of blocks that are not held together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.principal_axes import PrincipalAxes, require_finite
from transformer_dynamics.numerics.splits import split_texts
from transformer_dynamics.recording.disk.chunks import chunk_rows
from transformer_dynamics.recording.recording import Recording

# Number of blocks whose states are shuffled together; a block of the recorder has about 16 MiB.
BLOCKS_HELD = 4


@dataclass(frozen=True, eq=False)
class StreamedStates:
    """Training states of an autoencoder, read from disk in blocks.

    Attributes:
        recording: states `(sample, site, unit)`.
        training: training samples, in ascending order.
        validation: validation samples, of other texts.
        site_means: means of the training samples, `(site, unit)`.
        mean: mean subtracted from all states, `(unit)`.
        scale: divisor of all states.
    """

    recording: Recording
    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    site_means: Floats
    mean: Floats
    scale: float

    @classmethod
    def of(
        cls, recording: Recording, training: NDArray[np.int64], validation: NDArray[np.int64]
    ) -> StreamedStates:
        """Select training and validation samples, with means and scale from one pass.

        Raises:
            InputError: there are no training or validation samples, or states are not finite.
        """
        if not len(training) or not len(validation):
            raise InputError(
                f"got {len(training)} training and {len(validation)} validation samples; give at "
                "least one of each: StreamedStates.split(recording, (0.8, 0.2))"
            )
        first = recording.isel(sample=training[:1]).values[0].astype(np.float64)
        total, squares = np.zeros_like(first), np.zeros_like(first)
        for values in _blocks_of(recording, training):
            deviations = values - first
            total += deviations.sum(axis=0)
            squares += np.einsum("nsu,nsu->su", deviations, deviations)
        offsets = total / len(training)
        variance = squares / len(training) - offsets**2
        require_finite(variance.sum(axis=0))
        means = first + offsets
        mean = means[0] + (means - means[0]).mean(axis=0)
        pooled = variance.mean(axis=0) + ((means - mean) ** 2).mean(axis=0)
        spread = max(0.0, float(pooled.mean()))
        return cls(recording, training, validation, means, mean, float(np.sqrt(spread)))

    @classmethod
    def split(
        cls, recording: Recording, shares: Sequence[float] = (0.8, 0.2), *, seed: int = 0
    ) -> StreamedStates:
        """Split a recording by text into training and validation samples.

        Raises:
            InputError: fewer than two texts, or states that are not finite.
        """
        training, validation = split_texts(recording.text_index, shares, seed=seed)
        return cls.of(recording, training, validation)

    @property
    def n_units(self) -> int:
        """Number of units of a state."""
        return self.recording.shape[2]

    def axes(self, most: int) -> PrincipalAxes:
        """Leading principal components of the training states, at most `most` of them."""
        training = self.recording.isel(sample=self.training)
        n_samples, n_sites, n_units = training.shape
        result = pca(training, n_components=min(most, n_samples * n_sites, n_units))
        loading = result["loading"].values
        return PrincipalAxes(result["mean"].values, loading, np.full(len(loading), np.nan), np.nan)

    def batches(self, size: int, entropy: tuple[int, ...]) -> Iterator[NDArray[np.float32]]:
        """Yield the training states of one epoch in batches, (x - mean) / scale, `(row, unit)`.

        Args:
            size: maximum number of states in a batch.
            entropy: seed of the order, which includes the index of the epoch.
        """
        generator = np.random.default_rng(entropy)
        blocks = _samples_of_blocks(self.recording, self.training)
        order = generator.permutation(len(blocks))
        for start in range(0, len(order), BLOCKS_HELD):
            held = [self._rows(blocks[index]) for index in order[start : start + BLOCKS_HELD]]
            rows = np.concatenate(held)
            del held
            for batch in np.array_split(generator.permutation(len(rows)), -(-len(rows) // size)):
                yield rows[batch]

    def validation_blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the validation states in blocks, (x - mean) / scale, `(row, unit)`."""
        for samples in _samples_of_blocks(self.recording, self.validation):
            yield self._rows(samples)

    def _rows(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = _read(self.recording, samples).reshape(-1, self.n_units).astype(np.float32)
        rows -= self.mean.astype(np.float32)
        rows /= np.float32(self.scale)
        return rows


def _samples_of_blocks(recording: Recording, samples: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Divide samples, in ascending order, by the stored block of each."""
    if recording.in_memory:
        n_samples, n_sites, n_units = recording.shape
        rows = chunk_rows(n_sites, n_units, recording.activation.dtype.itemsize)
        ends = np.arange(rows, n_samples, rows)
    else:
        ends = np.cumsum(recording.activation.variable.chunksizes["sample"])[:-1]
    parts = np.split(samples, np.searchsorted(samples, ends))
    return [part for part in parts if len(part)]


def _blocks_of(recording: Recording, samples: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    for part in _samples_of_blocks(recording, samples):
        yield _read(recording, part)


def _read(recording: Recording, samples: NDArray[np.int64]) -> NDArray[Any]:
    """States of some samples of one block, `(sample, site, unit)`."""
    return recording.isel(sample=samples).values

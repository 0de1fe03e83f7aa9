"""Training states read from a recording, some blocks at a time, so that it need not fit in memory.

Each epoch goes through the blocks of samples in which the recording lies on disk, in an order of
its own; a few blocks are held at a time, and their states, all sites together, are shuffled among
each other. Order and shuffles come from the seed and the epoch's number. So every state of the
training texts is seen once an epoch, and memory is a few blocks, whatever the number of texts.

Source: arXiv 2502.12131 trains on 85,000 x 64 states; the blocks: ours.

Cost: the recording is read once for the means, once per epoch for training and once for
validation. Not handled: batches that mix states of blocks that are not held together.
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

# Blocks whose states are shuffled among each other; the recorder's blocks are of about 16 MiB.
BLOCKS_HELD = 4


@dataclass(frozen=True, eq=False)
class StreamedStates:
    """Training states of an autoencoder, read from disk in blocks.

    Attributes:
        recording: the states.
        training: samples to train on, in ascending order.
        validation: samples of other texts that stop the training.
        site_means: of the training samples, `(site, unit)`.
        mean: what is taken from all, `(unit)`.
        scale: what all are divided by.
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
        """The states of some samples, with their means and scale from one pass.

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
            away = values - first
            total += away.sum(axis=0)
            squares += np.einsum("nsu,nsu->su", away, away)
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
        """The states of a split by text: a part to train on, and one that stops the training.

        Raises:
            InputError: fewer than two texts, or states that are not finite.
        """
        training, validation = split_texts(recording.text_index, shares, seed=seed)
        return cls.of(recording, training, validation)

    @property
    def n_units(self) -> int:
        """Units of a state."""
        return self.recording.shape[2]

    def axes(self, most: int) -> PrincipalAxes:
        """The leading principal components of the training states, at most so many."""
        training = self.recording.isel(sample=self.training)
        n_samples, n_sites, n_units = training.shape
        found = pca(training, n_components=min(most, n_samples * n_sites, n_units))
        loading = found["loading"].values
        return PrincipalAxes(found["mean"].values, loading, np.full(len(loading), np.nan), np.nan)

    def batches(self, size: int, entropy: tuple[int, ...]) -> Iterator[NDArray[np.float32]]:
        """One epoch of training states in batches, `(row, unit)`, less the mean, over the scale.

        Args:
            size: states in a batch; the last of those held together may be smaller.
            entropy: seed of the order, the epoch's number included.
        """
        generator = np.random.default_rng(entropy)
        blocks = _samples_of_blocks(self.recording, self.training)
        order = generator.permutation(len(blocks))
        for start in range(0, len(order), BLOCKS_HELD):
            held = [self._rows(blocks[place]) for place in order[start : start + BLOCKS_HELD]]
            rows = np.concatenate(held)
            del held
            for batch in np.array_split(generator.permutation(len(rows)), -(-len(rows) // size)):
                yield rows[batch]

    def validation_blocks(self) -> Iterator[NDArray[np.float32]]:
        """The validation states, block by block, `(row, unit)`, less the mean, over the scale."""
        for samples in _samples_of_blocks(self.recording, self.validation):
            yield self._rows(samples)

    def _rows(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = _read(self.recording, samples).reshape(-1, self.n_units).astype(np.float32)
        rows -= self.mean.astype(np.float32)
        rows /= np.float32(self.scale)
        return rows


def _samples_of_blocks(recording: Recording, samples: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Some samples, in ascending order, by the block in which they lie."""
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

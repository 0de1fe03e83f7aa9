"""States of a recording, read from memory or, block by block, from disk.

Blocks of samples are whole chunks of the store, each read once. Blocks of units or of sites read
the store once per block, in at most 16 passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.recording.disk.checks import require_whole
from transformer_dynamics.recording.disk.chunks import DIMS
from transformer_dynamics.recording.disk.schedulers import computed
from transformer_dynamics.recording.labels import Labels
from transformer_dynamics.storage.addresses import place

# Blocks of units or sites hold about this many bytes. A recording that is larger than 16 blocks is
# cut into 16, so that it is never read more often.
BLOCK_BYTES = 16 * 2**20
MOST_PASSES = 16

Blocks = Iterator[tuple[slice, NDArray[Any]]]
"""Slice along one dimension, and the states `(sample, site, unit)` of that slice."""


@dataclass(frozen=True)
class States(Labels):
    """Labeled states `(sample, site, unit)`, in memory or on disk.

    Attributes:
        dataset: the labels, and `activation` `(sample, site, unit)`.
    """

    @property
    def activation(self) -> xr.DataArray:
        """States `(sample, site, unit)`, in the units of the residual stream."""
        return self.dataset["activation"]

    @property
    def values(self) -> NDArray[Any]:
        """States in memory, `(sample, site, unit)`.

        Raises:
            RecordingError: a chunk on disk was altered; the message names it.
        """
        # No cached_property: up to Python 3.11 it holds one lock for all recordings, for which the
        # threads that compute the blocks of a lazy null would wait.
        if "values" not in self.__dict__:
            with self._naming_broken_chunks():
                self.__dict__["values"] = computed(self.activation.data)
        states: NDArray[Any] = self.__dict__["values"]
        return states

    @contextmanager
    def _naming_broken_chunks(self) -> Iterator[None]:
        """Name the broken chunk, which the reader's own error does not."""
        try:
            yield
        except ValueError as error:
            if "checksum" not in str(error).lower():
                raise
            require_whole(place(self.activation.encoding["source"]), read=True)
            raise

    @property
    def in_memory(self) -> bool:
        """Whether the states are in memory; otherwise they are read from disk on access."""
        return "values" in self.__dict__ or isinstance(self.activation.data, np.ndarray)

    def blocks(self) -> Blocks:
        """Iterate over blocks of samples: the slice of samples, and states `(sample, site, unit)`.

        States in memory are one block. States on disk come in whole chunks of the store, each read
        once.
        """
        if self.in_memory:
            yield slice(0, self.shape[0]), self.values
            return
        for rows in self._rows_of_blocks():
            yield rows, self._read(rows)

    def _rows_of_blocks(self) -> Iterator[slice]:
        start = 0
        for n_rows in self.activation.variable.chunksizes["sample"]:
            yield slice(start, start + n_rows)
            start += n_rows

    def _read(self, rows: slice) -> NDArray[Any]:
        with self._naming_broken_chunks():
            return computed(self.activation.data[rows])

    def _states_of(self, chosen: NDArray[np.intp]) -> NDArray[Any]:
        """Read the states of samples, given by ascending positions, one block at a time."""
        if self.in_memory:
            return self.values[chosen]
        states = np.empty((len(chosen), *self.shape[1:]), dtype=self.activation.dtype)
        for rows in self._rows_of_blocks():
            inside = slice(*np.searchsorted(chosen, (rows.start, rows.stop)))
            if inside.start < inside.stop:
                states[inside] = self._read(rows)[chosen[inside] - rows.start]
        return states

    def sample_blocks(self) -> Iterator[Self]:
        """Iterate over recordings in memory that join to this one along `sample`."""
        for rows, states in self.blocks():
            block = self.dataset.drop_vars("activation").isel(sample=rows, missing_dims="ignore")
            yield replace(self, dataset=block.assign(activation=(DIMS, states)))

    def unit_blocks(self) -> Blocks:
        """Iterate over blocks of units: the slice of units, and states `(sample, site, unit)`.

        States in memory are one block. States on disk are read once per block, in at most 16
        blocks; a loop that ends with `del` of the states holds one block at a time, not two.
        """
        yield from self._axis_blocks(2)

    def site_blocks(self) -> Blocks:
        """Iterate over blocks of sites: the slice of sites, and states `(sample, site, unit)`.

        States are read as in `unit_blocks`.
        """
        yield from self._axis_blocks(1)

    def _axis_blocks(self, axis: int) -> Blocks:
        size = self.shape[axis]
        if self.in_memory:
            yield slice(0, size), self.values
            return
        n_blocks = min(size, MOST_PASSES, -(-self.activation.nbytes // BLOCK_BYTES))
        for indices in np.array_split(np.arange(size), n_blocks):
            chosen = slice(int(indices[0]), int(indices[-1]) + 1)
            yield chosen, self._gather(axis, chosen)

    def _gather(self, axis: int, chosen: slice) -> NDArray[Any]:
        index: list[slice] = [slice(None)] * 3
        index[axis] = chosen
        shape = list(self.shape)
        shape[axis] = chosen.stop - chosen.start
        gathered = np.empty(shape, dtype=self.activation.dtype)
        for rows, states in self.blocks():
            gathered[rows] = states[tuple(index)]
        return gathered

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of samples, sites and units."""
        n_samples, n_sites, n_units = self.activation.shape
        return n_samples, n_sites, n_units

    @cached_property
    def description(self) -> dict[str, Any]:
        """Shape, dtype, range of sites, provenance and digest, as a result cites a recording."""
        return {
            "shape": list(self.shape),
            "dtype": str(self.activation.dtype),
            "first_site": self.sites[0],
            "last_site": self.sites[-1],
            "provenance": self.provenance,
            "digest": self.digest,
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the states and the sites."""
        hasher = hashlib.sha256("\0".join(self.sites).encode())
        for _, states in self.blocks():
            hasher.update(np.ascontiguousarray(states).data)
        return hasher.hexdigest()

"""States of one site at a time, in any order and as often as needed, without a copy in memory.

A recording on disk holds all sites of a sample together, so that every look at one site reads all
of it. It is therefore read once and copied, site after site, into a temporary file, which takes the
bytes of its states in the folder of temporary files (`TMPDIR`). Threads may read at the same time.
"""

from __future__ import annotations

import errno
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.blocks import Blockwise

# Samples that are taken together: enough for products of matrices, few enough for the caches.
BLOCK_ROWS = 64


@dataclass(frozen=True)
class SiteStates:
    """States by site, in memory or in a temporary file.

    Attributes:
        shape: number of samples, sites and units.
        dtype: dtype of the states.
        source: states `(sample, site, unit)`, or a file of states `(site, sample, unit)`.
    """

    shape: tuple[int, int, int]
    dtype: DTypeLike
    source: NDArray[Any] | IO[bytes]
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def site(self, site: int, rows: slice = slice(None)) -> NDArray[Any]:
        """States of a site, `(sample, unit)`, of all samples or of a slice of them."""
        if isinstance(self.source, np.ndarray):
            return self.source[rows, site]
        n_samples, _, n_units = self.shape
        start, stop, _ = rows.indices(n_samples)
        states = np.empty((stop - start, n_units), dtype=self.dtype)
        with self._lock:
            self.source.seek((site * n_samples + start) * states.itemsize * n_units)
            n_read = self.source.readinto(states)  # type: ignore[attr-defined]
        if n_read != states.nbytes:
            raise OSError(
                f"the temporary file of states gave {n_read} of {states.nbytes} bytes of a site"
            )
        return states

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Iterate over sites: the states `(sample, unit)` of each."""
        return map(self.site, range(self.shape[1]))

    def row_blocks(self) -> Iterator[slice]:
        """Iterate over slices of a few samples."""
        for start in range(0, self.shape[0], BLOCK_ROWS):
            yield slice(start, min(start + BLOCK_ROWS, self.shape[0]))


@contextmanager
def by_site(recording: Blockwise) -> Iterator[SiteStates]:
    """Give access to single sites of a recording until the context ends.

    Raises:
        InputError: the temporary file does not fit on its disk.

    >>> from transformer_dynamics.recording import Recording
    >>> with by_site(Recording.from_array(np.zeros((5, 3, 2)))) as states:
    ...     states.site(1).shape
    (5, 2)
    """
    if recording.in_memory:
        yield SiteStates(recording.shape, recording.values.dtype, recording.values)
        return
    with tempfile.TemporaryFile() as file:
        try:
            dtype = _write_sites(recording, file)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            n_samples, n_sites, n_units = recording.shape
            raise InputError(
                f"got {n_samples} samples of {n_sites} sites and {n_units} units, which are copied "
                f"by site into a temporary file, and {tempfile.gettempdir()} is full; name a "
                "larger folder, as in TMPDIR=/scratch, or load them: recording.load()"
            ) from error
        yield SiteStates(recording.shape, dtype, file)


def _write_sites(recording: Blockwise, file: IO[bytes]) -> DTypeLike:
    """Write states `(site, sample, unit)`, and return their dtype."""
    n_samples, n_sites, n_units = recording.shape
    dtype: DTypeLike = np.float64
    for rows, states in recording.blocks():
        dtype = states.dtype
        for site in range(n_sites):
            file.seek((site * n_samples + rows.start) * states.itemsize * n_units)
            file.write(np.ascontiguousarray(states[:, site]).data)
        del states  # or it would be held while the next block is read
    file.flush()
    return dtype

"""Handles by which tasks receive the data of claims: recordings and results of perturbations."""

from __future__ import annotations

from typing import Any

from transformer_dynamics.numerics.parallel import Pool
from transformer_dynamics.recording import recording as recordings
from transformer_dynamics.recording.recording import Recording


class Handles:
    """Handles of a pool, one for each recording or result.

    A recording on disk is opened by each process that reads it. Recordings are loaded, in the order
    in which their handles are asked for, as long as all together hold at most 4 GiB; the others are
    read block by block.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[int, tuple[Any, Any]] = {}
        self._n_bytes = 0
        self._in_blocks: set[int] = set()

    def of(self, data: Any) -> Any:
        """Return the handle of a recording or of a result."""
        if id(data) not in self._known:
            # The data are kept, so that their id stays theirs.
            self._known[id(data)] = data, self._made(data)
        return self._known[id(data)][1]

    def loads(self, data: Any) -> bool:
        """Whether the tasks have a recording in memory; otherwise they read it in blocks."""
        self.of(data)
        return id(data) not in self._in_blocks

    def _made(self, data: Any) -> Any:
        shared = self._pool.share(data)
        if not isinstance(data, Recording) or data.in_memory:
            return shared
        self._n_bytes += data.activation.nbytes
        if self._n_bytes > recordings.LOADED_BYTES:
            self._in_blocks.add(id(data))
            return shared
        return self._pool.once(Recording.load, shared)

"""File of one shard: chunks of whole samples one after another, then their index.

The format is that of the codec `sharding_indexed` of Zarr 3, with a checksum (crc32c) after every
chunk and after the index, and any Zarr library reads it. Zarr's own writer would hold two copies of
the shard (2.4 times its bytes, measured on 256 MB) and take four times the processor time; this one
writes chunk by chunk.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

CHECKSUM_BYTES = 4
# Offset and size of each chunk, as unsigned 64-bit integers.
ENTRY_BYTES = 16
MISSING = np.iinfo(np.uint64).max


def write_shard_file(path: Path, states: NDArray[Any], rows: int, n_chunks: int) -> None:
    """Write states to a new file, and wait until they are on the disk.

    Args:
        path: The file; its folder exists.
        states: States of the shard, `(sample, site, unit)`.
        rows: Number of samples in a chunk; the last chunk is filled up with NaN.
        n_chunks: Number of chunks of a whole shard; the last shard may hold fewer.
    """
    index = np.full((n_chunks, 2), MISSING, dtype="<u8")
    with path.open("xb") as file:
        for place, start in enumerate(range(0, len(states), rows)):
            chunk = _whole_chunk(states[start : start + rows], rows)
            index[place] = file.tell(), chunk.nbytes + CHECKSUM_BYTES
            file.write(chunk.data)
            file.write(_checksum(chunk))
        file.write(index.data)
        file.write(_checksum(index))
        file.flush()
        os.fsync(file.fileno())


def shard_file_bytes(n_samples: int, chunk_bytes: int, rows: int, n_chunks: int) -> int:
    """Size of the file of a shard.

    Args:
        n_samples: Number of samples in the shard.
        chunk_bytes: Size of a chunk without its checksum.
        rows: Number of samples in a chunk.
        n_chunks: Number of chunks of a whole shard.
    """
    held = -(-n_samples // rows)
    return held * (chunk_bytes + CHECKSUM_BYTES) + n_chunks * ENTRY_BYTES + CHECKSUM_BYTES


def _whole_chunk(states: NDArray[Any], rows: int) -> NDArray[Any]:
    little = states.dtype.newbyteorder("<")
    if len(states) == rows:
        return np.ascontiguousarray(states, dtype=little)
    chunk = np.full((rows, *states.shape[1:]), np.nan, dtype=little)
    chunk[: len(states)] = states
    return chunk


def _checksum(values: NDArray[Any]) -> bytes:
    data = values.reshape(-1).view(np.uint8)
    return int(google_crc32c.value(data)).to_bytes(CHECKSUM_BYTES, "little")

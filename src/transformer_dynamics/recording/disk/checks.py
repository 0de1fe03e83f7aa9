"""Check that every file of a stored recording exists, has its full size, and is unchanged.

A missing file reads as NaN without an error, and an error for a truncated or altered file does not
name it; the checks name both. Cost: one listing of the folder for sizes, one pass over the states
for checksums (crc32c, stored with every chunk). A file holds one shard; recordings of the first
layout have a file for every chunk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk.shard_files import CHECKSUM_BYTES, shard_file_bytes
from transformer_dynamics.storage.addresses import file_sizes, inside

AGAIN = "the same td.record call or `tdyn record` command as before records those shards again"
COPY = "copy it again from where it was recorded"
DELETE = "it has the layout of an earlier version: delete it and record again"


def broken_files(path: Path | str, *, read: bool) -> dict[int, str]:
    """Find the files of a recording that are not as they were written.

    Args:
        path: Folder of the recording, or its address in another store.
        read: Whether to read every chunk and compare its checksum.

    Returns:
        Index of the file along `sample` to its fault.
    """
    array = states_array(path)
    rows = _file_rows(array)
    indices = range(-(-array.shape[0] // rows))
    sizes = file_sizes(path, map(file_name, indices), RecordingError)
    broken = {}
    for index in indices:
        samples = slice(index * rows, min(array.shape[0], (index + 1) * rows))
        size = sizes.get(file_name(index))
        whole = _file_bytes(array, samples.stop - samples.start)
        if size is None:
            broken[index] = "missing"
        elif size != whole:
            broken[index] = f"{size} bytes instead of {whole}"
        elif read and (fault := _altered(array, samples)):
            broken[index] = fault
    return broken


def file_name(index: int) -> str:
    """Name of a file of states in the folder of a recording."""
    return f"activation/c/{index}/0/0"


def states_array(path: Path | str) -> Any:
    """Open the array of states of a store, an array of Zarr."""
    import zarr

    return zarr.open_array(inside(path, "activation"), mode="r")


def is_first_layout(array: Any) -> bool:
    """Whether an array of Zarr has a file for every chunk, as earlier versions wrote it."""
    return bool(array.shards is None)


def _file_rows(array: Any) -> int:
    return int((array.shards or array.chunks)[0])


def _file_bytes(array: Any, n_samples: int) -> int:
    chunk_bytes = int(np.prod(array.chunks) * array.dtype.itemsize)
    if is_first_layout(array):
        return chunk_bytes + CHECKSUM_BYTES
    rows = array.chunks[0]
    return shard_file_bytes(n_samples, chunk_bytes, rows, array.shards[0] // rows)


def _altered(array: Any, samples: slice) -> str | None:
    """Compare the checksums of a file, chunk by chunk."""
    for start in range(samples.start, samples.stop, array.chunks[0]):
        try:
            array[start : min(samples.stop, start + array.chunks[0])]
        except ValueError as error:
            return f"altered ({error})"
    return None


def require_whole(path: Path | str, *, read: bool) -> None:
    """Refuse a recording with a broken file.

    Raises:
        RecordingError: a file is missing, truncated or, if `read`, altered; the message names it.
    """
    broken = broken_files(path, read=read)
    if not broken:
        return
    array = states_array(path)
    rows = _file_rows(array)
    index, fault = next(iter(broken.items()))
    stop = min(array.shape[0], (index + 1) * rows)
    again = AGAIN if isinstance(path, Path) else COPY
    raise RecordingError(
        f"{len(broken)} of {-(-array.shape[0] // rows)} files of {path} are broken: "
        f"{file_name(index)} (samples {index * rows} to {stop - 1}) is {fault}; "
        f"{DELETE if is_first_layout(array) else again}"
    )

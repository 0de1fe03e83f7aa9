"""Check that every chunk of a stored recording exists, has its full size, and is unchanged.

A missing chunk reads as NaN without an error, and an error for a truncated or altered chunk does
not name it; the checks name both. Cost: one listing of the folder for sizes, one pass over the
states for checksums (crc32c, stored with every chunk).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transformer_dynamics.errors import RecordingError

CHECKSUM_BYTES = 4


def broken_chunks(path: Path, *, read: bool) -> dict[int, str]:
    """Find the chunks of a recording that are not as they were written.

    Args:
        path: Folder of the recording.
        read: Whether to read every chunk and compare its checksum.

    Returns:
        Index of the chunk along `sample` to its fault.
    """
    import zarr

    array = zarr.open_array(path / "activation", mode="r")
    whole = int(np.prod(array.chunks)) * array.dtype.itemsize + CHECKSUM_BYTES
    rows = array.chunks[0]
    broken = {}
    for chunk in range(-(-array.shape[0] // rows)):
        file = path / "activation" / "c" / str(chunk) / "0" / "0"
        size = file.stat().st_size if file.exists() else None
        if size is None:
            broken[chunk] = "missing"
        elif size != whole:
            broken[chunk] = f"{size} bytes instead of {whole}"
        elif read:
            try:
                array[chunk * rows : (chunk + 1) * rows]
            except ValueError as error:
                broken[chunk] = f"altered ({error})"
    return broken


def chunk_name(chunk: int) -> str:
    """Name of the file of a chunk in the folder of a recording."""
    return f"activation/c/{chunk}/0/0"


def require_whole(path: Path, *, read: bool) -> None:
    """Refuse a recording with a broken chunk.

    Raises:
        RecordingError: a chunk is missing, truncated or, if `read`, altered; the message names it.
    """
    broken = broken_chunks(path, read=read)
    if broken:
        import zarr

        array = zarr.open_array(path / "activation", mode="r")
        chunk, fault = next(iter(broken.items()))
        start = chunk * array.chunks[0]
        stop = min(array.shape[0], start + array.chunks[0])
        n_chunks = -(-array.shape[0] // array.chunks[0])
        raise RecordingError(
            f"{len(broken)} of {n_chunks} chunks of {path} are broken: "
            f"{chunk_name(chunk)} (samples {start} to {stop - 1}) is {fault}; the same "
            "td.record call or `tdyn record` command as before records those shards again"
        )

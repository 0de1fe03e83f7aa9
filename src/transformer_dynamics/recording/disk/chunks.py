"""Array of states: the values it may hold, and its files and chunks of whole samples on disk.

One file, a shard of Zarr, holds many chunks, so that a large recording is few files; a reader takes
single chunks out of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import is_dask_collection
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk.shard_files import write_shard_file

if TYPE_CHECKING:
    import zarr

DIMS = ("sample", "site", "unit")
CHUNK_BYTES = 16 * 2**20
# Files of a recording that is written at once hold about 256 MiB.
CHUNKS_PER_FILE = 16


def checked_states(values: ArrayLike) -> NDArray[Any]:
    """Return states as an array `(sample, site, unit)` of floats of 16, 32 or 64 bits.

    A dask array is checked by its shape and dtype and is not computed.

    Raises:
        RecordingError: masked entries, another number of dimensions, no entries, no floats.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise RecordingError(
            "got a masked array with masked entries; leave those samples out, as in "
            "Recording.from_array(values[~values.mask.any(axis=(1, 2))].data)"
        )
    array: Any = values if is_dask_collection(values) else np.asarray(values)
    floats = np.issubdtype(array.dtype, np.floating) and array.dtype.itemsize <= 8
    if array.ndim != 3 or 0 in array.shape or not floats:
        raise RecordingError(
            f"got an array of shape {array.shape} and dtype {array.dtype}; a recording takes a "
            "non-empty array of floats (sample, site, unit): "
            "Recording.from_array(values, sites=['0.pre_attn', ...])"
        )
    checked: NDArray[Any] = array
    return checked


def chunk_rows(n_sites: int, n_units: int, itemsize: int) -> int:
    """Number of samples in a chunk of about 16 MiB; at least one."""
    return max(1, CHUNK_BYTES // (n_sites * n_units * itemsize))


def create_states(
    store: Any, shape: tuple[int, int, int], dtype: Any, rows: int, shard_rows: int
) -> zarr.Array:
    """Create the array of states in a store, with checksums and no file of states yet.

    It is not compressed: floats hardly shrink.

    Args:
        store: Folder, or store of Zarr.
        shape: Number of samples, sites and units.
        dtype: Stored dtype.
        rows: Number of samples in a chunk.
        shard_rows: Number of samples in a file, a multiple of `rows`.
    """
    import zarr

    chunk, file = file_rows(shape[0], rows, shard_rows)
    return zarr.create_array(
        store,
        name="activation",
        shape=shape,
        chunks=(chunk, *shape[1:]),
        shards=(file, *shape[1:]),
        dtype=dtype,
        fill_value=float("nan"),
        compressors=[zarr.codecs.Crc32cCodec()],
        dimension_names=DIMS,
    )


def file_rows(n_samples: int, rows: int, shard_rows: int) -> tuple[int, int]:
    """Number of samples in a chunk and in a file, not more than the recording needs.

    >>> file_rows(100, 16, 64), file_rows(40, 16, 64), file_rows(5, 16, 64)
    ((16, 64), (16, 48), (5, 5))
    """
    chunk = min(rows, n_samples)
    return chunk, -(-min(shard_rows, n_samples) // chunk) * chunk


def write_states(path: Path, values: NDArray[Any]) -> None:
    """Write all states `(sample, site, unit)` to a store that has none."""
    n_samples, n_sites, n_units = values.shape
    rows = chunk_rows(n_sites, n_units, values.dtype.itemsize)
    shape = n_samples, n_sites, n_units
    array = create_states(path, shape, values.dtype, rows, rows * CHUNKS_PER_FILE)
    chunk, file = array.chunks[0], array.shards[0]
    for index, start in enumerate(range(0, n_samples, file)):
        folder = states_folder(path) / str(index) / "0"
        folder.mkdir(parents=True)
        write_shard_file(folder / "0", values[start : start + file], chunk, file // chunk)


def states_folder(store: Path) -> Path:
    """Folder of the files of states: the file of shard 3 is `3/0/0` in it."""
    return store / "activation" / "c"

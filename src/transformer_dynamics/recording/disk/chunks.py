"""Array of states: the values it may hold, and its chunks of whole samples on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import is_dask_collection
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.errors import RecordingError

if TYPE_CHECKING:
    import zarr

DIMS = ("sample", "site", "unit")
CHUNK_BYTES = 16 * 2**20


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


def create_states(path: Path, shape: tuple[int, int, int], dtype: Any, rows: int) -> zarr.Array:
    """Create the array of states in a store, with checksums.

    It is not compressed: floats hardly shrink.
    """
    import zarr

    return zarr.create_array(
        path,
        name="activation",
        shape=shape,
        chunks=(min(rows, shape[0]), *shape[1:]),
        dtype=dtype,
        fill_value=float("nan"),
        compressors=[zarr.codecs.Crc32cCodec()],
        dimension_names=DIMS,
    )

"""The array of states on disk: chunks of whole samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import zarr

DIMS = ("sample", "site", "unit")


def create_states(path: Path, shape: tuple[int, int, int], dtype: Any, rows: int) -> zarr.Array:
    """The array of states in a store: uncompressed, since floats hardly shrink, and checksummed."""
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

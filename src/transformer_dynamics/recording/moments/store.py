"""Zarr store of moments: a group for the sums, and one for each measure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import xarray as xr

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.storage.files import local_path, remove_folder

SAMPLE_GROUP = "per_sample"


def write_moments(
    path: str | Path, dataset: xr.Dataset, per_sample: Mapping[str, xr.Dataset]
) -> None:
    """Write moments to a new store; it appears under its name only when it is complete.

    Raises:
        RecordingError: the path exists already.
    """
    path = local_path(path, RecordingError)
    if path.exists():
        raise RecordingError(
            f"{path} exists already; delete it or give another name: moments.save('other.zarr')"
        )
    partial = path.with_name(f".{path.name}.partial")
    remove_folder(partial)
    dataset.drop_encoding().to_zarr(partial, mode="w", consolidated=False)
    for name, gathered in per_sample.items():
        gathered.drop_encoding().to_zarr(
            partial, group=f"{SAMPLE_GROUP}/{name}", mode="w", consolidated=False
        )
    partial.rename(path)


def read_moments(path: str | Path, expected: str) -> tuple[xr.Dataset, dict[str, xr.Dataset]]:
    """Read the sums, and the statistics of each measure by its name, into memory.

    Args:
        path: Folder of the store.
        expected: Format of a store of moments.

    Raises:
        RecordingError: the path does not exist, or holds no moments.
    """
    path = local_path(path, RecordingError)
    if not path.exists():
        raise RecordingError(
            f"there are no moments at {path}; make them with "
            "td.record(model, texts, keep='moments', out=...)"
        )
    try:
        dataset = xr.open_zarr(path, consolidated=False, chunks=None).load()
        if dataset.attrs.get("format") != expected:
            raise RecordingError(
                f"{path} is a Zarr store but holds no moments (its format is "
                f"{dataset.attrs.get('format')!r}, expected {expected!r}); a recording is opened "
                "with td.open_recording"
            )
        names = sorted(child.name for child in (path / SAMPLE_GROUP).iterdir() if child.is_dir())
        return dataset, {
            name: xr.open_zarr(
                path, group=f"{SAMPLE_GROUP}/{name}", consolidated=False, chunks=None
            ).load()
            for name in names
        }
    except (OSError, ValueError, KeyError) as error:
        raise RecordingError(
            f"{path} cannot be read as moments ({type(error).__name__}: {error}); delete it and "
            "record again"
        ) from error

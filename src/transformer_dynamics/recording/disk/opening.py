"""Open a recording from disk."""

from __future__ import annotations

import json
from pathlib import Path

import xarray as xr

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk import forks
from transformer_dynamics.recording.disk.checks import require_whole
from transformer_dynamics.recording.recording import FORMAT, Recording
from transformer_dynamics.storage.addresses import exists, place, require_ranges

forks.register()


def open_recording(path: str | Path, *, check: bool = True) -> Recording:
    """Open a recording from disk; states are read on access. Needs no torch.

    Args:
        path: Folder of the recording, or its address in a store that fsspec reads, as text:
            `"s3://bucket/recording.zarr"`.
        check: Whether to refuse a recording with a missing or truncated chunk. An altered chunk is
            detected when it is read.

    Raises:
        RecordingError: the path does not exist, or holds no recording, or an unfinished or broken
            one.
    """
    path = place(path, RecordingError)
    # Some stores know files and no folders.
    if not exists(path if isinstance(path, Path) else f"{path}/zarr.json", RecordingError):
        raise RecordingError(f"there is no recording at {path}; {_hint(path)}")
    if isinstance(path, str):
        require_ranges(path, "zarr.json", RecordingError)
    try:
        dataset = _opened(path)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise RecordingError(
            f"{path} is not a Zarr store ({type(error).__name__}: {error}); {_instead_of(path)}"
        ) from error
    if dataset.attrs.get("format") != FORMAT or "activation" not in dataset:
        raise RecordingError(
            f"{path} is a Zarr store but no recording (its format is "
            f"{dataset.attrs.get('format')!r}, expected {FORMAT!r}); moments are opened with "
            "td.open_moments"
        )
    if check:
        require_whole(path, read=False)
    dataset["activation"].encoding["source"] = str(path)
    return Recording(dataset)


def _opened(path: Path | str) -> xr.Dataset:
    """Open a store of Zarr, whose arrays are found by listing its folder."""
    try:
        dataset: xr.Dataset = xr.open_zarr(path, consolidated=False)
        return dataset
    except Exception as error:
        if isinstance(path, Path) or isinstance(error, ValueError | KeyError):
            raise
        # The file systems of fsspec have error classes of their own.
        raise RecordingError(
            f"cannot list {path} ({type(error).__name__}: {error}); a recording is read from a "
            "store or web server that lists the files of a folder: copy it to one, or here"
        ) from error


def _instead_of(path: Path | str) -> str:
    """Advice for a folder that is there and holds no store."""
    if isinstance(path, Path) and (path / "recording.zarr").exists():
        return f"it is the folder of a run, whose recording is {path / 'recording.zarr'}"
    if isinstance(path, Path) and path.name.endswith(".partial"):
        return "it is an unfinished recording: run the same command again to finish it"
    return "a recording is a folder like runs/demo/recording.zarr"


def _hint(path: Path | str) -> str:
    """Advice for a path without a recording."""
    if isinstance(path, str):
        return "name the folder that holds its zarr.json"
    unfinished = path.with_name(path.name + ".partial")
    if unfinished.exists():
        return f"an unfinished one is in {unfinished}: run the same command again to finish it"
    return "make one with td.record(model, texts, out=...) or `tdyn record`"

"""Verify recordings on disk: every chunk against its checksum, and every label.

Cost: one pass over the states of each recording, a chunk in memory at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk.checks import broken_files, file_name, states_array
from transformer_dynamics.recording.disk.opening import open_recording
from transformer_dynamics.recording.workers.growing import SETTINGS, STORE
from transformer_dynamics.storage.addresses import place
from transformer_dynamics.storage.files import local_path, read_json

PARTIAL = ".partial"
FORMATS = ("transformer-dynamics recording 1", "transformer-dynamics moments 1")


@dataclass(frozen=True)
class Verification:
    """Findings on one store.

    Attributes:
        path: Folder of the store.
        kind: `recording`, `growing recording` or `moments`.
        n_files: Number of files of states that were read.
        n_missing: Number of files that a growing recording does not have yet.
        faults: File or label to its fault; empty for a whole store.
    """

    path: Path | str
    kind: str
    n_files: int
    n_missing: int = 0
    faults: dict[str, str] = field(default_factory=dict)


def verify(folder: str | Path) -> list[Verification]:
    """Verify a recording, moments, a growing recording, or all of them in the folder of a run.

    A recording may be given by its address, as `td.open_recording` takes it.

    Moments have no checksums; every value is read.

    Raises:
        RecordingError: the folder does not exist, or holds none of these.
    """
    path = place(folder, RecordingError)
    if isinstance(path, str):
        open_recording(path, check=False)  # refuses what is none
        return [_of_recording(path)]
    return [_verified(store) for store in stores_in(path)]


def stores_in(folder: str | Path) -> list[Path]:
    """Folders of recordings and moments, finished or growing: the folder itself, or those in it.

    Raises:
        RecordingError: there are none.
    """
    path = local_path(folder, RecordingError)
    if path.name in ("", ".."):  # the present folder may be a recording
        path = path.resolve()
    growing = Path(f"{path}{PARTIAL}")
    if not path.exists() and growing.exists():
        path = growing
    inside = [*sorted(path.glob("*")), *sorted(path.glob("nulls/*"))]
    found = [each for each in (path, *inside) if _is_store(each)]
    # A recording is no folder of recordings.
    found = found[:1] if found[:1] == [path] else found
    if not found:
        raise RecordingError(
            f"there is no recording in {path}; name a recording, moments or the folder of a run, "
            "such as runs/demo"
        )
    return found


def is_growing(path: Path) -> bool:
    """Whether a folder holds a recording that is not complete yet."""
    return path.name.endswith(PARTIAL) and (path / SETTINGS).exists()


def _is_store(path: Path) -> bool:
    if not path.is_dir():
        return False
    described = read_json(path / "zarr.json") or {}
    return is_growing(path) or described.get("attributes", {}).get("format") in FORMATS


def _verified(path: Path) -> Verification:
    if is_growing(path):
        return _of_growing(path)
    if not (path / "activation").exists():
        return Verification(path, "moments", 0, faults=_broken_labels(path))
    return _of_recording(path)


def _of_recording(path: Path | str) -> Verification:
    broken = broken_files(path, read=True)
    faults = {file_name(index): fault for index, fault in broken.items()} | _broken_labels(path)
    return Verification(path, "recording", _n_files(path), faults=faults)


def _of_growing(path: Path) -> Verification:
    """Verify what a growing recording has; moments that grow have no chunks of states."""
    store = path / STORE
    if not (store / "activation").exists():
        return Verification(path, "growing recording", 0)
    broken = broken_files(store, read=True)
    missing = [index for index, fault in broken.items() if fault == "missing"]
    faults = {
        f"{STORE}/{file_name(index)}": fault
        for index, fault in broken.items()
        if fault != "missing"
    }
    n_files = _n_files(store) - len(missing)
    return Verification(path, "growing recording", n_files, len(missing), faults)


def _n_files(store: Path | str) -> int:
    array = states_array(store)
    rows = (array.shards or array.chunks)[0]
    return int(-(-array.shape[0] // rows))


def _broken_labels(path: Path | str) -> dict[str, str]:
    """Read every variable but the states; those that cannot be read, with the error."""
    try:
        dataset = xr.open_zarr(path, consolidated=False, chunks=None)
    except (OSError, ValueError, KeyError) as error:
        return {"zarr.json": f"unreadable ({error})"}
    faults = {}
    for name in map(str, dataset.variables):
        if name != "activation":
            try:
                dataset.variables[name].load()
            except (OSError, ValueError, RuntimeError) as error:
                faults[name] = f"unreadable ({error})"
    return faults

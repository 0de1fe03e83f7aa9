"""Merge recordings, or moments, of one model over several sets of texts.

States are copied block by block: memory holds one file of the result (256 MiB) and one chunk. The
result appears under its name only when it is complete.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk.chunks import (
    CHUNKS_PER_FILE,
    chunk_rows,
    create_states,
    states_folder,
)
from transformer_dynamics.recording.disk.opening import open_recording
from transformer_dynamics.recording.disk.shard_files import write_shard_file
from transformer_dynamics.recording.joining.agreement import MERGED, require_agreement
from transformer_dynamics.recording.joining.duplicates import refuse_duplicates
from transformer_dynamics.recording.joining.labels import joined_labels
from transformer_dynamics.recording.moments.moments import Moments, holds_moments, open_moments
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.addresses import place
from transformer_dynamics.storage.files import local_path, make_folder, remove_folder

Progress = Callable[[int, int], None]


def merge_recordings(
    recordings: Sequence[Recording | str | Path],
    out: str | Path,
    *,
    keep_duplicates: bool = False,
    on_progress: Progress | None = None,
) -> Recording:
    """Merge recordings of one model over several sets of texts into one.

    Args:
        recordings: Two or more recordings or their folders, with the same sites, precision, model
            and settings. They may be of other texts, groups, devices and versions.
        out: Folder of the merged recording, ending in `.zarr`.
        keep_duplicates: Whether a text may be in two recordings; its samples then count twice.
        on_progress: Called with the number of samples copied and in all.

    Returns:
        The recording `(sample, site, unit)`: the samples of each in turn, texts numbered on. Its
        provenance lists under `merged` the entries in which they differ.

    Raises:
        RecordingError: fewer than two recordings, recordings that differ in more than the texts, a
            text in two of them, a broken chunk, a full disk, or `out` exists.
    """
    target = _target(recordings, out)
    opened = [each if isinstance(each, Recording) else open_recording(each) for each in recordings]
    names = [_name(each, index) for index, each in enumerate(recordings)]
    shapes = [
        {"sites": list(each.sites), "units": each.shape[2], "dtype": str(each.activation.dtype)}
        for each in opened
    ]
    require_agreement(names, shapes, [each.provenance for each in opened])
    if not keep_duplicates:
        _refuse_repeated(recordings, names)
        refuse_duplicates(opened, names)
    labels = joined_labels(opened, names)
    shape = (labels.sizes["sample"], *opened[0].shape[1:])
    dtype = opened[0].activation.dtype
    _require_room(target.parent, int(np.prod(shape)) * dtype.itemsize)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.")) / "merged.zarr"
    try:
        labels.to_zarr(partial, mode="w", consolidated=False)
        rows = chunk_rows(*shape[1:], dtype.itemsize)
        array = create_states(partial, shape, dtype, rows, rows * CHUNKS_PER_FILE)
        _copy(opened, array, partial, on_progress)
        partial.rename(target)
    finally:
        remove_folder(partial.parent)
    return open_recording(target)


def merge_moments(
    folders: Sequence[str | Path], out: str | Path, *, keep_duplicates: bool = False
) -> Moments:
    """Merge moments of one model over several sets of texts.

    Args:
        folders: Folders of two or more moments, all recorded on the histogram bins of the first.
        out: Folder of the merged moments.
        keep_duplicates: Whether two may be of the same texts, which then count twice.

    Raises:
        RecordingError: they differ in more than the texts, two are of the same texts, or `out`
            exists.
    """
    target = _target(folders, out)
    opened = [open_moments(each) for each in folders]
    names = [_name(each, index) for index, each in enumerate(folders)]
    shapes = [{"sites": list(each.sites), "units": each.shape[2]} for each in opened]
    provenances = [part for each in opened for part in _parts(each)]
    owners = [name for name, each in zip(names, opened, strict=True) for _ in _parts(each)]
    shapes = [shape for shape, each in zip(shapes, opened, strict=True) for _ in _parts(each)]
    require_agreement(owners, shapes, provenances)
    if not keep_duplicates:
        _refuse_repeated(folders, names)
        _refuse_repeated([each.get("tokens", object()) for each in provenances], owners)
    merged = reduce(lambda one, other: one.merge(other), opened)
    merged.save(target)
    return merged


def merge_folders(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    keep_duplicates: bool = False,
    on_progress: Progress | None = None,
) -> Recording | Moments:
    """Merge the recordings, or the moments, in several folders.

    Raises:
        RecordingError: as `merge_recordings`, or a mixture of recordings and moments.
    """
    of_moments = [
        each
        for each in folders
        if isinstance(place(each, RecordingError), Path) and holds_moments(each)
    ]
    if not of_moments:
        return merge_recordings(
            folders, out, keep_duplicates=keep_duplicates, on_progress=on_progress
        )
    if len(of_moments) < len(folders):
        other = next(each for each in folders if each not in of_moments)
        raise RecordingError(
            f"{of_moments[0]} holds moments and {other} does not; merge recordings with "
            "recordings, and moments with moments"
        )
    return merge_moments(folders, out, keep_duplicates=keep_duplicates)


def _target(given: Any, out: str | Path) -> Path:
    """Path of the result, whose folder exists."""
    if isinstance(given, str | Path | Recording) or len(given) < 2:
        raise RecordingError(
            "got fewer than two recordings to merge; name them in a list: "
            "td.merge_recordings(['a.zarr', 'b.zarr'], 'c.zarr')"
        )
    target = local_path(out, RecordingError)
    if target.suffix != ".zarr":
        raise RecordingError(f"got out={str(out)!r}; the folder ends in .zarr: out='c.zarr'")
    if target.exists():
        raise RecordingError(f"{target} exists already; delete it or give another name")
    make_folder(target.parent)
    return target


def _refuse_repeated(contents: Sequence[Any], names: Sequence[str]) -> None:
    """Refuse the same recording, or the same texts, twice."""
    for number, content in enumerate(contents):
        first = next(
            index
            for index, each in enumerate(contents)
            if each is content
            or (
                not isinstance(each, Recording)
                and not isinstance(content, Recording)
                and each == content
            )
        )
        if first < number:
            raise RecordingError(
                f"{names[first]} and {names[number]} hold the same texts, which would count twice; "
                "name each once, or keep both: keep_duplicates=True (--keep-duplicates)"
            )


def _name(recording: Any, index: int) -> str:
    return str(recording) if isinstance(recording, str | Path) else f"recording {index}"


def _parts(moments: Moments) -> list[dict[str, Any]]:
    """Provenance of each set of texts in moments, which may be merged ones."""
    provenance = moments.provenance
    parts: list[dict[str, Any]] = provenance.get(MERGED, [provenance])
    return parts


def _require_room(folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise RecordingError(
            f"the merged recording needs {n_bytes / 1e9:.2f} GB and {folder} has "
            f"{free / 1e9:.2f} GB free; make room, or give another folder"
        )


def _copy(
    recordings: Sequence[Recording], array: zarr.Array, store: Path, on_progress: Progress | None
) -> None:
    """Write the states of all recordings in turn, file by file."""
    rows, whole, done = array.chunks[0], array.shards[0], 0
    for index, states in enumerate(_rechunked(recordings, whole)):
        folder = states_folder(store) / str(index) / "0"
        try:
            folder.mkdir(parents=True)
            write_shard_file(folder / "0", states, rows, whole // rows)
        except OSError as error:
            raise RecordingError(
                f"cannot write the merged recording ({error.strerror}); the recordings that were "
                "merged are unchanged: make room and run the same command again"
            ) from error
        done += len(states)
        if on_progress is not None:
            on_progress(done, array.shape[0])


def _rechunked(recordings: Sequence[Recording], n_rows: int) -> Iterator[NDArray[Any]]:
    """States of all recordings in blocks of `n_rows` samples; the last block may be smaller."""
    first = recordings[0]
    block = np.empty((n_rows, *first.shape[1:]), dtype=first.activation.dtype)
    filled = 0
    for recording in recordings:
        for _, states in recording.blocks():
            done = 0
            while done < len(states):
                taken = min(n_rows - filled, len(states) - done)
                block[filled : filled + taken] = states[done : done + taken]
                filled, done = filled + taken, done + taken
                if filled == n_rows:
                    yield block
                    filled = 0
    if filled:
        yield block[:filled]

"""Open what a comparison is given: folders of finished runs, recordings on disk or in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from transformer_dynamics.claims import Verdicts
from transformer_dynamics.comparison.compared_run import ComparedRun
from transformer_dynamics.errors import InputError
from transformer_dynamics.experiment import load_verdicts
from transformer_dynamics.experiment.ledger import Ledger
from transformer_dynamics.plots.side_by_side import recording_name
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.storage.files import local_path
from transformer_dynamics.storage.results import load_result, saved_names

EXAMPLE = "tdyn compare runs/a runs/b"
# Names of a folder's files in a message.
SHOWN_FILES = 5


def open_runs(given: Sequence[str | Path | Recording]) -> list[ComparedRun]:
    """Open runs, and name each by its model, and by its folder where models repeat.

    Raises:
        InputError: fewer than two; a folder that holds no finished run; a run of an old format.
    """
    if isinstance(given, str | Path | Recording) or len(given) < 2:
        n_given = 1 if isinstance(given, str | Path | Recording) else len(given)
        raise InputError(f"got {n_given} run to compare; name two or more: {EXAMPLE}")
    runs = [open_run(each) for each in given]
    return [replace(run, name=name) for run, name in zip(runs, _names(runs), strict=True)]


def open_run(given: str | Path | Recording) -> ComparedRun:
    """Open a folder of a finished run, or a recording.

    Raises:
        InputError: neither, an unfinished run, or a run of an old format.
    """
    if isinstance(given, Recording):
        return ComparedRun("", None, given)
    path = local_path(given, InputError)
    if path.is_file():
        raise InputError(
            f"{path} is a file; name the folder of its run: tdyn compare {path.parent} runs/b"
        )
    if not path.exists():
        raise InputError(f"there is no folder {path}; name the folders of two runs: {EXAMPLE}")
    if (path / "run.json").exists():
        return _finished_run(path)
    if (path / "zarr.json").exists():
        return ComparedRun("", path, open_recording(path))
    raise InputError(_without_run(path))


def _without_run(path: Path) -> str:
    recording = path / "recording.zarr"
    if recording.exists():
        return (
            f"{path} holds recording.zarr and no run.json, so it is not the folder of a run; "
            f"compare the recording alone: tdyn compare {recording} runs/b, or make the run: "
            f"tdyn run --out {path}"
        )
    names = sorted(each.name for each in path.iterdir())
    shown = ", ".join(names[:SHOWN_FILES]) or "nothing"
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    return f"{path} holds {shown}{more} and no run.json; name the folders of two runs: {EXAMPLE}"


def _finished_run(path: Path) -> ComparedRun:
    entries = Ledger(path / "run.json").entries()
    command = str(entries.get("command") or f"tdyn run --out {path}")
    if not isinstance(entries.get("stages"), dict):
        raise InputError(
            f"the run.json in {path} names no stages, so an earlier version wrote it; this command "
            f"writes the run again and keeps its recording: {command}"
        )
    pending = [str(stage["stage"]) for stage in entries.get("pending", [])]
    if pending or "report" not in entries["stages"]:
        to_come = f"still to come: {', '.join(pending)}" if pending else "it has no page yet"
        raise InputError(
            f"the run in {path} has not finished ({to_come}); the same command finishes it: "
            f"{command}"
        )
    store = path / "results.zarr"
    return ComparedRun(
        "",
        path,
        open_recording(path / "recording.zarr"),
        _verdicts(path, command),
        entries,
        tuple(saved_names(store)),
        cache(partial(load_result, store)),
    )


def _verdicts(path: Path, command: str) -> Verdicts:
    try:
        return load_verdicts(path)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"an earlier version wrote the claims.json in {path} in another format ({error}); this "
            f"command writes the claims again and keeps the rest: {command}"
        ) from error


def _names(runs: Sequence[ComparedRun]) -> list[str]:
    """Names of the models; of equal ones each with its folder, or else with its number."""
    names = [recording_name(run.recording.provenance) for run in runs]
    folders = [_folder(run) for run in runs]
    for additions in (folders, [str(number) for number in range(1, len(names) + 1)]):
        names = [
            f"{name} ({addition})" if names.count(name) > 1 and addition else name
            for name, addition in zip(names, additions, strict=True)
        ]
    return names


def _folder(run: ComparedRun) -> str:
    """Name of the folder of a run; of a recording in a run's folder, that of the run."""
    if run.path is None:
        return ""
    path = run.path.resolve()
    return path.parent.name if path.name == "recording.zarr" else path.name

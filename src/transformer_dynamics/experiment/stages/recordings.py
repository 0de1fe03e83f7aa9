"""Recordings of a run: the model's, and those of the nulls that run a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from transformer_dynamics.environment import system_information
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.experiment.run import Run, identity
from transformer_dynamics.nulls.reruns import CONTROL_TEXTS, text_subset, untrained_twins
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.recording.record import record
from transformer_dynamics.registry import CLAIMS, NULLS

UNTRAINED = "untrained"


def record_model(run: Run) -> Recording:
    """Record the model, or open the recording in the folder.

    Raises:
        RecordingError: the folder holds another recording; nothing is changed.
    """
    path = run.out / "recording.zarr"
    settings = run.settings
    make = partial(
        record,
        run.model,
        run.texts,
        settings.positions,
        out=path,
        options=settings.recording,
        client=settings.client,
    )
    if path.exists():
        run.reporter.skipped("record")
        return make()
    with run.stage("record", "tokens") as progress:
        return make(on_progress=progress)


def nulls_of_claims(claims: Iterable[str]) -> set[str]:
    """Names of the nulls that some of the claims uses."""
    return {name for claim in claims for name in CLAIMS.get(claim).all_nulls}


def nulls_to_record(run: Run, recording: Recording, named: set[str]) -> list[str]:
    """Those of the named nulls that run a model and are not recorded yet."""
    return [
        name
        for name in sorted(named)
        if NULLS.get(name).needs_model
        and not all(path.exists() for path in _recorder(run, recording, name)[0])
    ]


def record_nulls(run: Run, recording: Recording, named: set[str]) -> dict[str, list[Recording]]:
    """Record those of the named nulls that run a model, or open them.

    Recordings that the ledger knows are opened as they are: to compare them with the model again,
    every twin would be built. Others are compared with it.

    Returns:
        Name of the null to its recordings, one, or one per seed.
    """
    recordings: dict[str, list[Recording]] = {}
    for name, null in NULLS.all().items():
        if not null.needs_model or name not in named:
            continue
        paths, make = _recorder(run, recording, name)
        inputs = _inputs(run, recording, paths)
        if all(path.exists() for path in paths):
            run.reporter.skipped(name)
            known = _known(run, name, paths, inputs)
            recordings[name] = _listed(make()) if known is None else known
        else:
            with run.stage(name, "tokens", inputs) as progress:
                recordings[name] = _listed(make(on_progress=progress))
                inputs["made"] = [identity(each) for each in recordings[name]]
    return recordings


def _inputs(run: Run, recording: Recording, paths: Sequence[Path]) -> dict[str, Any]:
    """Inputs of the recordings of a null; a seed means other weights in another environment."""
    return {
        "recording": identity(recording),
        "seed": run.settings.seed,
        "names": [path.name for path in paths],
        "environment": system_information(),
    }


def _known(
    run: Run, name: str, paths: Sequence[Path], inputs: Mapping[str, Any]
) -> list[Recording] | None:
    """Recordings that a finished stage left with the same inputs; None if there are others."""
    try:
        opened = [open_recording(path) for path in paths]
    except RecordingError:  # broken; making them again repairs them
        return None
    made = [identity(each) for each in opened]
    return opened if run.ledger.is_done(name, {**inputs, "made": made}) else None


def _listed(made: Recording | Sequence[Recording]) -> list[Recording]:
    return [made] if isinstance(made, Recording) else list(made)


def _recorder(run: Run, recording: Recording, name: str) -> tuple[list[Any], Callable[..., Any]]:
    """Paths of the recordings of a null, and the function that records or opens them."""
    folder, settings = run.out / "nulls", run.settings
    options: dict[str, Any] = {"model": run.model, "options": settings.recording}
    if name == UNTRAINED:
        seeds = range(settings.seed, settings.seed + settings.n_twins)
        paths = [folder / f"{UNTRAINED}-{seed}.zarr" for seed in seeds]
        return paths, partial(untrained_twins, recording, seeds=seeds, out=folder, **options)
    function = NULLS.get(name).function
    # The paper's panels show a control on all texts, in a folder of its own.
    subset = recording if settings.panels else text_subset(recording, CONTROL_TEXTS)
    path = folder / (f"{name}.zarr" if subset is recording else f"{name}-{CONTROL_TEXTS}.zarr")
    return [path], partial(function, subset, seed=settings.seed, out=path, **options)

"""Verdicts of a run: evaluated, stored with their evidence, and read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from transformer_dynamics.claims import ClaimOptions, Verdict, Verdicts, evaluate_claims
from transformer_dynamics.environment import version
from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment.ledger import Ledger
from transformer_dynamics.experiment.perturbations import inputs_of
from transformer_dynamics.experiment.run import Run, identity
from transformer_dynamics.experiment.settings import select
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import CLAIMS
from transformer_dynamics.storage.files import read_json, write_json
from transformer_dynamics.storage.results import load_result, save_result

# Variables of the evidence that the report draws; earlier versions did not write all of them.
NEEDED = ("statistic", "statistic_low", "statistic_high", "null_mean", "null_statistic")
# Variables that earlier versions wrote under another name: earlier name to present name.
RENAMED = {"picture": "illustration", "null_picture": "null_illustration"}


def verdicts_of(
    run: Run,
    recording: Recording,
    nulls: Mapping[str, list[Recording]],
    perturbed: Mapping[str, xr.Dataset],
) -> Verdicts:
    """Test the chosen claims against their nulls, or read the verdicts of the same inputs."""
    tested = _tested(run, perturbed)
    inputs = _inputs(run, recording, nulls, list(perturbed), tested)
    settings, ledger = run.settings, run.ledger
    if ledger.is_done("test", inputs) and _are_written(run.out):
        run.reporter.skipped("test")
        return load_verdicts(run.out)
    with run.reporter.stage("test", "draws") as progress, ledger.timed("test", inputs):
        verdicts = Verdicts()
        if tested:
            verdicts = evaluate_claims(
                recording,
                model_nulls=nulls,
                perturbed=perturbed,
                claims=tested,
                options=ClaimOptions(n_null=settings.n_null, n_bootstrap=settings.n_bootstrap),
                seed=settings.seed,
                on_progress=progress,
            )
        for verdict in verdicts:
            save_result(run.store, f"claims/{verdict.id}", verdict.evidence)
        write_json(run.out / "claims.json", [verdict.as_json() for verdict in verdicts])
    return verdicts


def _tested(run: Run, perturbed: Mapping[str, xr.Dataset]) -> list[str]:
    """Chosen claims whose perturbation has a result; the reporter receives the others."""
    chosen = select(run.settings)
    for claim, perturbation in chosen.left_out.items():
        run.reporter.refused(claim, f"its perturbation, {perturbation}, is not chosen")
    return [name for name in chosen.claims if CLAIMS.get(name).perturbation in {None, *perturbed}]


def _are_written(out: Path) -> bool:
    """Whether there are verdicts that this version reads."""
    entries = _entries(out, partial(load_result, out / "results.zarr"))
    return (out / "claims.json").exists() and not _outdated(entries)


def load_verdicts(out: Path, load: Callable[[str], xr.Dataset | None] | None = None) -> Verdicts:
    """Read the verdicts of a finished run, with their evidence.

    Args:
        out: Folder of the run.
        load: Function that returns a stored result by name; by default it is read from the folder.

    Raises:
        TdynError: an earlier version wrote the evidence, without a variable that is needed now.
    """
    entries = _entries(out, load or partial(load_result, out / "results.zarr"))
    outdated = _outdated(entries)
    if outdated:
        claim, missing = next(iter(outdated.items()))
        command = Ledger(out / "run.json").entries().get("command") or f"tdyn run --out {out}"
        raise TdynError(
            f"an earlier version wrote the evidence of {len(outdated)} claims in {out}, the first "
            f"{claim}, without {', '.join(missing)}; this command writes the claims again and "
            f"keeps the rest: {command}"
        )
    return Verdicts([Verdict.from_json(entry, evidence) for entry, evidence in entries])


def _entries(
    out: Path, load: Callable[[str], xr.Dataset | None]
) -> list[tuple[dict[str, Any], xr.Dataset]]:
    """Entries of `claims.json`, each with the stored evidence of the claim, empty without any."""
    entries = read_json(out / "claims.json") or []
    evidence = [load(f"claims/{each['id']}") for each in entries]
    return [
        (each, xr.Dataset() if found is None else found)
        for each, found in zip(entries, evidence, strict=True)
    ]


def _outdated(entries: Sequence[tuple[dict[str, Any], xr.Dataset]]) -> dict[str, list[str]]:
    """Claims whose stored evidence lacks variables, with the names of these."""
    lacking: dict[str, list[str]] = {}
    for entry, evidence in entries:
        missing = [name for name in NEEDED if name not in evidence]
        missing += [name for earlier, name in RENAMED.items() if earlier in evidence]
        if evidence.data_vars and missing:
            lacking[entry["id"]] = missing
    return lacking


def _inputs(
    run: Run,
    recording: Recording,
    nulls: Mapping[str, list[Recording]],
    perturbed: Sequence[str],
    tested: Sequence[str],
) -> dict[str, Any]:
    """Inputs of the verdicts."""
    settings = run.settings
    return {
        "recording": identity(recording),
        "nulls": {name: [identity(each) for each in drawn] for name, drawn in nulls.items()},
        "perturbed": {
            name: inputs_of(run, name, recording, nulls["untrained"]) for name in perturbed
        },
        "claims": list(tested),
        "seed": settings.seed,
        "n_null": settings.n_null,
        "n_bootstrap": settings.n_bootstrap,
        "version": version(),
    }

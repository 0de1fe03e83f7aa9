"""Perturbations of a run, with the model in the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from transformer_dynamics.environment import version
from transformer_dynamics.errors import InputError, ModelError
from transformer_dynamics.experiment.run import Run, identity
from transformer_dynamics.experiment.settings import known_names
from transformer_dynamics.perturbation.systems import System, systems
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import PERTURBATIONS
from transformer_dynamics.storage.results import load_result, save_result


def known_perturbations(names: Sequence[str] | None) -> list[str]:
    """Return the names, or by default all perturbations.

    Raises:
        TdynError: a name of no perturbation.
    """
    return list(known_names("perturbation", PERTURBATIONS, names))


def perturb(
    run: Run, recording: Recording, twins: Sequence[Recording], names: Sequence[str]
) -> dict[str, xr.Dataset]:
    """Run perturbations and store their results.

    Perturbations that the model does not allow are noted as refused.

    Returns:
        Name of the perturbation to its result.
    """
    results: dict[str, xr.Dataset] = {}
    pending = []
    for name in names:
        result = load_result(run.store, name)
        if result is not None and run.ledger.is_done(name, inputs_of(run, name, recording, twins)):
            run.reporter.skipped(name)
            results[name] = result
        else:
            pending.append(name)
    refused = {}
    if pending:
        perturbed = systems(run.model, recording, twins=twins, seed=run.settings.seed)
    for name in pending:
        try:
            results[name] = _result(run, name, perturbed, inputs_of(run, name, recording, twins))
        except (ModelError, InputError) as error:
            refused[name] = str(error)
            run.reporter.refused(name, str(error))
    run.ledger.note(refused=refused)
    return results


def inputs_of(
    run: Run, name: str, recording: Recording, twins: Sequence[Recording]
) -> dict[str, Any]:
    """Inputs of a perturbation's result."""
    asked = run.settings.n_perturbed or PERTURBATIONS.get(name).n_texts
    return {
        "recording": identity(recording),
        "untrained": [identity(twin) for twin in twins],
        "n_texts": min(asked, run.n_texts),
        "seed": run.settings.seed,
        "version": version(),
    }


def _result(run: Run, name: str, perturbed: Sequence[System], inputs: dict[str, Any]) -> xr.Dataset:
    function, n_texts = PERTURBATIONS.get(name).function, inputs["n_texts"]
    with run.reporter.stage(name, "texts") as progress, run.ledger.timed(name, inputs):
        result: xr.Dataset = function(
            perturbed, on_progress=progress, n_texts=n_texts, seed=run.settings.seed
        )
        save_result(run.store, name, result)
    # As stored: the rounding of sums depends on the memory order of an array.
    stored: xr.Dataset = load_result(run.store, name) or result
    return stored

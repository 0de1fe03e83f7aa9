"""Perturbations of a run, with the model in the loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import xarray as xr

from transformer_dynamics.environment import version
from transformer_dynamics.errors import InputError, ModelError, TdynError
from transformer_dynamics.experiment.run import Run, identity
from transformer_dynamics.experiment.settings import known_names
from transformer_dynamics.perturbation.systems import System, systems
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import PERTURBATIONS
from transformer_dynamics.storage.results import load_result, result_stamp, save_result


def known_perturbations(names: Sequence[str] | None) -> list[str]:
    """Return the names, or by default all perturbations.

    Raises:
        TdynError: a name of no perturbation.
    """
    return list(known_names("perturbation", PERTURBATIONS, names))


def perturb(
    run: Run, recording: Recording, twins: Sequence[Recording], names: Sequence[str]
) -> Iterator[tuple[str, xr.Dataset]]:
    """Run perturbations one by one, store and yield the result of each with its name.

    Perturbations that the model does not allow are noted as refused. All share their systems, and
    with these the contexts of the texts.
    """
    perturbed: Sequence[System] = ()
    for name in names:
        inputs = inputs_of(run, name, recording, twins)
        if is_perturbed(run, name, recording, twins):
            run.reporter.skipped(name)
            yield name, _stored(run, name)
            continue
        try:
            perturbed = perturbed or systems(
                run.model, recording, twins=twins, seed=run.settings.seed
            )
            result = _result(run, name, perturbed, inputs)
        except (ModelError, InputError) as error:
            refused = run.ledger.entries().get("refused", {})
            run.ledger.note(refused={**refused, name: str(error)})
            run.reporter.refused(name, str(error))
        else:
            refused = run.ledger.entries().get("refused", {})
            run.ledger.note(refused={key: why for key, why in refused.items() if key != name})
            yield name, result


def is_perturbed(run: Run, name: str, recording: Recording, twins: Sequence[Recording]) -> bool:
    """Whether there is a result of a perturbation with these recordings and settings."""
    is_done = run.ledger.is_done(name, inputs_of(run, name, recording, twins))
    return is_done and result_stamp(run.store, name) is not None


def inputs_of(
    run: Run, name: str, recording: Recording, twins: Sequence[Recording]
) -> dict[str, Any]:
    """Inputs of a perturbation's result."""
    asked = PERTURBATIONS.get(name).n_followed(run.settings.n_perturbed)
    return {
        "recording": identity(recording),
        "untrained": [identity(twin) for twin in twins],
        "n_texts": min(asked, run.n_texts),
        "seed": run.settings.seed,
        "version": version(),
    }


def _result(run: Run, name: str, perturbed: Sequence[System], inputs: dict[str, Any]) -> xr.Dataset:
    function, n_texts = PERTURBATIONS.get(name).function, inputs["n_texts"]
    with run.stage(name, "texts", inputs) as progress:
        result: xr.Dataset = function(
            perturbed, on_progress=progress, n_texts=n_texts, seed=run.settings.seed
        )
        save_result(run.store, name, result)
    # As stored: the rounding of sums depends on the memory order of an array.
    return _stored(run, name)


def _stored(run: Run, name: str) -> xr.Dataset:
    result = load_result(run.store, name)
    if result is None:
        raise TdynError(
            f"the result {name} in {run.store} was removed while the run went on; run the same "
            "command again"
        )
    return result

"""Jacobians of the layers over many texts: symmetry, ranks of their product, Lyapunov spectrum.

Quantities are those of `normality`, `ranks` and `lyapunov` that need no eigenvalues, so that many
texts can be followed; see `spectra` for the others. Controls are updates drawn with the size and
mean diagonal of the model's own, with or without its singular values.

Cost: one backward pass over D states a step and text. Source: arXiv 2605.14258; in full context, of
the update and against random updates: ours. Limit: Jacobians of the last token's state alone.
Documentation: docs/measures/perturbation.jacobians.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.nulls.flow_maps import random_updates, spectrum_matched_updates
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.parallel import map_in_threads
from transformer_dynamics.perturbation.depths import layer_sites, step_names
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    over_texts,
    stacked,
    texts_followed,
)
from transformer_dynamics.perturbation.jacobians.lyapunov import lyapunov_exponents
from transformer_dynamics.perturbation.jacobians.normality import (
    frobenius_norm,
    symmetric_energy,
    traceless_symmetric_energy,
)
from transformer_dynamics.perturbation.jacobians.ranks import composed_ranks
from transformer_dynamics.perturbation.jacobians.spectrum import READINGS, labeled
from transformer_dynamics.perturbation.jacobians.steps import steps_of_text, text_seed
from transformer_dynamics.perturbation.systems import (
    RANDOM_UPDATES,
    SPECTRUM_MATCHED_UPDATES,
    System,
    is_further_twin,
)
from transformer_dynamics.registry import perturbation

# Systems drawn from the model's own step Jacobians.
DRAWN = {RANDOM_UPDATES: random_updates, SPECTRUM_MATCHED_UPDATES: spectrum_matched_updates}


@perturbation(
    "perturbation.jacobians",
    title="Jacobians of the layers over many texts",
    source="arXiv 2605.14258; random and spectrum-matched updates: ours",
)
def jacobians(
    systems: Sequence[System],
    *,
    n_texts: int = 6,
    sites: Sequence[str] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Compute symmetric energy of steps, ranks of their product and Lyapunov spectrum.

    Args:
        systems: the model first, then its untrained twins, which together follow as many
            texts (see `texts_followed`). Random and spectrum-matched updates, drawn from the
            model's own steps, are added.
        n_texts: number of texts, drawn from the texts of the recording.
        sites: ends of the steps; by default those of whole layers.
        seed: seed of the choice of texts and of the drawn updates.
        on_progress: called with texts done and texts in all.

    Returns:
        `(system, sample, reading, step)`: `norm`, `symmetric_energy`; `(system, sample, step)`:
        `effective_rank`, `participation_ratio`, `stable_rank` of the product of the first steps up
        to this one, and `traceless_symmetric_energy` of the update without its mean diagonal, NaN,
        with one `UndefinedWarning`, if an update is a multiple of the identity; `(system, sample,
        exponent)`: `lyapunov_exponent` in nats per step, NaN for the second and later twins,
        `composed_singular_value`.

    Raises:
        InputError: unknown sites or too many texts.
    """
    texts = chosen_texts(systems, n_texts, seed)
    chosen = layer_sites(systems[0].sites) if sites is None else tuple(sites)

    def prepare(system: System) -> Experiment:
        def experiment(text: int) -> dict[str, xr.Dataset]:
            matrices = steps_of_text(system, text, chosen)
            drawn = DRAWN if system is systems[0] else {}
            is_shown = not is_further_twin(system.name)
            return {system.name: _chain(matrices, is_shown=is_shown)} | {
                name: _chain(draw(matrices, seed=text_seed(seed, text)))
                for name, draw in drawn.items()
            }

        return experiment

    followed = texts_followed(systems, texts)
    result = over_texts(systems, texts, prepare, followed=followed, on_progress=on_progress)
    _warn(result)
    return result.assign_coords(step=step_names(chosen))


def _chain(matrices: Floats, *, is_shown: bool = True) -> xr.Dataset:
    """Quantities of one text's steps that need no eigenvalues; exponents if figures show them."""
    # The chain of QR factorizations takes one core, the ranks the others.
    exponents_of = lyapunov_exponents if is_shown else _undefined
    tasks: list[Callable[[Floats], Any]] = [exponents_of, composed_ranks]
    exponents, (ranks, values) = map_in_threads(lambda task: task(matrices), tasks)
    norms, energies, traceless = zip(*map_in_threads(_sizes, matrices), strict=True)
    readings = {
        name: labeled({"norm": norm, "symmetric_energy": energy}, ("step",))
        for name, norm, energy in zip(
            READINGS, np.transpose(norms), np.transpose(energies), strict=True
        )
    }
    of_steps = {**ranks, "traceless_symmetric_energy": np.array(traceless)}
    result = stacked(readings, "reading").assign(labeled(of_steps, ("step",)))
    nats = {"units": "nats per step", "definition": "by QR of the chain of Jacobians"}
    result["lyapunov_exponent"] = ("exponent", exponents, nats)
    shares = {"units": "1", "denominator": "the largest singular value of the whole product"}
    result["composed_singular_value"] = ("exponent", values, shares)
    return result


def _undefined(matrices: Floats) -> Floats:
    return np.full(matrices.shape[-1], np.nan)


def _sizes(matrix: Floats) -> tuple[list[float], list[float], float]:
    """Norm and symmetric energy of a step and of its update, and energy of the traceless update."""
    update = matrix - np.eye(len(matrix))
    both = (matrix, update)
    return (
        [float(frobenius_norm(each)) for each in both],
        [float(symmetric_energy(each)) for each in both],
        float(traceless_symmetric_energy(update)),
    )


def _warn(result: xr.Dataset) -> None:
    energy = result["traceless_symmetric_energy"]
    undefined = int((energy.isnull() & result["norm"].notnull().any("reading")).sum())
    if undefined:
        warnings.warn(
            f"{undefined} of {energy.size} steps have no traceless symmetric energy (NaN): their "
            "updates are multiples of the identity",
            UndefinedWarning,
            stacklevel=4,
        )

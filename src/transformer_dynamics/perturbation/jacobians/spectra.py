"""Spectra of the layers' Jacobians, in context and isolated.

Every quantity of `spectrum`, per text and for the Jacobian averaged over texts. In context the last
token follows its text; isolated, the same state is followed in a text of this token alone, as in
arXiv 2605.14258.

Cost: one backward pass over D states a step, text and mode; Schur forms and eigenvalues of every
step. Source: arXiv 2605.14258; in full context and against random updates: ours.
Documentation: docs/measures/perturbation.spectra.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.nulls.flow_maps import random_updates
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.parallel import map_in_threads
from transformer_dynamics.perturbation.depths import layer_sites, step_names
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    over_texts,
    stacked,
)
from transformer_dynamics.perturbation.jacobians.normality import normal_part
from transformer_dynamics.perturbation.jacobians.ranks import composed_ranks
from transformer_dynamics.perturbation.jacobians.spectrum import labeled, spectrum, spectrum_from
from transformer_dynamics.perturbation.jacobians.steps import (
    step_jacobians,
    steps_of_text,
    text_seed,
)
from transformer_dynamics.perturbation.systems import (
    RANDOM_UPDATES,
    System,
    model_and_one_twin,
)
from transformer_dynamics.registry import perturbation

MODES = ("context", "isolated")


@perturbation(
    "perturbation.spectra",
    title="Spectra of the layers' Jacobians, in context and isolated",
    source="arXiv 2605.14258; in full context, and random updates: ours",
)
def spectra(
    systems: Sequence[System],
    *,
    n_texts: int = 2,
    sites: Sequence[str] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Compute the spectra of all steps, per text and for the Jacobian averaged over texts.

    Args:
        systems: the model first, then its untrained twins. Random updates of the size of the
            model's own are added.
        n_texts: number of texts, drawn from the texts of the recording.
        sites: ends of the steps; by default those of whole layers.
        seed: seed of the choice of texts and of the random updates.
        on_progress: called with texts done and texts in all.

    Returns:
        The variables of `spectrum` with dimensions `system`, `mode` and `sample` in front, and the
        same for the mean Jacobian as `average_...` without `sample`. The modes are `context`, the
        token after its text, and `isolated`, the same states in a text of that token alone; random
        updates are drawn in context, and NaN in the other mode. Ranks of the product of steps
        `(system, mode, sample, step)`, and `surrogate_...`, the ranks of the product of Schur
        surrogates.

    Raises:
        InputError: unknown sites or too many texts, or a system without a model.
    """
    systems = model_and_one_twin(systems)
    texts = chosen_texts(systems, n_texts, seed)
    chosen = layer_sites(systems[0].sites) if sites is None else tuple(sites)
    averages: dict[str, xr.Dataset] = {}

    def prepare(system: System) -> Experiment:
        n_units = system.recording.shape[2]
        means = np.zeros((len(MODES), len(chosen) - 1, n_units, n_units))

        def experiment(text: int) -> dict[str, xr.Dataset]:
            # A chain of Jacobians takes much memory: one mode after the other.
            completed: dict[str, list[xr.Dataset]] = {}
            for mean, jacobians in zip(means, (steps_of_text, _of_token_alone), strict=True):
                matrices = jacobians(system, text, chosen)
                for total, matrix in zip(mean, matrices, strict=True):
                    total += matrix / n_texts
                completed.setdefault(system.name, []).append(_complete(matrices))
                if system is systems[0] and RANDOM_UPDATES not in completed:
                    matrices = random_updates(matrices, seed=text_seed(seed, text))
                    completed[RANDOM_UPDATES] = [_complete(matrices)]
                del matrices
            if text == texts[-1]:
                averages[system.name] = _by_mode([spectrum(mean) for mean in means])
            return {name: _by_mode(results) for name, results in completed.items()}

        return experiment

    result = over_texts(systems, texts, prepare, on_progress=on_progress)
    mean = stacked(averages, "system")
    mean = mean.rename({str(name): f"average_{name}" for name in mean.data_vars})
    return result.merge(mean, join="outer").assign_coords(step=step_names(chosen))


def _of_token_alone(system: System, text: int, sites: Sequence[str]) -> Floats:
    """Step Jacobians at the states of one text, in a text of its last token alone."""
    alone = system.require_model().flow_map(system.tokens(text)[-1:], bos="never")
    return step_jacobians(alone, sites, at=system.flow(text).clean)


def _complete(matrices: Floats) -> xr.Dataset:
    """Spectra of steps, ranks of their product and of the product of their Schur surrogates."""
    surrogates, eigenvalues = zip(*map_in_threads(normal_part, matrices), strict=True)
    result = spectrum_from(matrices, np.stack(eigenvalues))
    (of_steps, _), (ranks, _) = map_in_threads(composed_ranks, [matrices, surrogates])
    result = result.assign(labeled(of_steps, ("step",)))
    return result.assign({f"surrogate_{name}": ("step", values) for name, values in ranks.items()})


def _by_mode(results: Sequence[xr.Dataset]) -> xr.Dataset:
    """Results of the first modes, joined."""
    return stacked(dict(zip(MODES, results, strict=False)), "mode")

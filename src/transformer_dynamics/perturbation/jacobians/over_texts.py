"""Jacobians of the steps over depth: what a layer does to a small deviation of the last token.

The quantities are those of `matrices`. In context the token stands behind its text; isolated, the
same state stands in a text of that token alone, as in arXiv 2605.14258.

Cost: one backward pass over D states a step and text. Source: arXiv 2605.14258; in full context, of
the update and against random updates: ours. Not handled: Jacobians by earlier tokens.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.nulls.flow_maps import random_updates, spectrum_matched_updates
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.parallel import map_in_threads
from transformer_dynamics.perturbation.jacobians.lyapunov import lyapunov_exponents
from transformer_dynamics.perturbation.jacobians.spectrum import (
    READINGS,
    composed_ranks,
    labeled,
    normal_part,
    spectrum,
    spectrum_from,
    symmetric_energy,
    traceless_symmetric_energy,
)
from transformer_dynamics.perturbation.systems import (
    RANDOM_UPDATES,
    SPECTRUM_MATCHED_UPDATES,
    Progress,
    ProgressCounter,
    System,
    chosen_texts,
    gathered,
    layer_sites,
    model_and_one_twin,
    step_names,
    texts_followed,
)
from transformer_dynamics.registry import perturbation

# Systems drawn from the model's own step Jacobians.
DRAWN = {RANDOM_UPDATES: random_updates, SPECTRUM_MATCHED_UPDATES: spectrum_matched_updates}


def step_jacobians(
    flow: FlowMap, sites: Sequence[str] | None = None, *, at: Floats | None = None
) -> Floats:
    """Jacobians of the steps between sites, `(step, unit, unit)`, outputs in rows.

    Args:
        flow: the flow map.
        sites: the sites between which steps are taken; by default those of whole layers.
        at: the states at which they are taken, `(site, unit)` over all sites of the flow; by
            default the clean trajectory.

    Raises:
        InputError: a site that is not there, or sites out of order.
    """
    chosen = layer_sites(flow.sites) if sites is None else tuple(sites)
    states = flow.clean if at is None else at
    found: Floats = np.stack(
        [
            flow.jacobian(start, stop, at=states[flow.sites.index(start)])
            for start, stop in pairwise(chosen)
        ]
    )
    return found


def _chain(matrices: Floats) -> xr.Dataset:
    """Quantities of a text's steps that need no eigenvalues: fast enough for many texts."""
    identity = np.eye(matrices.shape[-1])
    parts = [
        labeled(
            {
                "norm": np.linalg.norm(each, axis=(-1, -2)),
                "symmetric_energy": symmetric_energy(each),
            },
            ("step",),
        )
        for each in (matrices, matrices - identity)
    ]
    names = xr.DataArray(list(READINGS), dims="reading", name="reading")
    result: xr.Dataset = xr.concat(parts, names)
    ranks, values = composed_ranks(matrices)
    traceless = {"traceless_symmetric_energy": traceless_symmetric_energy(matrices - identity)}
    result = result.assign(labeled({**ranks, **traceless}, ("step",)))
    nats = {"units": "nats per step", "definition": "by QR of the chain of Jacobians"}
    result["lyapunov_exponent"] = ("exponent", lyapunov_exponents(matrices), nats)
    shares = {"units": "1", "denominator": "the largest singular value of the whole product"}
    result["composed_singular_value"] = ("exponent", values, shares)
    return result


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
    """Symmetric energy of steps, ranks of their product, Lyapunov spectrum: fast enough for many.

    Args:
        systems: the model first, then its untrained twins, which together follow twice as many
            texts (see `texts_followed`). Two systems are drawn from the
            model's own steps and added: random updates of the same size and trace, and updates
            with the same mean diagonal and singular values.
        n_texts: how many texts, drawn from those of the recording.
        sites: the sites between which steps are taken; by default those of whole layers.
        seed: of the choice of texts and of the two systems that are drawn.
        on_progress: called with texts done and texts in all.

    Returns:
        `(system, sample, reading, step)`: `norm`, `symmetric_energy`; `(system, sample, step)`:
        `effective_rank`, `participation_ratio`, `stable_rank` of the product of the first steps up
        to that one, and `traceless_symmetric_energy` of the update without its mean diagonal, NaN,
        with one `UndefinedWarning`, where an update is a multiple of the identity; `(system,
        sample, exponent)`: `lyapunov_exponent` in nats per step, `composed_singular_value`.

    Raises:
        InputError: unknown sites or too many texts.
    """
    texts = chosen_texts(systems, n_texts, seed)
    chosen = layer_sites(systems[0].sites) if sites is None else tuple(sites)
    results: dict[str, list[xr.Dataset]] = {}
    followed = texts_followed(systems, texts)
    work = ProgressCounter(sum(map(len, followed.values())), on_progress)
    for system in systems:
        for text in work.each(followed[system.name]):
            matrices = step_jacobians(system.flow(text), chosen)
            results.setdefault(system.name, []).append(_chain(matrices))
            if system is systems[0]:
                for name, null in DRAWN.items():
                    drawn = null(matrices, seed=_seed(seed, text))
                    results.setdefault(name, []).append(_chain(drawn))
    result = gathered(results, texts, systems[0].recording).assign_coords(step=step_names(chosen))
    energy = result["traceless_symmetric_energy"]
    undefined = int((energy.isnull() & result["norm"].notnull().any("reading")).sum())
    if undefined:
        warnings.warn(
            f"{undefined} of {energy.size} steps have no traceless "
            "symmetric energy (NaN): their updates are multiples of the identity",
            UndefinedWarning,
            stacklevel=3,
        )
    return result


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
    """Every quantity of this module, per text and of the Jacobian averaged over texts.

    Args:
        systems: the model first, then baselines with other weights. A system of random updates of
            the size of the model's own is added.
        n_texts: how many texts, drawn from those of the recording.
        sites: the sites between which steps are taken; by default those of whole layers.
        seed: of the choice of texts and of the random updates.
        on_progress: called with texts done and texts in all.

    Returns:
        What `spectrum` gives, with dimensions `system`, `mode` and `sample` in front, and the same
        of the mean Jacobian as `average_...` without `sample`. The modes are `context`, the token
        behind its text, and `isolated`, the same states in a text of that token alone;
        random updates are drawn in context, and NaN elsewhere. Ranks of
        the product of steps `(system, mode, sample, step)`, and `surrogate_...`, those of the
        product of Schur surrogates.

    Raises:
        InputError: unknown sites or too many texts, or a system without a model.
    """
    systems = model_and_one_twin(systems)
    texts = chosen_texts(systems, n_texts, seed)
    chosen = layer_sites(systems[0].sites) if sites is None else tuple(sites)
    work = ProgressCounter(len(systems) * n_texts, on_progress)
    results: dict[str, list[xr.Dataset]] = {}
    averages: dict[str, xr.Dataset] = {}
    for system in systems:
        sums: list[Floats] = [np.zeros(())] * len(MODES)
        for text in work.each(texts):
            both = _both_modes(system, text, chosen)
            sums = [total + each / n_texts for total, each in zip(sums, both, strict=True)]
            results.setdefault(system.name, []).append(_by_mode([_complete(each) for each in both]))
            if system is systems[0]:
                drawn = random_updates(both[0], seed=_seed(seed, text))
                results.setdefault(RANDOM_UPDATES, []).append(_by_mode([_complete(drawn)]))
        averages[system.name] = _by_mode([spectrum(each) for each in sums])
    whole = gathered(results, texts, systems[0].recording)
    names = xr.DataArray(np.array(list(averages), dtype=object), dims="system", name="system")
    mean = xr.concat(list(averages.values()), names)
    renamed = mean.rename({str(name): f"average_{name}" for name in mean.data_vars})
    return whole.merge(renamed, join="outer").assign_coords(step=step_names(chosen))


def _both_modes(system: System, text: int, sites: Sequence[str]) -> tuple[Floats, Floats]:
    flow = system.flow(text)
    alone = system.require_model().flow_map(system.tokens(text)[-1:], bos="never")
    return step_jacobians(flow, sites), step_jacobians(alone, sites, at=flow.clean)


def _complete(matrices: Floats) -> xr.Dataset:
    surrogates, eigenvalues = zip(*map_in_threads(normal_part, matrices), strict=True)
    result = spectrum_from(matrices, np.stack(eigenvalues))
    result = result.assign(labeled(composed_ranks(matrices)[0], ("step",)))
    ranks = composed_ranks(np.stack(surrogates))[0]
    return result.assign({f"surrogate_{name}": ("step", values) for name, values in ranks.items()})


def _by_mode(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    names = xr.DataArray(list(MODES[: len(parts)]), dims="mode", name="mode")
    together: xr.Dataset = xr.concat(list(parts), names)
    return together


def _seed(seed: int, text: int) -> int:
    return int(np.random.SeedSequence((seed, text)).generate_state(1)[0])

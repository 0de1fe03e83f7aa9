"""Mutual information of each unit between two sites, in nats, by one of four estimators.

    gaussian, copula    from correlations of states or of normal scores (`gaussian_information`)
    ksg, kde            nearest neighbors, kernel densities (`pair_estimators`)

All need at least four samples. Where one site determines the other (|r| = 1) the estimate is
infinite, and results hold NaN. Known answers, the near-discrete first site and the choice of the
default are described in docs/measures/units.mutual_information.md.

Source: arXiv 2502.12131 (KDE); the default, copula, is ours. Cost for N samples, S sites, D units:
gaussian N S D; copula N log N S D; ksg the same and kde N^2 S D in a Python loop over units.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.units.estimators import (
    choose_estimator,
    information_of_recording,
    information_of_steps,
)
from transformer_dynamics.measures.units.gaussian_information import (
    MIN_SAMPLES,
    defined_information,
    information_of_correlation,
)
from transformer_dynamics.measures.units.weighted_correlation import require_steps
from transformer_dynamics.numerics.arrays import Floats, defined_mean
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.storage.attributes import plain_attributes


@measure(
    "units.mutual_information",
    title="Mutual information of neighboring sites",
    source="arXiv 2502.12131; Gaussian copula: Ince et al. 2017; KSG: arXiv cond-mat/0305641",
    of_moments=True,
)
def mutual_information(
    recording: Recording | Moments,
    *,
    estimator: str = "copula",
    subtract_permutations: int = 0,
    seed: int = 0,
    neighbors: int = 3,
) -> xr.Dataset:
    """Mutual information over samples of each unit between neighboring sites, in nats.

    Args:
        recording: states; or their moments, which allow "gaussian", and "copula" from histograms.
        estimator: "copula", "gaussian", "ksg" or "kde"; the last two loop over units.
        subtract_permutations: number of permutations of the samples to average and subtract.
        seed: seed of the permutations, which are the same for all steps and units.
        neighbors: k of "ksg".

    Returns:
        `information` `(step, unit)`; `mean` `(step)` over the units where it is defined;
        `near_discrete` `(step)`, true where either site has fewer distinct states than half the
        samples; `n_distinct_first`, number of distinct last tokens, or of distinct states at
        the first site where the tokens are unknown, both only from states; with permutations
        also `permutation_mean` `(step, unit)`. NaN, with one `UndefinedWarning`, where a unit does
        not vary, where its value at one site determines the next one (the estimate would be
        infinite; "ksg" stays finite), and everywhere for fewer than four samples.

    Raises:
        InputError: an unknown estimator, one site only, a negative number of permutations, or
            `neighbors` not between 1 and the number of samples less one.
    """
    require_steps(recording.shape)
    n_samples = recording.shape[0]
    chosen = choose_estimator(estimator, n_samples, neighbors)
    permutations = _permutations(subtract_permutations, n_samples, seed)
    distinctness: dict[str, xr.Variable] = {}
    if isinstance(recording, Moments):
        information = chance = _of_moments(recording, estimator, subtract_permutations)
    else:
        information, chance = information_of_recording(recording, chosen, permutations)
        distinctness = _distinctness(recording)
    information = defined_information(information, n_samples, stacklevel=3)
    chance = np.where(np.isinf(chance) | (n_samples < MIN_SAMPLES), np.nan, chance)
    attrs = {"units": "nats", "denominator": f"{n_samples} samples", "estimator": estimator}
    per_unit = {"units": "nats", "denominator": "units where it is defined"}
    variables = {
        "information": (("step", "unit"), information, attrs),
        "mean": ("step", defined_mean(information), per_unit),
        **distinctness,
    }
    if permutations:
        variables["permutation_mean"] = (("step", "unit"), chance, attrs)
    return xr.Dataset(variables, coords=recording.step_coords)


def information_between(
    recording: Recording,
    site: str,
    other_site: str,
    *,
    estimator: str = "copula",
    neighbors: int = 3,
) -> xr.Dataset:
    """Mutual information over samples of each unit between any two sites, in nats.

    Returns:
        `information` `(unit)`; NaN as in `mutual_information`.

    Raises:
        InputError: an unknown estimator, or `neighbors` out of range.
        RecordingError: the recording has no such site.
    """
    values = recording.sel(site=[site, other_site]).values
    (information,), _ = information_of_steps(
        values, choose_estimator(estimator, len(values), neighbors), []
    )
    information = defined_information(information[np.newaxis], len(values), stacklevel=2)[0]
    attrs = {"units": "nats", "denominator": f"{len(values)} samples", "estimator": estimator}
    return xr.Dataset(
        {"information": ("unit", information, attrs)},
        attrs=plain_attributes(
            {"site": site, "other_site": other_site, "recording": recording.description}
        ),
    )


def _permutations(number: int, n_samples: int, seed: int) -> list[NDArray[np.intp]]:
    if number < 0:
        raise InputError(
            f"got subtract_permutations={number}; it is 0 or more: "
            "mutual_information(recording, subtract_permutations=10)"
        )
    rng = np.random.default_rng(seed)
    return [rng.permutation(n_samples) for _ in range(number)]


def _of_moments(moments: Moments, estimator: str, permutations: int) -> Floats:
    if estimator not in ("gaussian", "copula") or permutations:
        raise InputError(
            f"got estimator={estimator!r} with {permutations} permutations for moments, which "
            "allow 'gaussian' and 'copula' without permutations; other estimators need the states: "
            "keep='states'"
        )
    if estimator == "gaussian":
        return information_of_correlation(moments.products.unit_correlation(), moments.n_samples)
    return information_of_correlation(moments.rank_correlation(), moments.n_samples)


def _distinctness(recording: Recording) -> dict[str, xr.Variable]:
    """Count distinct states: `near_discrete` `(step)` and `n_distinct_first`."""
    n_samples, n_sites, _ = recording.shape
    hashes = np.empty((n_samples, n_sites), dtype=np.int64)
    for rows, states in recording.blocks():
        for site in range(n_sites):
            # Adding zero makes -0.0 equal to 0.0.
            hashes[rows, site] = [hash(row.tobytes()) for row in states[:, site] + 0.0]
    distinct = np.array([np.unique(column).size for column in hashes.T])
    near_discrete = np.minimum(distinct[:-1], distinct[1:]) < n_samples / 2
    units, count = "distinct states at the first site", int(distinct[0])
    if recording.n_distinct_tokens is not None:
        units, count = "distinct last tokens", recording.n_distinct_tokens
    attrs = {"units": units, "denominator": f"{n_samples} samples"}
    return {
        "near_discrete": xr.Variable("step", near_discrete),
        "n_distinct_first": xr.Variable((), count, attrs),
    }

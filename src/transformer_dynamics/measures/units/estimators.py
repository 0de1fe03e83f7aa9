"""Estimators of mutual information by name, and their application to steps of a recording."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.units.gaussian_information import (
    centered_scores,
    information_of_correlation,
)
from transformer_dynamics.measures.units.pair_estimators import (
    kde_pair,
    ksg_pair,
    over_units,
    prepare_kde,
    z_scores,
)
from transformer_dynamics.measures.units.weighted_correlation import correlate_steps
from transformer_dynamics.numerics.arrays import Floats, centered
from transformer_dynamics.recording.recording import Recording

# Preparation of one site `(sample, unit)`, and comparison of two of them `(..., sample, unit)`.
Estimator = tuple[Callable[[NDArray[Any]], Floats], Callable[[Floats, Floats], Floats]]


def choose_estimator(estimator: str, n_samples: int, neighbors: int) -> Estimator:
    """Return an estimator by its name.

    Args:
        estimator: "gaussian", "copula", "ksg" or "kde".
        n_samples: number of samples.
        neighbors: k of "ksg".

    Raises:
        InputError: an unknown estimator, or `neighbors` out of range.
    """
    nearest = partial(ksg_pair, neighbors=neighbors)
    estimators: dict[str, Estimator] = {
        "gaussian": (centered, _compare_gaussian),
        "copula": (centered_scores, _compare_gaussian),
        "ksg": (z_scores, partial(over_units, nearest)),
        "kde": (prepare_kde, partial(over_units, kde_pair)),
    }
    if estimator not in estimators:
        raise InputError(
            f"got estimator={estimator!r}; there are {', '.join(estimators)}: estimator='copula'"
        )
    if estimator == "ksg" and not 1 <= neighbors < n_samples:
        raise InputError(
            f"got neighbors={neighbors} for {n_samples} samples; it lies between 1 and the "
            "number of samples less one: estimator='ksg', neighbors=3"
        )
    return estimators[estimator]


def _compare_gaussian(*sites: Floats) -> Floats:
    correlation = correlate_steps(sites.__getitem__, 2, None)[0, 0]
    return information_of_correlation(correlation, sites[0].shape[0])


def information_of_recording(
    recording: Recording, estimator: Estimator, permutations: list[NDArray[np.intp]]
) -> tuple[Floats, Floats]:
    """Apply `information_of_steps` to one block of units at a time."""
    pieces = []
    for _, values in recording.unit_blocks():
        pieces.append(information_of_steps(values, estimator, permutations))
        del values
    information, chance = (np.concatenate(each, axis=1) for each in zip(*pieces, strict=True))
    return information, chance


def information_of_steps(
    values: NDArray[Any], estimator: Estimator, permutations: list[NDArray[np.intp]]
) -> tuple[Floats, Floats]:
    """Compute information `(step, unit)` less its permutation mean, and that mean."""
    _, n_sites, n_units = values.shape
    information = np.empty((n_sites - 1, n_units))
    chance = np.zeros_like(information)
    prepare, compare = estimator
    previous = prepare(values[:, 0])
    for step in range(n_sites - 1):
        current = prepare(values[:, step + 1])
        information[step] = compare(previous, current)
        for order in permutations:
            chance[step] += compare(previous, current[..., order, :]) / len(permutations)
        previous = current
    with np.errstate(invalid="ignore"):
        return information - chance, chance

"""Held-out squared errors of linear maps, gathered over folds of whole texts.

Squared errors of single steps are kept per sample, so that every text counts once and intervals can
be drawn over texts. Source: ours. Cost: per fold two passes over the sites (see `folds`) and one
over blocks of samples, for the rolled paths; two sites of all samples are held at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.linear.common_maps import MODELS, pooled_means
from transformer_dynamics.measures.dynamics.linear.folds import (
    PREDICTORS,
    Fold,
    fit_reduced,
    fit_steps,
)
from transformer_dynamics.measures.dynamics.linear.rolling import N_PATHS, RANKS, rolled_errors
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.by_site import SiteStates
from transformer_dynamics.numerics.parallel import map_in_threads
from transformer_dynamics.numerics.splits import text_folds


@dataclass(frozen=True)
class HeldOut:
    """Held-out squared errors and sums of squares.

    Attributes:
        step: `(predictor, step, sample)`.
        reduced: `(mean step and MODELS, step)`, within common components, mean over samples.
        rolled: `(start, model, site)`, see `rolled_errors`.
        kept: sums of squares of states within each site's own components and of updates within
            the common ones; within and in total: `(2, step, 2)`.
        penalty: `(fold, step)`.
    """

    step: Floats
    reduced: Floats
    rolled: Floats
    kept: Floats
    penalty: Floats


def held_out_errors(
    states: SiteStates,
    groups: NDArray[Any],
    folds: NDArray[Any],
    starts: Sequence[int],
    *,
    n_components: int,
    seed: int = 0,
) -> HeldOut:
    """Fit on all folds but one and score on that one, for each fold.

    Args:
        states: the states.
        groups: text, or group of texts, of each sample, `(sample)`.
        folds: fold of each sample, `(sample)`.
        starts: indices of the sites to roll forward from.
        n_components: number of components of the maps' inputs.
        seed: seed of the inner folds.

    Returns:
        Errors; all NaN with fewer than three texts.
    """
    n_samples, n_sites, _ = states.shape
    step = np.full((len(PREDICTORS), n_sites - 1, n_samples), np.nan)
    reduced = np.zeros((1 + len(MODELS), n_sites - 1))
    n_folds = int(folds.max()) + 1
    penalty = np.full((n_folds, n_sites - 1), np.nan)
    rolled = np.zeros((len(starts), N_PATHS + len(RANKS), n_sites))
    kept = np.zeros((2, n_sites - 1, 2))
    if np.unique(groups).size < 3:
        return HeldOut(step, reduced * np.nan, rolled * np.nan, kept * np.nan, penalty)
    centers = pooled_means(states, np.arange(n_folds)[:, np.newaxis] != folds)

    def errors(number: int) -> HeldOut:
        training = folds != number
        inner_folds = text_folds(groups[training], max(n_folds, 2), seed=seed)
        fold = Fold(states, training, inner_folds, centers[number], n_components)
        return _fold_errors(fold, starts)

    for number, of_fold in enumerate(map_in_threads(errors, range(n_folds))):
        step[..., folds == number], penalty[number] = of_fold.step, of_fold.penalty[0]
        reduced += of_fold.reduced
        rolled += of_fold.rolled
        kept += of_fold.kept
    return HeldOut(step, reduced / n_samples, rolled, kept, penalty)


def _fold_errors(fold: Fold, starts: Sequence[int]) -> HeldOut:
    """Errors of one fold, of its held-out samples alone; sums over them, not means."""
    fitted = fit_steps(fold)
    maps = fit_reduced(fold, fitted.axes)
    n_sites = fold.states.shape[1]
    reduced, rolled = np.zeros((1 + len(MODELS), n_sites - 1)), np.zeros(())
    for rows in fold.states.row_blocks():
        held_out = ~fold.training[rows]
        if held_out.any():
            states = [fold.states.site(site, rows)[held_out] for site in range(n_sites)]
            rolled = rolled + rolled_errors(fitted.maps, fitted.mean_path, starts, states)
            reduced += maps.errors(states)
    # Errors of the mean step, in all units, are the updates about their mean.
    of_updates = np.stack([reduced[0], fitted.errors[1].sum(axis=-1)], axis=-1)
    kept = np.stack([fitted.kept, of_updates])
    return HeldOut(fitted.errors, reduced, rolled, kept, fitted.penalty[np.newaxis])

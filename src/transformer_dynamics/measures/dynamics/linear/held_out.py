"""Held-out squared errors of linear maps, gathered over folds of whole texts.

Squared errors are kept per sample, so that every text counts once and intervals can be drawn over
texts. Source: ours. Cost: per fold and site one step map (see `step_maps`) and the rolled paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.linear.common_maps import MODELS
from transformer_dynamics.measures.dynamics.linear.folds import PREDICTORS, FoldMaps
from transformer_dynamics.measures.dynamics.linear.rolling import N_PATHS, RANKS, rolled_errors
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.splits import text_folds
from transformer_dynamics.recording.recording import Recording


@dataclass(frozen=True)
class HeldOut:
    """Held-out squared errors and sums of squares.

    Attributes:
        step: `(predictor, step, sample)`.
        reduced: `(mean step and MODELS, step, sample)`, within common components.
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
    recording: Recording,
    folds: NDArray[Any],
    starts: Sequence[int],
    *,
    n_components: int,
    seed: int = 0,
) -> HeldOut:
    """Fit on all folds but one and score on that one, for each fold.

    Args:
        recording: the states.
        folds: fold of each sample, `(sample)`.
        starts: indices of the sites to roll forward from.
        n_components: number of components of the maps' inputs.
        seed: seed of the inner folds.

    Returns:
        Errors; all NaN with fewer than three texts.
    """
    n_samples, n_sites, _ = recording.shape
    step = np.full((len(PREDICTORS), n_sites - 1, n_samples), np.nan)
    reduced = np.full((1 + len(MODELS), n_sites - 1, n_samples), np.nan)
    n_folds = int(folds.max()) + 1
    penalty = np.full((n_folds, n_sites - 1), np.nan)
    rolled = np.zeros((len(starts), N_PATHS + len(RANKS), n_sites))
    kept = np.zeros((2, n_sites - 1, 2))
    if np.unique(recording.groups).size < 3:
        return HeldOut(step, reduced, rolled * np.nan, kept * np.nan, penalty)
    for number in range(n_folds):
        held_out = folds == number
        inner_folds = text_folds(recording.groups[~held_out], max(n_folds, 2), seed=seed)
        fold = FoldMaps(recording.values, ~held_out, inner_folds, n_components)
        step[..., held_out], of_states = fold.errors()
        reduced[..., held_out], of_updates = fold.one_map_errors()
        rolled += rolled_errors(fold, starts)
        kept += of_states, of_updates
        penalty[number] = [each.penalty for each in fold.steps]
    return HeldOut(step, reduced, rolled, kept, penalty)

"""Held-out texts rolled forward over depth from one site, without seeing later states.

Source: reduced-rank regression; the baselines are ours. Cost: per site one decomposition of
(sample, sample), and one product for each start and rank.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transformer_dynamics.measures.dynamics.linear.folds import FoldMaps, squares
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.eigenvectors import leading_directions

RANKS = (1, 2, 4, 8, 16, 32)
# Baselines: the mean path, persistence, and a constant deviation from the mean path.
N_PATHS = 3


def rolled_errors(fold: FoldMaps, starts: Sequence[int]) -> Floats:
    """Score the baselines and the maps of each of `RANKS` at all sites after the start.

    A map of rank K is a step's map restricted to the K directions of most variance in the updates
    that it predicts in training (reduced-rank regression).

    Args:
        fold: maps of the steps.
        starts: indices of the sites to start from.

    Returns:
        Squared errors summed over the held-out texts, `(start, model, site)`; 0 up to the start.
    """
    n_sites = fold.values.shape[1]
    errors = np.zeros((len(starts), N_PATHS + len(RANKS), n_sites))
    first = {start: fold.states(start, ~fold.training) for start in starts}
    deviation = {start: first[start] - fold.mean_path[start] for start in starts}
    rolling = {(start, rank): deviation[start] for start in starts for rank in RANKS}
    for site in range(1, n_sites):
        step = fold.steps[site - 1]
        observed = fold.states(site, ~fold.training) - fold.mean_path[site]
        in_training = step.update(fold.states(site - 1, fold.training)) - step.mean
        directions = leading_directions(in_training, max(RANKS))[1].T
        for row, start in enumerate(starts):
            if start >= site:
                continue
            for rank in RANKS:
                current, leading = rolling[start, rank], directions[:, :rank]
                update = step.update(current + step.state) - step.mean
                rolling[start, rank] = current + (update @ leading) @ leading.T
            predicted = [np.zeros(1), first[start] - fold.mean_path[site], deviation[start]]
            predicted += [rolling[start, rank] for rank in RANKS]
            errors[row, :, site] = [squares(observed - part).sum() for part in predicted]
    return errors

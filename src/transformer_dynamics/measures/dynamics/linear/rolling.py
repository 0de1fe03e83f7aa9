"""Held-out texts rolled forward over depth from one site, without seeing later states.

Source: reduced-rank regression; the baselines are ours. Cost: per step one decomposition of
(sample, sample) or (unit, unit), and for each start and rank two products of a held-out sample with
all directions. Samples are rolled in blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.linear.step_maps import StepMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.linalg.eigenvectors import leading_directions

RANKS = (1, 2, 4, 8, 16, 32)
# Baselines: the mean path, persistence, and a constant deviation from the mean path.
N_PATHS = 3


@dataclass(frozen=True)
class RankedMap:
    """Map of a step restricted to the directions of most variance in its predicted updates.

    Deviations x from the mean path become x + L_K L_K' u(x), with u the predicted deviation of the
    update from its mean, and L_K the first K of the directions (reduced-rank regression).

    Attributes:
        scale: b of the step, dimensionless.
        axes: the components of the step's inputs, and the directions, `(unit, component)`.
        matrix: map from the components to the update along the directions,
            `(component, direction)`.
        offset: constant part of the update along the directions, `(direction)`.
    """

    scale: float
    axes: Floats
    matrix: Floats
    offset: Floats

    @classmethod
    def of(cls, step: StepMap, training: NDArray[Any]) -> RankedMap:
        """Restrict a step's map to the updates that it predicts for states `(sample, unit)`."""
        leading = leading_directions(step.deviation(training), max(RANKS))[1].T
        matrix = step.remainder.matrix @ leading
        offset = step.remainder.offset @ leading - step.remainder.center @ matrix
        return cls(step.scale, np.concatenate([step.basis, leading], axis=1), matrix, offset)

    def advance(self, deviations: Floats) -> None:
        """Move deviations from the mean path `(start, rank, sample, unit)` by one site.

        They are changed in place and contiguous.
        """
        n_inputs = len(self.matrix)
        flat = deviations.reshape(-1, deviations.shape[-1])
        turned = flat @ self.axes
        update = turned[:, :n_inputs] @ self.matrix
        update += self.offset
        update += self.scale * turned[:, n_inputs:]
        by_rank = update.reshape(*deviations.shape[:-1], update.shape[1])
        for index, rank in enumerate(RANKS):
            by_rank[..., index, :, rank:] = 0.0
        flat += update @ self.axes[:, n_inputs:].T


def rolled_errors(
    maps: Sequence[RankedMap],
    mean_path: Floats,
    starts: Sequence[int],
    states: Sequence[NDArray[Any]],
) -> Floats:
    """Score the baselines and the maps of each of `RANKS` at all sites after the start.

    Args:
        maps: maps of the steps.
        mean_path: mean of the training texts, `(site, unit)`.
        starts: indices of the sites to start from.
        states: held-out states of each site, `(sample, unit)`.

    Returns:
        Squared errors summed over the samples, `(start, model, site)`; 0 up to the start.
    """
    n_sites = len(states)
    errors = np.zeros((len(starts), N_PATHS + len(RANKS), n_sites))
    order = sorted(range(len(starts)), key=starts.__getitem__)
    first = [states[starts[row]].astype(np.float64) for row in order]
    parallel = [own - mean_path[starts[row]] for row, own in zip(order, first, strict=True)]
    rolling = np.repeat(np.stack(parallel)[:, np.newaxis], len(RANKS), axis=1)
    for site in range(1, n_sites):
        n_started = sum(start < site for start in starts)
        maps[site - 1].advance(rolling[:n_started])
        observed = states[site] - mean_path[site]
        for index, row in enumerate(order[:n_started]):
            stayed = first[index] - mean_path[site]
            predicted = [np.zeros(1), stayed, parallel[index], *rolling[index]]
            errors[row, :, site] = [squares(observed - part).sum() for part in predicted]
    return errors


def squares(vectors: Floats) -> Floats:
    """Squared length of each row."""
    lengths: Floats = np.einsum("nu,nu->n", vectors, vectors)
    return lengths

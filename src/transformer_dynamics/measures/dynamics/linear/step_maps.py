"""Map of a single step from states to updates: one number for all units, and a ridge remainder.

With m the mean state, d the mean update and z the leading components of x - m,

    update = d + b (x - m) + W' z

b by least squares, W by ridge on the remainder that b leaves (see `regression`). Source: ours.
Cost: one decomposition of (sample, sample) or (unit, unit) for the components, and a ridge fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.linear.regression import (
    AffineMap,
    cross_validated_ridge,
)
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.eigenvectors import leading_directions


@dataclass(frozen=True)
class StepMap:
    """Map of states to updates in one step.

    Attributes:
        state: mean state, `(unit)`.
        mean: mean update, `(unit)`.
        scale: b, dimensionless.
        basis: directions of the components, `(unit, component)`.
        remainder: map from components to the part of the update beyond `mean` and `scale`.
        penalty: penalty of its ridge.
    """

    state: Floats
    mean: Floats
    scale: float
    basis: Floats
    remainder: AffineMap
    penalty: float

    def update(self, states: Floats) -> Floats:
        """Predict the updates of states, `(sample, unit)`."""
        deviations = states - self.state
        return self.mean + self.scale * deviations + self.remainder(deviations @ self.basis)

    @property
    def matrix(self) -> Floats:
        """Linear part of the whole step, `(unit before, unit after)`."""
        whole: Floats = self.basis @ self.remainder.matrix
        whole[np.diag_indices(len(whole))] += 1 + self.scale
        return whole


def fit_step(states: Floats, updates: Floats, folds: NDArray[Any], *, n_components: int) -> StepMap:
    """Fit the map of one step.

    Args:
        states: training states, `(sample, unit)`.
        updates: updates of these states, `(sample, unit)`.
        folds: fold of each training sample, for the choice of the penalty.
        n_components: number of components of the states that enter the ridge.
    """
    state, mean = states.mean(axis=0), updates.mean(axis=0)
    deviations, update_deviations = states - state, updates - mean
    power = float(np.vdot(deviations, deviations))
    scale = float(np.vdot(deviations, update_deviations)) / power if power > 0 else 0.0
    basis = leading_directions(deviations, n_components)[1].T
    remainder, penalty = cross_validated_ridge(
        deviations @ basis, update_deviations - scale * deviations, folds
    )
    return StepMap(state, mean, scale, basis, remainder, penalty)

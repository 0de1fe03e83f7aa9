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
from transformer_dynamics.numerics.linalg.eigenvectors import leading_directions


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

    def update(self, states: NDArray[Any]) -> Floats:
        """Predict the updates of states, `(sample, unit)`."""
        return self.mean + self.deviation(states)

    def deviation(self, states: NDArray[Any]) -> Floats:
        """Predict the deviations of the updates from the mean update, `(sample, unit)`."""
        deviations = states - self.state
        predicted = self.remainder(deviations @ self.basis)
        deviations *= self.scale
        predicted += deviations
        return predicted

    @property
    def matrix(self) -> Floats:
        """Linear part of the whole step, `(unit before, unit after)`."""
        whole: Floats = self.basis @ self.remainder.matrix
        whole[np.diag_indices(len(whole))] += 1 + self.scale
        return whole


def fit_step(
    before: NDArray[Any], after: NDArray[Any], folds: NDArray[Any], *, n_components: int
) -> StepMap:
    """Fit the map of one step.

    Args:
        before: training states, `(sample, unit)`.
        after: states of the same samples one site later.
        folds: fold of each training sample, for the choice of the penalty.
        n_components: number of components of the states that enter the ridge.
    """
    deviations = before.astype(np.float64)
    remainder = after - deviations
    state, mean = deviations.mean(axis=0), remainder.mean(axis=0)
    deviations -= state
    remainder -= mean
    power = float(np.vdot(deviations, deviations))
    scale = float(np.vdot(deviations, remainder)) / power if power > 0 else 0.0
    basis = leading_directions(deviations, n_components)[1].T
    inputs = deviations @ basis
    deviations *= scale
    remainder -= deviations
    del deviations
    fitted, penalty = cross_validated_ridge(inputs, remainder, folds)
    return StepMap(state, mean, scale, basis, fitted, penalty)

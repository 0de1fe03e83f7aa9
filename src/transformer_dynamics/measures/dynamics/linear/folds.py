"""Maps fitted on the training texts of one fold, and their errors on the held-out texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.linear.common_maps import (
    common_basis,
    in_basis,
    one_maps,
)
from transformer_dynamics.measures.dynamics.linear.step_maps import fit_step
from transformer_dynamics.numerics.arrays import Floats

BASELINES = ("zero", "mean_step", "scaled")
PREDICTORS = (*BASELINES, "map")


class FoldMaps:
    """Maps of all steps, fitted on the training texts of one fold.

    Args:
        values: states `(sample, site, unit)`.
        training: mask of the training samples, `(sample)`.
        inner_folds: fold of each training sample, for the choice of the penalties.
        n_components: number of components of the maps' inputs.
    """

    def __init__(
        self,
        values: NDArray[Any],
        training: NDArray[Any],
        inner_folds: NDArray[Any],
        n_components: int,
    ) -> None:
        self.values, self.training = values, training
        self._inner_folds, self._n_components = inner_folds, n_components
        self.steps = []
        after = self.states(0, training)
        for step in range(values.shape[1] - 1):
            before, after = after, self.states(step + 1, training)
            self.steps.append(
                fit_step(before, after - before, inner_folds, n_components=n_components)
            )
        self.mean_path = np.stack([step.state for step in self.steps] + [after.mean(axis=0)])

    def states(self, site: int, samples: NDArray[Any]) -> Floats:
        """States of a mask of samples at a site, `(sample, unit)`."""
        states: Floats = self.values[samples, site].astype(np.float64)
        return states

    def errors(self) -> tuple[Floats, Floats]:
        """Score each of `PREDICTORS` on the held-out texts.

        Returns:
            Squared errors `(predictor, step, sample)`, and sums of squares of the states about
            the training mean, within the components and in total, `(step, 2)`.
        """
        errors, kept = [], []
        for index, step in enumerate(self.steps):
            before, after = (self.states(site, ~self.training) for site in (index, index + 1))
            update, deviation = after - before, before - step.state
            predicted = (0.0, step.mean, step.mean + step.scale * deviation, step.update(before))
            errors.append([squares(update - part) for part in predicted])
            kept.append([squares(part).sum() for part in (deviation @ step.basis, deviation)])
        return np.moveaxis(np.array(errors), 0, 1), np.array(kept)

    def one_map_errors(self) -> tuple[Floats, Floats]:
        """Score the mean step and each of `MODELS` on the held-out texts, in common components.

        Returns:
            Squared errors within the components, `(model, step, sample)`, and sums of squares of
            the updates about their training mean, within the components and in total, `(step, 2)`.
        """
        center, basis = common_basis(self.values[self.training], self._n_components)
        scores = in_basis(self.values, center, basis)
        train, test = scores[self.training], scores[~self.training]
        maps = one_maps(train[:, :-1], train[:, 1:])
        errors, kept = [], []
        for index, step in enumerate(self.steps):
            state, update = test[:, index], test[:, index + 1] - test[:, index]
            own = fit_step(
                train[:, index],
                train[:, index + 1] - train[:, index],
                self._inner_folds,
                n_components=self._n_components,
            )
            deviation = state - own.state
            of_states = [each(state) - state for each in maps[:-1]]
            of_deviations = own.mean + maps[-1](deviation) - deviation
            predicted = [own.mean, own.update(state), *of_states, of_deviations]
            errors.append([squares(update - part) for part in predicted])
            before, after = (self.states(site, ~self.training) for site in (index, index + 1))
            total = squares(after - before - step.mean).sum()
            kept.append([squares(update - own.mean).sum(), total])
        return np.moveaxis(np.array(errors), 0, 1), np.array(kept)


def squares(vectors: Floats) -> Floats:
    """Squared length of each row."""
    lengths: Floats = np.einsum("nu,nu->n", vectors, vectors)
    return lengths

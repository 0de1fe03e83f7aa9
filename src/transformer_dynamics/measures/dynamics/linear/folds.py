"""Maps fitted on the training texts of one fold, site by site, and their errors on the other texts.

Two passes over the sites of a recording: the first fits and scores the map of each step and finds
the common components; the second fits maps in these components. Two sites are held at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.linear.common_maps import (
    CommonAxes,
    CommonMoment,
    StepPairs,
    one_maps,
)
from transformer_dynamics.measures.dynamics.linear.regression import AffineMap
from transformer_dynamics.measures.dynamics.linear.rolling import RankedMap, squares
from transformer_dynamics.measures.dynamics.linear.step_maps import StepMap, fit_step
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.by_site import SiteStates

BASELINES = ("zero", "mean_step", "scaled")
PREDICTORS = (*BASELINES, "map")


@dataclass(frozen=True)
class Fold:
    """Training texts of a fold.

    Attributes:
        states: the states.
        training: mask of the training samples, `(sample)`.
        inner_folds: fold of each training sample, for the choice of the penalties.
        center: mean of the training samples over all sites, `(unit)`.
        n_components: number of components of the maps' inputs.
    """

    states: SiteStates
    training: NDArray[Any]
    inner_folds: NDArray[Any]
    center: Floats
    n_components: int


@dataclass(frozen=True)
class FittedSteps:
    """Maps of all steps, and their errors on the held-out texts.

    Attributes:
        errors: squared errors of `PREDICTORS`, `(predictor, step, held-out sample)`.
        kept: sums of squares of the states about the training mean, within the components and in
            total, `(step, 2)`.
        penalty: penalty of each step's ridge, `(step)`.
        maps: maps of the steps, for the rolled paths.
        mean_path: mean of the training texts, `(site, unit)`.
        axes: components common to all sites.
    """

    errors: Floats
    kept: Floats
    penalty: Floats
    maps: list[RankedMap]
    mean_path: Floats
    axes: CommonAxes


def fit_steps(fold: Fold) -> FittedSteps:
    """Fit a map to each step and score it on the held-out texts."""
    errors, kept, penalty, maps, path = [], [], [], [], []
    moment = CommonMoment(fold.center)
    training = fold.training
    for before, after in pairwise(fold.states):
        states = before[training]
        moment.add(states)
        step = fit_step(states, after[training], fold.inner_folds, n_components=fold.n_components)
        maps.append(RankedMap.of(step, states))
        path.append(step.state)
        penalty.append(step.penalty)
        del states
        of_step, of_states = _scored(step, before[~training], after[~training])
        errors.append(of_step)
        kept.append(of_states)
    last = after[training]
    moment.add(last)
    return FittedSteps(
        np.stack(errors, axis=1),
        np.array(kept),
        np.array(penalty),
        maps,
        np.stack([*path, last.mean(axis=0, dtype=np.float64)]),
        moment.axes(fold.n_components),
    )


def _scored(step: StepMap, before: NDArray[Any], after: NDArray[Any]) -> tuple[Floats, Floats]:
    """Score each of `PREDICTORS`, `(predictor, sample)`, and sum squares of held-out states."""
    deviation = before - step.state
    update = after - before.astype(np.float64)
    from_mean = update - step.mean
    errors = [squares(update), squares(from_mean), squares(from_mean - step.scale * deviation)]
    errors.append(squares(from_mean - step.deviation(before)))
    within = [squares(part).sum() for part in (deviation @ step.basis, deviation)]
    return np.stack(errors), np.array(within)


@dataclass(frozen=True)
class ReducedMaps:
    """Maps within the common components: one of each step, and those for all depths.

    Attributes:
        axes: the components.
        steps: map of each step.
        common: maps for all depths, see `one_maps`.
    """

    axes: CommonAxes
    steps: list[StepMap]
    common: list[AffineMap]

    def errors(self, states: Sequence[NDArray[Any]]) -> Floats:
        """Score the mean step and each of `MODELS` on held-out states, `(sample, unit)` per site.

        Returns:
            Sums over samples of squared errors within the components, `(model, step)`.
        """
        scores = map(self.axes.scores, states)
        errors = []
        for own, (state, following) in zip(self.steps, pairwise(scores), strict=True):
            update, deviation = following - state, state - own.state
            of_states = [each(state) - state for each in self.common[:-1]]
            of_deviations = own.mean + self.common[-1](deviation) - deviation
            predicted = [own.mean, own.update(state), *of_states, of_deviations]
            errors.append([squares(update - part).sum() for part in predicted])
        return np.array(errors).T


def fit_reduced(fold: Fold, axes: CommonAxes) -> ReducedMaps:
    """Fit a map to each step, and maps for all depths, within common components."""
    steps, pairs = [], []
    scores = (axes.scores(states[fold.training]) for states in fold.states)
    for before, after in pairwise(scores):
        steps.append(fit_step(before, after, fold.inner_folds, n_components=fold.n_components))
        pairs.append(StepPairs.of(before, after))
    del before, after
    return ReducedMaps(axes, steps, one_maps(pairs))

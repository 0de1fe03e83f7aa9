"""Maps of single steps fitted on the training texts of one fold, and their held-out errors.

A step's map is, with m the mean path, d the mean update and z the leading components of x - m,

    update = d + b (x - m) + W' z

b by least squares, W by ridge on what b leaves (see `regression`). What is gathered over folds are
squared errors per sample, so that every text counts once and intervals can be drawn over texts.
Cost: per fold and site one decomposition of (sample, sample) for the components, a ridge fit, and
a product for each rank that is rolled. Source: ours. Not handled: see `linear`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.regression import (
    AffineMap,
    cross_validated_ridge,
    dynamic_modes,
)
from transformer_dynamics.numerics.arrays import Floats, ratio, site_states
from transformer_dynamics.numerics.eigenvectors import leading_directions, leading_eigenvectors
from transformer_dynamics.numerics.splits import text_folds
from transformer_dynamics.recording.recording import Recording

BASELINES = ("zero", "mean_step", "scaled")
PREDICTORS = (*BASELINES, "map")
MODELS = ("per_step", "one_map", "one_map_equal_weights", "one_map_of_deviations")
RANKS = (1, 2, 4, 8, 16, 32)
N_PATHS = 3


@dataclass(frozen=True)
class StepMap:
    """One step's map of states to updates.

    Attributes:
        state: mean state, `(unit)`.
        mean: mean update, `(unit)`.
        scale: b, without unit.
        basis: directions of the components, `(unit, component)`.
        rest: from components to what `mean` and `scale` leave of the update.
        penalty: that of its ridge.
    """

    state: Floats
    mean: Floats
    scale: float
    basis: Floats
    rest: AffineMap
    penalty: float

    def update(self, states: Floats) -> Floats:
        """The predicted updates of states, `(sample, unit)`."""
        deviations = states - self.state
        return self.mean + self.scale * deviations + self.rest(deviations @ self.basis)

    @property
    def matrix(self) -> Floats:
        """The linear part of the whole step, `(unit before, unit after)`."""
        whole: Floats = self.basis @ self.rest.matrix
        whole[np.diag_indices(len(whole))] += 1 + self.scale
        return whole


def fit_step(states: Floats, updates: Floats, folds: NDArray[Any], *, n_components: int) -> StepMap:
    """The map of one step.

    Args:
        states: training states, `(sample, unit)`.
        updates: what is added to them, `(sample, unit)`.
        folds: the fold of each training sample, for the choice of the penalty.
        n_components: of the states, as inputs of the ridge.
    """
    state, mean = states.mean(axis=0), updates.mean(axis=0)
    deviations, apart = states - state, updates - mean
    power = float(np.vdot(deviations, deviations))
    scale = float(np.vdot(deviations, apart)) / power if power > 0 else 0.0
    basis = leading_directions(deviations, n_components)[1].T
    rest, penalty = cross_validated_ridge(deviations @ basis, apart - scale * deviations, folds)
    return StepMap(state, mean, scale, basis, rest, penalty)


def common_basis(values: NDArray[Any], n_components: int) -> tuple[Floats, Floats]:
    """The pooled mean `(unit)` and the leading components `(unit, component)`, sites alike.

    Each site's second moment about the pooled mean is divided by its trace before they are added:
    the late sites, which vary most, would decide alone otherwise.
    """
    center = values.mean(axis=(0, 1), dtype=np.float64)
    total = np.zeros((center.size, center.size))
    for site in range(values.shape[1]):
        deviations = values[:, site].astype(np.float64) - center
        power = float(np.vdot(deviations, deviations))
        if power > 0:
            total += deviations.T @ (deviations / power)
    return center, leading_eigenvectors(total, n_components)[1].T


def in_basis(values: NDArray[Any], center: Floats, basis: Floats) -> Floats:
    """Components of states, `(sample, site, component)`, a site in float64 at a time."""
    return np.stack([(states - center) @ basis for states in site_states(values)], axis=1)


def one_maps(before: Floats, after: Floats) -> list[AffineMap]:
    """Maps for all depths: exact DMD, the same with every step weighted alike, and of deviations.

    The last maps the deviation from the mean path to the next one, every step weighted alike: its
    mean path is that of the training texts, as with a map per step.

    Args:
        before: components `(sample, step, component)`.
        after: the same one site later.
    """
    updates = after - before
    power = ((updates - updates.mean(axis=0)) ** 2).sum(axis=(0, 2))
    alike = np.nan_to_num(np.broadcast_to(ratio(np.ones(1), power), updates.shape[:2])).ravel()
    weights = alike if alike.any() else None
    pairs = [part.reshape(-1, part.shape[-1]) for part in (before, after)]
    apart = [(part - part.mean(axis=0)).reshape(-1, part.shape[-1]) for part in (before, after)]
    return [
        dynamic_modes(*pairs),
        dynamic_modes(*pairs, weights=weights),
        dynamic_modes(*apart, weights=weights),
    ]


class _Fold:
    """Maps fitted on the training texts of one fold."""

    def __init__(
        self, values: NDArray[Any], training: NDArray[Any], groups: NDArray[Any], most: int
    ) -> None:
        self.values, self.training, self.most, self.groups = values, training, most, groups
        self.steps = []
        after = self.at(0, training)
        for step in range(values.shape[1] - 1):
            here, after = after, self.at(step + 1, training)
            self.steps.append(fit_step(here, after - here, groups, n_components=most))
        self.mean_path = np.stack([step.state for step in self.steps] + [after.mean(axis=0)])

    def at(self, site: int, samples: NDArray[Any]) -> Floats:
        """Some states at a site, `(sample, unit)`."""
        states: Floats = self.values[samples, site].astype(np.float64)
        return states

    def errors(self) -> tuple[Floats, Floats]:
        """Squared error of each of `PREDICTORS` on the held-out texts, `(predictor, step, sample)`.

        And sums of squares of the states about the training mean, within the components and whole,
        `(step, 2)`.
        """
        errors, kept = [], []
        for place, step in enumerate(self.steps):
            here, after = (self.at(site, ~self.training) for site in (place, place + 1))
            update, deviation = after - here, here - step.state
            predicted = (0.0, step.mean, step.mean + step.scale * deviation, step.update(here))
            errors.append([squares(update - part) for part in predicted])
            kept.append([squares(part).sum() for part in (deviation @ step.basis, deviation)])
        return np.moveaxis(np.array(errors), 0, 1), np.array(kept)

    def one_map_errors(self) -> tuple[Floats, Floats]:
        """Squared error within common components, `(model, step, sample)`.

        The models are the mean step and `MODELS`. And sums of squares of the updates about their
        training mean, within the components and whole, `(step, 2)`.
        """
        center, basis = common_basis(self.values[self.training], self.most)
        scores = in_basis(self.values, center, basis)
        train, test = scores[self.training], scores[~self.training]
        maps = one_maps(train[:, :-1], train[:, 1:])
        errors, kept = [], []
        for place, step in enumerate(self.steps):
            here, update = test[:, place], test[:, place + 1] - test[:, place]
            own = fit_step(
                train[:, place],
                train[:, place + 1] - train[:, place],
                self.groups,
                n_components=self.most,
            )
            deviation = here - own.state
            whole_states = [each(here) - here for each in maps[:-1]]
            of_deviations = own.mean + maps[-1](deviation) - deviation
            predicted = [own.mean, own.update(here), *whole_states, of_deviations]
            errors.append([squares(update - part) for part in predicted])
            before, after = (self.at(site, ~self.training) for site in (place, place + 1))
            whole = squares(after - before - step.mean).sum()
            kept.append([squares(update - own.mean).sum(), whole])
        return np.moveaxis(np.array(errors), 0, 1), np.array(kept)

    def rolled(self, starts: Sequence[int]) -> Floats:
        """Squared error of held-out texts rolled forward, `(start, model, site)`, summed over them.

        Models: the mean path, stay where you are, stay as far from the mean path, and `RANKS`: of a
        step's map the part whose updates lie in the directions that hold most of them in training
        (reduced-rank regression). Sites up to the start are 0.
        """
        n_sites = self.values.shape[1]
        errors = np.zeros((len(starts), N_PATHS + len(RANKS), n_sites))
        first = {start: self.at(start, ~self.training) for start in starts}
        away = {start: first[start] - self.mean_path[start] for start in starts}
        rolling = {(start, rank): away[start] for start in starts for rank in RANKS}
        for site in range(1, n_sites):
            step, about = self.steps[site - 1], self.at(site, ~self.training) - self.mean_path[site]
            known = step.update(self.at(site - 1, self.training)) - step.mean
            directions = leading_directions(known, max(RANKS))[1].T
            for row, start in enumerate(starts):
                if start >= site:
                    continue
                for rank in RANKS:
                    here, seen = rolling[start, rank], directions[:, :rank]
                    moved = step.update(here + step.state) - step.mean
                    rolling[start, rank] = here + (moved @ seen) @ seen.T
                predicted = [np.zeros(1), first[start] - self.mean_path[site], away[start]]
                predicted += [rolling[start, rank] for rank in RANKS]
                errors[row, :, site] = [squares(about - part).sum() for part in predicted]
        return errors


def squares(vectors: Floats) -> Floats:
    """Squared length of each row."""
    lengths: Floats = np.einsum("nu,nu->n", vectors, vectors)
    return lengths


@dataclass(frozen=True)
class HeldOut:
    """Held-out squared errors and sums of squares, gathered over folds.

    Attributes:
        step: `(predictor, step, sample)`.
        reduced: `(mean step and MODELS, step, sample)`, within common components.
        rolled: `(start, model, site)`, see `_Fold.rolled`.
        kept: of states within each site's own components, of updates within the common ones; within
            and whole: `(2, step, 2)`.
        penalty: `(fold, step)`.
    """

    step: Floats
    reduced: Floats
    rolled: Floats
    kept: Floats
    penalty: Floats


def held_out_errors(
    recording: Recording, folds: NDArray[Any], starts: Sequence[int], *, most: int, seed: int = 0
) -> HeldOut:
    """Fit on all folds but one, score on that one, for each.

    Args:
        recording: the states.
        folds: the fold of each sample, `(sample)`; all NaN where there are fewer than three texts.
        starts: places of the sites to roll forward from.
        most: components.
        seed: of the inner folds.
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
        groups = text_folds(recording.groups[~held_out], max(n_folds, 2), seed=seed)
        fold = _Fold(recording.values, ~held_out, groups, most)
        step[..., held_out], of_states = fold.errors()
        reduced[..., held_out], of_updates = fold.one_map_errors()
        rolled += fold.rolled(starts)
        kept += of_states, of_updates
        penalty[number] = [each.penalty for each in fold.steps]
    return HeldOut(step, reduced, rolled, kept, penalty)

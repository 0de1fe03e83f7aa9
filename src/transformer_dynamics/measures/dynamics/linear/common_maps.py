"""Linear maps for all depths, in components that are common to all sites (dynamic modes).

    A = Y'Z (Z'Z)^+ of pairs (state z, next state y), least squares with an offset

The pairs of a step enter as their means and a triangular factor of their deviations, which has the
same products as the pairs themselves; so no states are kept, and no digits are lost as with sums of
products. Source: exact DMD (Tu et al., arXiv 1312.0041); equal weights and deviations: ours. Cost,
for N samples, S sites, D units, K components: N S D^2 for the components, N S K^2 for the factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.linear.regression import AffineMap
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.by_site import SiteStates
from transformer_dynamics.numerics.linalg.eigenvectors import leading_eigenvectors

# A map per step, and the maps for all depths in the order of `one_maps`.
MODELS = ("per_step", "one_map", "one_map_equal_weights", "one_map_of_deviations")
# Numbers of pairs, and of factors of steps, that are reduced to one factor together.
BLOCK_ROWS = 256
STEPS_TOGETHER = 10


def pooled_means(states: SiteStates, chosen: NDArray[np.bool_]) -> Floats:
    """Mean of sets of samples over samples and sites, `(set, unit)`.

    Args:
        states: the states.
        chosen: masks of the samples, `(set, sample)`.
    """
    weights = chosen / (chosen.sum(axis=1, keepdims=True) * states.shape[1])
    means = np.zeros((len(chosen), states.shape[2]))
    for of_site in states:
        means += weights @ of_site.astype(np.float64)
    return means


@dataclass(frozen=True)
class CommonAxes:
    """Components that are common to all sites.

    Attributes:
        center: pooled mean, `(unit)`.
        basis: leading components, `(unit, component)`.
    """

    center: Floats
    basis: Floats

    def scores(self, states: NDArray[Any]) -> Floats:
        """Compute the components of states, `(sample, component)`."""
        scores: Floats = (states - self.center) @ self.basis
        return scores


class CommonMoment:
    """Second moment about the pooled mean, all sites weighted equally.

    Each site's second moment is divided by its trace before the sum; otherwise the late sites,
    which vary most, would dominate.

    Args:
        center: pooled mean, `(unit)`.
    """

    def __init__(self, center: Floats) -> None:
        self._center, self._total = center, np.zeros((center.size, center.size))

    def add(self, states: NDArray[Any]) -> None:
        """Add the states of a site, `(sample, unit)`."""
        deviations = states - self._center
        power = float(np.vdot(deviations, deviations))
        if power > 0:
            products = deviations.T @ deviations
            products /= power
            self._total += products

    def axes(self, n_components: int) -> CommonAxes:
        """Compute the leading components of all sites that were added."""
        return CommonAxes(self._center, leading_eigenvectors(self._total, n_components)[1].T)


@dataclass(frozen=True)
class StepPairs:
    """Pairs (state, next state) of one step, reduced to what least squares takes from them.

    Attributes:
        count: number of pairs.
        before: mean state, `(component)`.
        after: mean next state, `(component)`.
        factor: matrix with the products of the deviations of states and next states,
            `(row, 2 components)`.
        power: sum of squared deviations of the updates.
    """

    count: int
    before: Floats
    after: Floats
    factor: Floats
    power: float

    @classmethod
    def of(cls, before: Floats, after: Floats) -> StepPairs:
        """Reduce pairs, each `(pair, component)`."""
        means = before.mean(axis=0), after.mean(axis=0)
        power = 0.0
        factor: Floats | None = None
        for start in range(0, len(before), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            states, following = before[rows] - means[0], after[rows] - means[1]
            power += float(np.square(following - states).sum())
            factor = triangular(factor, np.concatenate([states, following], axis=1))
        assert factor is not None  # there is at least one pair
        return cls(len(before), *means, factor, power)


def triangular(factor: Floats | None, rows: Floats) -> Floats:
    """Add rows to a factor; the result has no more rows than columns, and the same products."""
    stacked: Floats = rows if factor is None else np.concatenate([factor, rows])
    if len(stacked) > stacked.shape[1]:
        stacked = np.asarray(np.linalg.qr(stacked, mode="r"))
    return stacked


def one_maps(steps: Sequence[StepPairs]) -> list[AffineMap]:
    """Fit maps for all depths: exact DMD, DMD with equal weights of the steps, and of deviations.

    The last map takes the deviation from the mean path to the next one, with equal weights of the
    steps. Its mean path is the mean path of the training texts, as with a map per step.

    Args:
        steps: pairs of all steps.

    Returns:
        The maps; the eigenvalues of a map's transposed matrix are those of the dynamics.

    >>> states = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> pairs = StepPairs.of(states, states @ [[0.5, 0.0], [0.0, 2.0]])
    >>> one_maps([pairs])[0].matrix.round(9) + 0.0
    array([[0.5, 0. ],
           [0. , 2. ]])
    """
    uniform = np.ones(len(steps))
    equal = np.nan_to_num(ratio(uniform, np.array([step.power for step in steps])))
    weights = equal if equal.any() else uniform
    centered = [
        StepPairs(step.count, step.before * 0.0, step.after * 0.0, step.factor, step.power)
        for step in steps
    ]
    return [_fitted(steps, uniform), _fitted(steps, weights), _fitted(centered, weights)]


def _fitted(steps: Sequence[StepPairs], weights: Floats) -> AffineMap:
    """Fit one map from states to next states, with a weight for the pairs of each step."""
    counts = np.array([step.count for step in steps])
    shares = weights / (weights @ counts)
    means = [np.stack([getattr(step, name) for step in steps]) for name in ("before", "after")]
    centers = [(shares * counts) @ mean for mean in means]
    between = np.concatenate([m - center for m, center in zip(means, centers, strict=True)], axis=1)
    factor = triangular(None, np.sqrt(shares * counts)[:, np.newaxis] * between)
    for first in range(0, len(steps), STEPS_TOGETHER):
        together = range(first, min(first + STEPS_TOGETHER, len(steps)))
        rows = [np.sqrt(shares[step]) * steps[step].factor for step in together]
        factor = triangular(factor, np.concatenate(rows))
    before, after = np.split(factor, 2, axis=1)
    return AffineMap(centers[0], scipy.linalg.lstsq(before, after)[0], centers[1])

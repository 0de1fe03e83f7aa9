"""The rotate-and-stretch law and its baselines, scored on every pair of sites.

Over samples of one pair (t, t + tau), with the prediction p and the residual r = x(t + tau) - p:

    explained square     1 - sum |r|^2 / sum |x(t + tau)|^2
    explained variance   1 - sum |r - o|^2 / sum |x(t + tau) - m|^2,  o, m training means of r, x

`persistence` is p = x(t); `scaled` b x(t) with the best b in training, about the means for the
explained variance; `mean_path` is m, the same for all samples. Source: arXiv 2410.01545; the
explained variance and the baselines: ours. Cost: per pair one product (sample, component, unit),
and one (sample, sample, unit) or (sample, unit, unit).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.singular_bases import SingularBasis, extrapolated
from transformer_dynamics.measures.dynamics.stretch.residuals import BLOCK_ROWS, ResidualMoments
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.by_site import SiteStates

# Of the earlier and of the later site of a pair.
Bases = tuple[SingularBasis, SingularBasis]
Sites = tuple[NDArray[Any], NDArray[Any]]

PREDICTORS = ("law", "persistence", "scaled", "mean_path")
# Leading components whose agreement between sites is reported.
MOST_AGREED = 32


@dataclass(frozen=True)
class PairStatistics:
    """Statistics of one pair of sites.

    Attributes:
        square: explained square by each of `PREDICTORS`.
        variance: explained variance by each of `PREDICTORS`.
        log_variance: ln of the residual's variance per unit, by each of `AVERAGES` over units.
        drawn: `log_variance` of each bootstrap draw, `(draw, average)`.
        shape: each of `SHAPES`.
        agreement: cosine over samples of the leading components at the two sites, `(component)`.
    """

    square: Floats
    variance: Floats
    log_variance: Floats
    drawn: Floats
    shape: Floats
    agreement: Floats


class LawOnPairs:
    """Law and baselines on pairs of sites, fitted on training samples and scored on some samples.

    Args:
        states: the states.
        training: mask of the samples that give bases, means and scales, `(sample)`.
        scored: mask of the samples that are predicted, `(sample)`.
        counts: bootstrap draws over texts: number of times that each scored sample was drawn,
            `(draw, scored sample)`.
    """

    def __init__(
        self,
        states: SiteStates,
        training: NDArray[Any],
        scored: NDArray[Any],
        counts: NDArray[Any],
    ) -> None:
        self._states, self._counts = states, counts
        self._training, self._scored = np.flatnonzero(training), np.flatnonzero(scored)

    def pair(self, before: int, after: int, bases: Bases) -> PairStatistics:
        """Compute the statistics of one pair of sites.

        Args:
            before: index of the earlier site.
            after: index of the later site.
            bases: singular bases of the training samples at both sites.
        """
        sites = self._states.site(before), self._states.site(after)
        scales = _Scales.of(sites, self._training)
        residual, scores = _scored(sites, self._scored, scales, bases)
        agreement = _agreement(sites, self._scored, bases)
        del sites
        floor = float((4 * np.finfo(self._states.dtype).eps) ** 2 * scores.powers[0])
        residual -= residual.mean(axis=0)
        moments = ResidualMoments(residual, self._counts)
        square, variance = scores.shares(floor)
        logs, drawn = moments.log_variances(floor / residual.size)
        return PairStatistics(square, variance, logs, drawn, moments.shape(floor), agreement)


@dataclass(frozen=True)
class _Scales:
    """Means at both sites, and slopes of the later states on the earlier ones, in training."""

    mean: Floats
    later_mean: Floats
    slope: float
    centered_slope: float

    @classmethod
    def of(cls, sites: Sites, training: NDArray[np.int64]) -> _Scales:
        sums, product, power = np.zeros((2, sites[0].shape[1])), 0.0, 0.0
        for start, stop in _float_blocks(sites, training):
            sums += start.sum(axis=0), stop.sum(axis=0)
            product += float(np.vdot(start, stop))
            power += float(np.vdot(start, start))
        mean, later_mean = sums / training.size
        centered = (
            product - training.size * float(mean @ later_mean),
            power - training.size * float(mean @ mean),
        )
        return cls(mean, later_mean, _quotient(product, power), _quotient(*centered))


@dataclass(frozen=True)
class _Scores:
    """Sums of squares of the target and of each predictor's residual: square, variance."""

    powers: Floats
    unexplained: Floats

    def shares(self, floor: float) -> Floats:
        """Explained shares `(square and variance, predictor)`; NaN without a target."""
        return 1 - ratio(self.unexplained, np.where(self.powers > floor, self.powers, 0.0)[:, None])


def _scored(
    sites: Sites, scored: NDArray[np.int64], scales: _Scales, bases: Bases
) -> tuple[Floats, _Scores]:
    """Residual of the law `(sample, unit)`, and squares of all predictors' residuals."""
    # The law is linear, so the training mean has the mean residual of the training samples.
    offset = scales.later_mean - extrapolated(scales.mean[np.newaxis], *bases)[0]
    residual = np.empty((scored.size, sites[0].shape[1]))
    powers, unexplained = np.zeros(2), np.zeros((2, len(PREDICTORS)))
    row = 0
    for earlier, later in _float_blocks(sites, scored):
        of_law = residual[row : row + len(earlier)]
        row += len(earlier)
        of_law[:] = later - extrapolated(earlier, *bases)
        deviation, earlier_deviation = later - scales.later_mean, earlier - scales.mean
        pairs = (
            (of_law, of_law - offset),
            (later - earlier, deviation - earlier_deviation),
            (later - scales.slope * earlier, deviation - scales.centered_slope * earlier_deviation),
            (deviation, deviation),
        )
        powers += [np.vdot(target, target) for target in (later, deviation)]
        unexplained += np.array([[np.vdot(part, part) for part in pair] for pair in pairs]).T
    return residual, _Scores(powers, unexplained)


def _float_blocks(sites: Sites, samples: NDArray[np.int64]) -> Iterator[tuple[Floats, Floats]]:
    """Iterate over blocks of some samples at two sites, in float64."""
    for start in range(0, samples.size, BLOCK_ROWS):
        rows = samples[start : start + BLOCK_ROWS]
        yield sites[0][rows].astype(np.float64), sites[1][rows].astype(np.float64)


def _quotient(product: float, power: float) -> float:
    """Regression slope; 0 without variance."""
    return product / power if power > 0 else 0.0


def _agreement(sites: Sites, scored: NDArray[np.int64], bases: Bases) -> Floats:
    """Cosine over samples of each component at the two sites."""
    shared = min(MOST_AGREED, *(basis.values.size for basis in bases))
    products, *squares = np.zeros((3, shared))
    for states in _float_blocks(sites, scored):
        before, after = (
            each @ basis.vectors[:, :shared] for each, basis in zip(states, bases, strict=True)
        )
        products += np.einsum("nk,nk->k", before, after)
        for total, part in zip(squares, (before, after), strict=True):
            total += np.einsum("nk,nk->k", part, part)
    return ratio(products, np.sqrt(squares[0]) * np.sqrt(squares[1]))

"""Residuals of the rotate-and-stretch law for every pair of sites.

For the law and for standing still, over samples n of one pair (t, t + tau), r = x(t + tau) - x~:

    explained square     1 - sum |r|^2 / sum |x(t + tau)|^2
    explained variance   1 - sum |r - o|^2 / sum |x(t + tau) - m|^2,  o, m training means of r, x

`persistence` is x~ = x(t); `scaled` b x(t) with the best b in training, about the means for the
second reading; `mean_path` is m, the same for all samples, which the first singular vector nearly
holds: most of |x|^2 is foretold by knowing the site alone.

Of the law's residual, per unit: variance, excess kurtosis; pooled over units: Kolmogorov distance
of the residuals over their unit's deviation to a normal distribution; of its covariance C over
units: participation ratio (tr C)^2 / tr C^2 over the units, and the largest eigenvalue over the
mean one. Both depend on the number of samples, so what isotropic noise would give with as many is
put beside them: 1 / (1 + (D + 1)/n) and (1 + sqrt(D/n))^2.

Cost: per pair one product (sample, component, unit), and one (sample, sample, unit) or
(sample, unit, unit). Source: arXiv 2410.01545; the second reading and the references: ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse.linalg
import scipy.special
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.singular_bases import (
    Matching,
    SingularBasis,
    extrapolated,
    singular_bases,
)
from transformer_dynamics.numerics.arrays import Floats, ratio

PREDICTORS = ("law", "persistence", "scaled", "mean_path")
AVERAGES = ("geometric", "arithmetic")
SHAPES = ("excess_kurtosis", "normal_distance", "participation", "largest_eigenvalue")
# Components, by falling singular value, whose agreement between sites is told.
MOST_AGREED = 32
# Residuals of which the distance to a normal distribution is taken, evenly strided.
MOST_POOLED = 2**16


@dataclass(frozen=True)
class PairStatistics:
    """Quantities of one pair of sites.

    Attributes:
        square: explained square by each of `PREDICTORS`.
        variance: explained variance by each of them.
        log_variance: ln of the residual's variance per unit, by each of `AVERAGES` over units.
        drawn: the same in each bootstrap draw, `(draw, average)`.
        shape: each of `SHAPES`.
        agreement: cosine over samples of the leading components at the two sites, `(component)`.
    """

    square: Floats
    variance: Floats
    log_variance: Floats
    drawn: Floats
    shape: Floats
    agreement: Floats


class FittedLaw:
    """The law as some samples give it, to be scored on the same or on others.

    Args:
        values: states `(sample, site, unit)`.
        training: the samples that give bases, means and scales.
        scored: the samples that are predicted.
        n_components: of the bases, at most.
        matching: of singular vectors between sites.
    """

    def __init__(
        self,
        values: NDArray[Any],
        training: NDArray[Any],
        scored: NDArray[Any],
        *,
        n_components: int,
        matching: Matching,
    ) -> None:
        self._values, self._training, self._scored = values, training, scored
        self.bases = singular_bases(values[training], n_components, matching=matching)

    def pair(self, before: int, after: int, weights: Floats) -> PairStatistics:
        """Statistics of one pair; `weights` `(draw, scored sample)` draw its texts."""
        known, there = self._states(before, after, self._training)
        start, stop = self._states(before, after, self._scored)
        bases = self.bases[before], self.bases[after]
        mean, mean_there = known.mean(axis=0), there.mean(axis=0)
        product, power = float(np.vdot(known, there)), float(np.vdot(known, known))
        scale = _quotient(product, power)
        centered_scale = _quotient(
            product - len(known) * float(mean @ mean_there),
            power - len(known) * float(mean @ mean),
        )
        # The law is linear, so its mean residual in training is that of the training mean.
        offset = mean_there - extrapolated(mean[np.newaxis], *bases)[0]
        residual = stop - extrapolated(start, *bases)
        about = stop - mean_there
        of_square = [residual, stop - start, stop - scale * start, about]
        of_variance = [
            residual - offset,
            about - (start - mean),
            about - centered_scale * (start - mean),
            about,
        ]
        floor = (4 * np.finfo(self._values.dtype).eps) ** 2 * np.vdot(stop, stop)
        return PairStatistics(
            _shares(of_square, stop, floor),
            _shares(of_variance, about, floor),
            *_variances(residual, weights, floor / stop.size),
            shape=_shape(residual, floor),
            agreement=_agreement(start, stop, bases),
        )

    def _states(self, before: int, after: int, samples: NDArray[Any]) -> tuple[Floats, Floats]:
        first, second = (self._values[samples, site].astype(float) for site in (before, after))
        return first, second


def isotropic_references(n_samples: int, n_units: int) -> tuple[float, float]:
    """Participation ratio over units and largest eigenvalue over the mean, of isotropic noise.

    Expected for the covariance of `n_samples` about their mean; the second is the upper edge of the
    Marchenko-Pastur distribution.

    >>> isotropic_references(101, 99)
    (0.5, 3.9799...)
    """
    freedom = max(n_samples - 1, 1)
    return (
        float(1 / (1 + (n_units + 1) / freedom)),
        float((1 + np.sqrt(n_units / freedom)) ** 2),
    )


def _quotient(product: float, power: float) -> float:
    return product / power if power > 0 else 0.0


def _shares(residuals: list[Floats], whole: Floats, floor: float) -> Floats:
    power = np.vdot(whole, whole)
    left = np.array([np.vdot(residual, residual) for residual in residuals])
    return 1 - ratio(left, np.asarray(power if power > floor else 0.0))


def _variances(residual: Floats, weights: Floats, floor: float) -> tuple[Floats, Floats]:
    """Ln variance by each average over units, of the sample and of each draw."""
    uniform = np.full((1, len(residual)), 1 / len(residual))
    shifted = residual - residual.mean(axis=0)
    squares = shifted**2
    found = []
    for drawn in (uniform, weights):
        # Draws repeat texts, so the mean of a draw has as much freedom as that of the sample.
        variance = (drawn @ squares - (drawn @ shifted) ** 2) * len(residual)
        variance /= max(len(residual) - 1, 1)
        variance = np.where(variance > floor, variance, np.nan)
        some = np.isfinite(variance)
        count = np.where(some.any(axis=1), some.sum(axis=1), np.nan)
        logs = np.log(variance, where=some, out=np.zeros_like(variance)).sum(axis=1) / count
        mean = np.where(some, variance, 0.0).sum(axis=1) / count
        found.append(np.stack([logs, np.log(mean)], axis=1))
    return found[0][0], found[1]


def _shape(residual: Floats, floor: float) -> Floats:
    """Each of `SHAPES`; NaN where there is no residual."""
    centered = residual - residual.mean(axis=0)
    spread = centered.std(axis=0)
    varying = spread**2 > floor / residual.size
    if len(residual) < 4 or not varying.any():
        return np.full(len(SHAPES), np.nan)
    standard = centered[:, varying] / spread[varying]
    squares = standard**2
    n, moment = len(standard), float(np.mean(squares**2))
    kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (moment - 3) + 6)
    pooled = np.sort(standard.ravel()[:: -(-standard.size // MOST_POOLED)])
    expected, places = scipy.special.ndtr(pooled), np.arange(pooled.size + 1) / pooled.size
    distance = max(float((places[1:] - expected).max()), float((expected - places[:-1]).max()))
    n_samples, n_units = centered.shape
    gram = centered @ centered.T if n_samples < n_units else centered.T @ centered
    trace = float(np.trace(gram))
    participation = trace**2 / float(np.vdot(gram, gram)) / n_units
    return np.array([kurtosis, distance, participation, _largest(gram) * n_units / trace])


def _largest(gram: Floats) -> float:
    """The largest eigenvalue of a symmetric matrix."""
    if len(gram) < 3:
        return float(np.linalg.eigvalsh(gram)[-1])
    # A start of its own, so that the same matrix gives the same bits.
    start = np.random.default_rng(0).standard_normal(len(gram))
    found = scipy.sparse.linalg.eigsh(gram, k=1, v0=start, return_eigenvectors=False, tol=1e-6)
    return float(found[0])


def _agreement(start: Floats, stop: Floats, bases: tuple[SingularBasis, SingularBasis]) -> Floats:
    """Cosine over samples of each component at the two sites."""
    shared = min(MOST_AGREED, *(basis.values.size for basis in bases))
    before, after = (
        states @ basis.vectors[:, :shared]
        for states, basis in zip((start, stop), bases, strict=True)
    )
    products = np.einsum("nk,nk->k", before, after)
    sizes = np.linalg.norm(before, axis=0) * np.linalg.norm(after, axis=0)
    return ratio(products, sizes)

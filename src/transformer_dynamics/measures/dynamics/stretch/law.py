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

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.singular_bases import (
    Matching,
    SingularBasis,
    extrapolated,
    singular_bases,
)
from transformer_dynamics.measures.dynamics.stretch.residuals import (
    log_variances,
    shape_statistics,
)
from transformer_dynamics.numerics.arrays import Floats, ratio

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


class FittedLaw:
    """Law fitted on training samples, to be scored on the same or on other samples.

    Args:
        values: states `(sample, site, unit)`.
        training: mask of the samples that give bases, means and scales, `(sample)`.
        scored: mask of the samples that are predicted, `(sample)`.
        n_components: largest number of components of the bases.
        matching: matching of singular vectors between sites.
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
        """Compute the statistics of one pair of sites.

        Args:
            before: index of the earlier site.
            after: index of the later site.
            weights: bootstrap draws over texts, `(draw, scored sample)`.
        """
        earlier, later = self._states(before, after, self._training)
        start, stop = self._states(before, after, self._scored)
        bases = self.bases[before], self.bases[after]
        mean, later_mean = earlier.mean(axis=0), later.mean(axis=0)
        product, power = float(np.vdot(earlier, later)), float(np.vdot(earlier, earlier))
        scale = _quotient(product, power)
        centered_scale = _quotient(
            product - len(earlier) * float(mean @ later_mean),
            power - len(earlier) * float(mean @ mean),
        )
        # The law is linear, so the training mean has the mean residual of the training samples.
        offset = later_mean - extrapolated(mean[np.newaxis], *bases)[0]
        residual = stop - extrapolated(start, *bases)
        deviation = stop - later_mean
        of_square = [residual, stop - start, stop - scale * start, deviation]
        of_variance = [
            residual - offset,
            deviation - (start - mean),
            deviation - centered_scale * (start - mean),
            deviation,
        ]
        floor = (4 * np.finfo(self._values.dtype).eps) ** 2 * np.vdot(stop, stop)
        return PairStatistics(
            _shares(of_square, stop, floor),
            _shares(of_variance, deviation, floor),
            *log_variances(residual, weights, floor / stop.size),
            shape=shape_statistics(residual, floor),
            agreement=_agreement(start, stop, bases),
        )

    def _states(self, before: int, after: int, samples: NDArray[Any]) -> tuple[Floats, Floats]:
        """States of a mask of samples at two sites, each `(sample, unit)`."""
        first, second = (self._values[samples, site].astype(float) for site in (before, after))
        return first, second


def _quotient(product: float, power: float) -> float:
    """Regression slope; 0 without variance."""
    return product / power if power > 0 else 0.0


def _shares(residuals: list[Floats], target: Floats, floor: float) -> Floats:
    """Share of the target's sum of squares that each residual leaves explained."""
    power = np.vdot(target, target)
    unexplained = np.array([np.vdot(residual, residual) for residual in residuals])
    return 1 - ratio(unexplained, np.asarray(power if power > floor else 0.0))


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

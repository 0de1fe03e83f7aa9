"""Mutual information from correlations: of bivariate normals, and of Gaussian copulas.

    gaussian  -1/2 ln(1 - r^2) with Pearson's r: exact for a bivariate normal, otherwise the linear
              part only
    copula    the same formula for normal scores (Ince et al. 2017): monotone dependence only

Known answers for a bivariate normal with r = .5, .8, .9, .95: .144, .511, .830, 1.164 nats.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.units.weighted_correlation import (
    moment_correlation,
    require_steps,
    site_moments,
    step_correlations,
)
from transformer_dynamics.numerics.arrays import (
    Floats,
    centered,
    check_weights,
    defined_mean,
    warn_counts,
)
from transformer_dynamics.numerics.ranks import site_scores
from transformer_dynamics.numerics.weighting import SampleWeights

# Fisher's z of a correlation has the variance 1 / (N - 3).
MIN_SAMPLES = 4
# Below, 1 - r^2 is so near to 1 that its logarithm needs `log1p`, which takes five times as long.
SMALL = 0.1
UNDEFINED = "the unit does not vary over the samples, or its states are not finite"
FEW_DRAWN = f", or a draw has fewer than {MIN_SAMPLES} different samples"


def gaussian_information(correlation: NDArray[Any]) -> Floats:
    """Compute the mutual information -1/2 ln(1 - r^2) of a bivariate normal.

    Returns:
        The shape of `correlation`, in nats; infinite where |r| is 1, NaN where r is NaN.

    Raises:
        InputError: a correlation lies outside [-1, 1].

    >>> gaussian_information(np.array([0.5, 0.8, 0.9, 0.95, 1.0])).round(3)
    array([0.144, 0.511, 0.83 , 1.164,   inf])
    """
    r = np.asarray(correlation, dtype=np.float64)
    if np.any(np.abs(r) > 1):
        raise InputError(
            f"got a correlation of {np.nanmax(np.abs(r)):.6g}; it lies between -1 and 1, as in "
            "gaussian_information(np.clip(correlation, -1, 1))"
        )
    with np.errstate(divide="ignore"):
        # The product of the factors of 1 - r^2 loses no digits near |r| = 1, the difference would.
        logarithm = np.asarray(np.log((1 - r) * (1 + r)))
    small = np.abs(r) < SMALL
    logarithm[small] = np.log1p(-(r[small] ** 2))
    information: Floats = -0.5 * logarithm
    return information


def information_of_correlation(correlation: Floats, n_samples: int) -> Floats:
    """Compute `gaussian_information`, infinite where |r| is 1 up to the rounding of N products."""
    determined = 1 - np.abs(correlation) <= n_samples * np.finfo(np.float64).eps
    return gaussian_information(np.where(determined, np.sign(correlation), correlation))


def centered_scores(columns: NDArray[Any]) -> Floats:
    """Compute the centered normal scores of the states of one site, `(sample, unit)`."""
    return centered(site_scores(columns))


def copula_information(values: NDArray[Any], weights: Floats | None = None) -> Floats:
    """Compute the Gaussian-copula information of each unit between neighboring sites.

    The result equals `gaussian_information(adjacent_correlation(normal_scores(values), weights))`,
    with two sites in memory. Bootstrap weights change the correlation of the scores; the ranks
    remain those of the whole sample.

    Args:
        values: states `(sample, site, unit)`, at least two sites.
        weights: `(draw, sample)`, rows that sum to one; by default one row of 1/N.

    Returns:
        `(draw, step, unit)` in nats. NaN, with one `UndefinedWarning`, where a unit does not vary,
        where the order of the samples does not change (the estimate would be infinite), and in
        draws of fewer than four different samples.

    Raises:
        InputError: `values` or `weights` have the wrong shape, or a row does not sum to one.
    """
    information = np.stack(list(_copula_steps(values, weights)), axis=1)
    reason = UNDEFINED if weights is None else f"{UNDEFINED}{FEW_DRAWN}"
    return defined_information(information, len(values), reason=reason, stacklevel=2)


def mean_copula_information(values: NDArray[Any], weights: Floats | None = None) -> Floats:
    """Compute the mean of `copula_information` over the units where it is defined.

    The arguments, errors and warnings are the same; one step is in memory at a time.

    Returns:
        `(draw, step)`, in nats.
    """
    means, determined, undefined = [], [], []
    for information in _copula_steps(values, weights):
        determined.append(np.isinf(information))
        information[determined[-1] | (len(values) < MIN_SAMPLES)] = np.nan
        undefined.append(np.isnan(information))
        means.append(defined_mean(information))
    reason = UNDEFINED if weights is None else f"{UNDEFINED}{FEW_DRAWN}"
    both = np.stack(determined, axis=1), np.stack(undefined, axis=1)
    _warn(*both, len(values), reason=reason, stacklevel=2)
    return np.stack(means, axis=1)


def copula_information_of_blocks(
    unit_blocks: Iterable[NDArray[Any]], n_samples: int, weights: Floats
) -> Floats:
    """Compute `mean_copula_information` of states that come in blocks of units.

    Args:
        unit_blocks: states `(sample, site, unit)` of some units after the other.
        n_samples: number of samples.
        weights: `(draw, sample)`, rows that sum to one.
    """
    total = count = np.zeros(())
    n_values = 0
    for values in unit_blocks:
        steps = np.stack(list(_copula_steps(values, weights)), axis=1)
        defined = np.isfinite(steps) & (n_samples >= MIN_SAMPLES)
        total = total + np.sum(steps, axis=-1, where=defined)
        count = count + defined.sum(axis=-1)
        n_values += steps.size
        del values
    undefined = int(n_values - count.sum())
    warn_counts({"information": (undefined, n_values)}, f"{UNDEFINED}{FEW_DRAWN}", stacklevel=2)
    with np.errstate(invalid="ignore"):
        mean: Floats = total / count
    return mean


def _copula_steps(values: NDArray[Any], weights: Floats | None) -> Iterator[Floats]:
    """Iterate over steps: information `(draw, unit)`, infinite where the order does not change."""
    require_steps(values.shape)
    few = (check_weights(weights, len(values)) > 0).sum(axis=1) < MIN_SAMPLES
    for correlation in step_correlations(
        lambda site: centered_scores(values[:, site]), values.shape[1], weights
    ):
        information = information_of_correlation(correlation, len(values))
        information[few] = np.nan
        yield information


def copula_share(values: NDArray[Any], *, reference: int, weights: Floats | None = None) -> Floats:
    """Compute the share of variance at one site that each other site predicts, unit by unit.

    The share is r^2 of normal scores (Gaussian copula), less its expectation for unrelated values,
    (1 - r^2)/(n - 2) with n = 1 / sum of squared weights, averaged over units. The mutual
    information of a Gaussian copula is -ln(1 - r^2)/2.

    Args:
        values: states `(sample, site, unit)`, at least two sites.
        reference: index of the predicted site.
        weights: `(draw, sample)`, rows that sum to one; by default one row of 1/N.

    Returns:
        `(draw, site)`, 1 at the reference; NaN where no unit varies, or n is at most 2.

    Raises:
        InputError: `values` or `weights` have the wrong shape, or a row does not sum to one.
    """
    total, count = share_sums(values, reference=reference, weights=weights)
    with np.errstate(invalid="ignore"):
        share: Floats = total / count
    return share


def share_sums(
    values: NDArray[Any], *, reference: int, weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Sum the share of `copula_share` over the units where it is defined, and count these.

    Args:
        values: see `copula_share`; some of the units.
        reference: see `copula_share`.
        weights: see `copula_share`.

    Returns:
        Sums and counts, each `(draw, site)`; 1 and 1 at the reference.
    """
    require_steps(values.shape)
    rows = check_weights(weights, len(values))
    size = 1 / (rows**2).sum(axis=1)[:, np.newaxis]
    average = SampleWeights(rows)
    first = site_moments(centered_scores(values[:, reference]), average)
    total, count = np.ones((2, len(rows), values.shape[1]))
    for site in range(values.shape[1]):
        if site == reference:
            continue
        other = site_moments(centered_scores(values[:, site]), average)
        squares = moment_correlation(first, other, average) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            adjusted = squares - (1 - squares) / np.where(size > 2, size - 2, np.nan)
        defined = ~np.isnan(adjusted)
        total[:, site] = np.sum(adjusted, axis=-1, where=defined)
        count[:, site] = defined.sum(axis=-1)
    return total, count


def defined_information(
    information: Floats, n_samples: int, *, reason: str = UNDEFINED, stacklevel: int
) -> Floats:
    """Replace undefined values by NaN and report them in one `UndefinedWarning`.

    Args:
        information: `(..., step, unit)` in nats; infinite where a value determines the next one.
        n_samples: number of samples; all values of fewer than four are undefined.
        reason: cause of the NaN that `information` already has.
        stacklevel: 2 to point at the caller of the function that calls this one, and so on up.
    """
    determined = np.isinf(information)
    defined = np.where(determined | (n_samples < MIN_SAMPLES), np.nan, information)
    _warn(determined, np.isnan(defined), n_samples, reason=reason, stacklevel=stacklevel + 1)
    return defined


def _warn(
    determined: NDArray[np.bool_],
    undefined: NDArray[np.bool_],
    n_samples: int,
    *,
    reason: str,
    stacklevel: int,
) -> None:
    """Report undefined values, `(..., step, unit)`, in one `UndefinedWarning`, if there are any."""
    if n_samples < MIN_SAMPLES:
        reasons = [f"got {n_samples} samples, and it takes {MIN_SAMPLES} or more"]
    else:
        units, steps = determined.any(axis=-2), determined.any(axis=-1)
        exact = (
            f"{units.sum(axis=-1).max()} units at {steps.sum(axis=-1).max()} steps fix their next "
            "value, of infinite information"
        )
        reasons = [exact] if determined.any() else []
        reasons += [reason] if (undefined & ~determined).any() else []
    if undefined.any():
        warnings.warn(
            f"{undefined.sum()} of {undefined.size} values of information are undefined (NaN): "
            f"{'; '.join(reasons)}",
            UndefinedWarning,
            stacklevel=stacklevel + 1,
        )

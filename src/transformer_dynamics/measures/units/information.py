"""Mutual information of a unit with itself at another site, in nats.

Four estimators of I(x[:, s, u]; x[:, t, u]) over samples:

    gaussian  -1/2 ln(1 - r^2) with Pearson's r: exact for a bivariate normal, else linear only
    copula    the same on normal scores (Ince et al. 2017): monotone only; the default (ours)
    ksg       psi(k) + psi(N) - <psi(n_x + 1) + psi(n_y + 1)>, k nearest neighbors in the maximum
              norm on standardized values (estimator 1 of Kraskov et al., cond-mat/0305641); where
              the k-th neighbor coincides with the point, the discrete limit of arXiv 1709.06212
    kde       <ln p(x, y) / (p(x) p(y))> over the samples themselves, with Gaussian kernel
              densities of Scott's width, as in arXiv 2502.12131

Known answers for a bivariate normal with r = .5, .8, .9, .95: .144, .511, .830, 1.164.
Site 0 is a function of the last token alone, so its states take few distinct values. There the
kernel density answers with the noise, about four nats at 1 % of it, and not with the entropy; so
results carry the number of distinct tokens and flag the transitions that this touches.

All need four samples at least: Fisher's z of a correlation has a standard error from N = 4 on, and
of fewer samples the ranks agree by chance in one case of three. Where one site fixes the other
(|r| = 1) the estimate is infinite, and results hold NaN.

Cost for N samples, S sites, D units: gaussian N S D; copula N log N S D, 2 s for 1000 x 61 x 576;
ksg as much and kde N^2 S D, but in a Python loop over sites and units: 1 and 2 minutes.

Not handled: information between different units, and bias beyond that of a permutation mean.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.units.correlation import (
    check_states,
    correlate_steps,
    moment_correlation,
    require_steps,
    site_moments,
)
from transformer_dynamics.measures.units.information_estimators import (
    kde_pair,
    ksg_pair,
    over_units,
    prepare_kde,
    standardized,
)
from transformer_dynamics.numerics.arrays import Floats, centered, check_weights, defined_mean
from transformer_dynamics.numerics.ranks import site_scores
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.storage.attributes import plain_attributes

# Fisher's z of a correlation has the variance 1 / (N - 3).
MIN_SAMPLES = 4
UNDEFINED = "the unit does not vary over the samples, or its states are not finite"
# How one site `(sample, unit)` is prepared, and how two such `(..., sample, unit)` are compared.
Estimator = tuple[Callable[[NDArray[Any]], Floats], Callable[[Floats, Floats], Floats]]


def gaussian_information(correlation: NDArray[Any]) -> Floats:
    """Mutual information -1/2 ln(1 - r^2) of a bivariate normal, in nats.

    Returns:
        The shape of `correlation`, in nats; infinite where |r| is 1, NaN where r is.

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
        # Both factors of 1 - r^2 by themselves: the difference would lose digits near |r| = 1.
        information: Floats = -0.5 * (np.log1p(-r) + np.log1p(r))
    return information


def copula_information(values: NDArray[Any], weights: Floats | None = None) -> Floats:
    """Gaussian-copula information of each unit between neighboring sites, per row of weights.

    `gaussian_information(adjacent_correlation(normal_scores(values), weights))`, two sites at a
    time. Under bootstrap weights the ranks remain those of the whole sample; only the correlation
    of the scores is reweighted.

    Args:
        values: states `(sample, site, unit)`, at least two sites.
        weights: `(draw, sample)`, rows that sum to one; by default one row of 1/N.

    Returns:
        `(draw, step, unit)` in nats. NaN, with one `UndefinedWarning`, where a unit does not vary,
        where the order of the samples does not change (the estimate would be infinite), and in
        draws of fewer than four different samples.

    Raises:
        InputError: `values` or `weights` have another shape, or a row does not sum to one.
    """
    check_states(values)
    correlation = correlate_steps(
        lambda site: _centered_scores(values[:, site]), values.shape[1], weights
    )
    counts = (check_weights(weights, len(values)) > 0).sum(axis=1)
    information = _of_correlation(correlation, len(values))
    information[counts < MIN_SAMPLES] = np.nan
    also = f", or a draw has fewer than {MIN_SAMPLES} different samples"
    reason = f"{UNDEFINED}{also if weights is not None else ''}"
    return _defined(information, len(values), reason=reason, stacklevel=2)


def copula_share(values: NDArray[Any], *, reference: int, weights: Floats | None = None) -> Floats:
    """Share of a unit's variance at one site that its value at each other site predicts.

    r^2 of normal scores (Gaussian copula), less its expectation for unrelated values,
    (1 - r^2)/(n - 2) with n = 1 / sum of squared weights, and averaged over units. The mutual
    information of a Gaussian copula is -ln(1 - r^2)/2.

    Args:
        values: states `(sample, site, unit)`, at least two sites.
        reference: the index of the site that is predicted.
        weights: `(draw, sample)`, rows that sum to one; by default one row of 1/N.

    Returns:
        `(draw, site)`, 1 at the reference; NaN where no unit varies, or n is 2 or below.

    Raises:
        InputError: `values` or `weights` have another shape, or a row does not sum to one.
    """
    check_states(values)
    rows = check_weights(weights, len(values))
    size = 1 / (rows**2).sum(axis=1)[:, np.newaxis]
    first = site_moments(_centered_scores(values[:, reference]), rows)
    shares = np.ones((len(rows), values.shape[1]))
    for site in range(values.shape[1]):
        if site == reference:
            continue
        other = site_moments(_centered_scores(values[:, site]), rows)
        squares = moment_correlation(first, other, rows) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            adjusted = squares - (1 - squares) / np.where(size > 2, size - 2, np.nan)
        shares[:, site] = defined_mean(adjusted)
    return shares


def _centered_scores(columns: NDArray[Any]) -> Floats:
    return centered(site_scores(columns))


def _compare_gaussian(*sites: Floats) -> Floats:
    correlation = correlate_steps(sites.__getitem__, 2, None)[0, 0]
    return _of_correlation(correlation, sites[0].shape[0])


def _of_correlation(correlation: Floats, n_samples: int) -> Floats:
    """`gaussian_information`, infinite also where |r| is 1 but for the rounding of N products."""
    fixed = 1 - np.abs(correlation) <= n_samples * np.finfo(np.float64).eps
    return gaussian_information(np.where(fixed, np.sign(correlation), correlation))


def _defined(
    information: Floats, n_samples: int, *, reason: str = UNDEFINED, stacklevel: int
) -> Floats:
    """Information `(..., step, unit)` with NaN where it is not defined, and one warning if any."""
    fixed = np.isinf(information)
    too_few = n_samples < MIN_SAMPLES
    defined = np.where(fixed | too_few, np.nan, information)
    undefined = np.isnan(defined)
    if too_few:
        reasons = [f"got {n_samples} samples, and it takes {MIN_SAMPLES} or more"]
    else:
        units, steps = fixed.any(axis=-2), fixed.any(axis=-1)
        exact = (
            f"{units.sum(axis=-1).max()} units at {steps.sum(axis=-1).max()} steps fix their next "
            "value, of infinite information"
        )
        reasons = [exact] if fixed.any() else []
        reasons += [reason] if (undefined & ~fixed).any() else []
    if undefined.any():
        warnings.warn(
            f"{undefined.sum()} of {defined.size} values of information are undefined (NaN): "
            f"{'; '.join(reasons)}",
            UndefinedWarning,
            stacklevel=stacklevel + 1,
        )
    return defined


def _choose(estimator: str, n_samples: int, neighbors: int) -> Estimator:
    nearest = partial(ksg_pair, neighbors=neighbors)
    estimators: dict[str, Estimator] = {
        "gaussian": (centered, _compare_gaussian),
        "copula": (_centered_scores, _compare_gaussian),
        "ksg": (standardized, partial(over_units, nearest)),
        "kde": (prepare_kde, partial(over_units, kde_pair)),
    }
    if estimator not in estimators:
        raise InputError(
            f"got estimator={estimator!r}; there are {', '.join(estimators)}: estimator='copula'"
        )
    if estimator == "ksg" and not 1 <= neighbors < n_samples:
        raise InputError(
            f"got neighbors={neighbors} for {n_samples} samples; it lies between 1 and the "
            "number of samples less one: estimator='ksg', neighbors=3"
        )
    return estimators[estimator]


@measure(
    "units.mutual_information",
    title="Mutual information of neighboring sites",
    source="arXiv 2502.12131; Gaussian copula: Ince et al. 2017; KSG: arXiv cond-mat/0305641",
    of_moments=True,
)
def mutual_information(
    recording: Recording | Moments,
    *,
    estimator: str = "copula",
    subtract_permutations: int = 0,
    seed: int = 0,
    neighbors: int = 3,
) -> xr.Dataset:
    """Mutual information over samples of each unit between neighboring sites, in nats.

    Args:
        recording: the states; or their moments, which give "gaussian", and "copula" from counts in
            bins.
        estimator: "copula", "gaussian", "ksg" or "kde"; the last two loop over units.
        subtract_permutations: how many permutations of the samples to average and subtract.
        seed: of the permutations, which are the same for all steps and units.
        neighbors: k of "ksg".

    Returns:
        `information` `(step, unit)`; `mean` `(step)` over the units where it is defined;
        `near_discrete` `(step)`, whether either site has fewer distinct states than half the
        samples; `n_distinct_first`, the number of distinct last tokens, or of distinct states at
        the first site where the tokens are not known, both only from states; with permutations
        also `permutation_mean` `(step, unit)`. NaN, with one `UndefinedWarning`, where a unit does
        not vary, where its value at one site fixes that at the next (the estimate would be
        infinite; "ksg" stays finite), and everywhere for fewer than four samples.

    Raises:
        InputError: an unknown estimator, one site only, a negative number of permutations, or
            `neighbors` not between 1 and the number of samples less one.
    """
    require_steps(recording.shape)
    n_samples = recording.shape[0]
    chosen = _choose(estimator, n_samples, neighbors)
    if subtract_permutations < 0:
        raise InputError(
            f"got subtract_permutations={subtract_permutations}; it is 0 or more: "
            "mutual_information(recording, subtract_permutations=10)"
        )
    rng = np.random.default_rng(seed)
    permutations = [rng.permutation(n_samples) for _ in range(subtract_permutations)]
    distinctness: dict[str, xr.Variable] = {}
    if isinstance(recording, Moments):
        information = chance = _of_moments(recording, estimator, subtract_permutations)
    else:
        information, chance = _in_unit_blocks(recording, chosen, permutations)
        distinctness = _distinctness(recording)
    information = _defined(information, n_samples, stacklevel=3)
    chance = np.where(np.isinf(chance) | (n_samples < MIN_SAMPLES), np.nan, chance)
    attrs = {"units": "nats", "denominator": f"{n_samples} samples", "estimator": estimator}
    per_unit = {"units": "nats", "denominator": "units where it is defined"}
    result = xr.Dataset(
        {
            "information": (("step", "unit"), information, attrs),
            "mean": ("step", defined_mean(information), per_unit),
            **distinctness,
        },
        coords=recording.step_coords,
    )
    if permutations:
        result["permutation_mean"] = (("step", "unit"), chance, attrs)
    return result


def information_between(
    recording: Recording,
    site: str,
    other_site: str,
    *,
    estimator: str = "copula",
    neighbors: int = 3,
) -> xr.Dataset:
    """Mutual information over samples of each unit between any two sites, in nats.

    Returns:
        `information` `(unit)`; NaN as in `mutual_information`.

    Raises:
        InputError: an unknown estimator, or `neighbors` out of range.
        RecordingError: the recording has no such site.
    """
    values = recording.sel(site=[site, other_site]).values
    (information,), _ = _steps(values, _choose(estimator, len(values), neighbors), [])
    information = _defined(information[np.newaxis], len(values), stacklevel=2)[0]
    attrs = {"units": "nats", "denominator": f"{len(values)} samples", "estimator": estimator}
    return xr.Dataset(
        {"information": ("unit", information, attrs)},
        attrs=plain_attributes(
            {"site": site, "other_site": other_site, "recording": recording.description}
        ),
    )


def _of_moments(moments: Moments, estimator: str, permutations: int) -> Floats:
    if estimator not in ("gaussian", "copula") or permutations:
        raise InputError(
            f"got estimator={estimator!r} with {permutations} permutations for moments, which give "
            "'gaussian' and 'copula' without any; the rest needs the states: keep='states'"
        )
    if estimator == "gaussian":
        return _of_correlation(moments.products.unit_correlation(), moments.n_samples)
    return _of_correlation(moments.rank_correlation(), moments.n_samples)


def _in_unit_blocks(
    recording: Recording, estimator: Estimator, permutations: list[NDArray[np.intp]]
) -> tuple[Floats, Floats]:
    """As `_steps`, some units at a time."""
    pieces = []
    for _, values in recording.unit_blocks():
        pieces.append(_steps(values, estimator, permutations))
        del values
    information, chance = (np.concatenate(each, axis=1) for each in zip(*pieces, strict=True))
    return information, chance


def _steps(
    values: NDArray[Any], estimator: Estimator, permutations: list[NDArray[np.intp]]
) -> tuple[Floats, Floats]:
    """Information `(step, unit)` less its permutation mean, and that mean."""
    _, n_sites, n_units = values.shape
    information = np.empty((n_sites - 1, n_units))
    chance = np.zeros_like(information)
    prepare, compare = estimator
    previous = prepare(values[:, 0])
    for step in range(n_sites - 1):
        current = prepare(values[:, step + 1])
        information[step] = compare(previous, current)
        for order in permutations:
            chance[step] += compare(previous, current[..., order, :]) / len(permutations)
        previous = current
    with np.errstate(invalid="ignore"):
        return information - chance, chance


def _distinctness(recording: Recording) -> dict[str, xr.Variable]:
    """`near_discrete` `(step)` and `n_distinct_first`: how far the states come from few values."""
    n_samples, n_sites, _ = recording.shape
    hashes = np.empty((n_samples, n_sites), dtype=np.int64)
    for rows, states in recording.blocks():
        for site in range(n_sites):
            # Adding zero makes -0.0 the same as 0.0.
            hashes[rows, site] = [hash(row.tobytes()) for row in states[:, site] + 0.0]
    distinct = np.array([np.unique(column).size for column in hashes.T])
    near_discrete = np.minimum(distinct[:-1], distinct[1:]) < n_samples / 2
    units, count = "distinct states at the first site", int(distinct[0])
    if recording.n_distinct_tokens is not None:
        units, count = "distinct last tokens", recording.n_distinct_tokens
    attrs = {"units": units, "denominator": f"{n_samples} samples"}
    return {
        "near_discrete": xr.Variable("step", near_discrete),
        "n_distinct_first": xr.Variable((), count, attrs),
    }

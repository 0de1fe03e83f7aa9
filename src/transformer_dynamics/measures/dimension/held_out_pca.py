"""Variance that principal components explain of texts they were not fitted on.

Components are fitted on half of the texts and scored on the other half. With the K leading
components P of the fitted half and a center c taken from the fitted half too, K components explain

    sum_n |P (x[n, s] - c)|^2 / sum_n |x[n, s] - c|^2,    n over the texts of the other half,

which is one minus the squared error of the reconstruction c + P (x - c) over the squared error of
predicting c. Three readings, since they answer different questions:

    pooled, about the global mean      P of all sites stacked, c one mean of all sites
    pooled, about the site's own mean  the same P, c the mean of site s
    own components of the site         P of site s alone about its own mean, c that mean

The first is high wherever the components hold the way from site to site, which all texts share;
the other two say how few directions tell the texts apart. In-sample shares rise with the number of
components even on noise: with N samples, N - 1 components explain everything. Held-out ones do not,
and K directions chosen at random explain K/D of D units.

A few massive units can hold nearly all variance, and then one component is enough and says
nothing. All readings are given as recorded and with the massive units standardized side by side
(those of more than 100 times the median unit's pooled variance in the fitted half, scaled to the
deviation of the median unit, as in `dimension.pca`).

Source: the paper under test, arXiv 2502.12131, fits and scores on the same states; held-out
scoring, the readings and the standardization are ours.

Cost: for N samples in each half, S sites and D units, N S D^2 operations for the pooled
covariance, N S D min(N, D) for the sites' own, and the leading eigenvectors of one D x D and of S
matrices of size min(N, D); twice where there are massive units.

Not handled: weights of sites (a late site counts more in the pooled components, since it varies
more), the scatter over splits (one seeded split; the intervals are over the scored texts), and
states that are not finite, which are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.pca import ROUNDING
from transformer_dynamics.numerics.arrays import Floats, ratio, site_states, warn_undefined
from transformer_dynamics.numerics.principal_axes import (
    _directions_of,
    require_finite,
    summed_products,
)
from transformer_dynamics.numerics.splits import split_texts
from transformer_dynamics.numerics.standardize import standardization, unit_moments
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights, uniform_weights

N_COMPONENTS = (1, 2, 3, 5, 10, 20, 50, 100)
N_BOOTSTRAP = 499
READINGS = ("about global mean", "about site mean", "own components")
MASSIVE = ("as recorded", "massive units standardized")


def leading_directions(deviations: Floats, n_directions: int) -> Floats:
    """Unit vectors in rows, `(direction, unit)`, along which rows vary most, by falling variance.

    Args:
        deviations: `(row, unit)`, centered already.
        n_directions: how many, at most min(rows, units).

    Returns:
        `(direction, unit)`, dimensionless; zeros for the directions in which nothing varies.

    Raises:
        InputError: there are not `n_directions` directions.

    >>> leading_directions(np.array([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), 2) ** 2
    array([[1., 0., 0.], [0., 0., 0.]])
    """
    n_rows, n_units = deviations.shape
    if not 1 <= n_directions <= min(n_rows, n_units):
        raise InputError(
            f"got n_directions={n_directions}; {n_rows} rows of {n_units} units have 1 to "
            f"{min(n_rows, n_units)}: leading_directions(deviations, 1)"
        )
    wide = n_rows < n_units
    product = deviations @ deviations.T if wide else deviations.T @ deviations
    return _directions_of(product, n_directions, deviations if wide else None)


def captured_squares(
    deviations: Floats, directions: Floats, counts: Sequence[int]
) -> tuple[Floats, Floats]:
    """Squared length of each row within the first K directions, and in all.

    Args:
        deviations: `(row, unit)`.
        directions: unit vectors `(direction, unit)`, orthogonal.
        counts: the K, each at least 1.

    Returns:
        `(row, count)`, NaN where there are fewer than K directions, and `(row)`; in squares of the
        rows' units.

    >>> captured_squares(np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]]), (1, 2))
    (array([[ 9., nan]]), array([25.]))
    """
    cumulative = np.cumsum((deviations @ directions.T) ** 2, axis=1)
    captured = np.full((len(deviations), len(counts)), np.nan)
    for place, count in enumerate(counts):
        if count <= len(directions):
            captured[:, place] = cumulative[:, count - 1]
    return captured, np.einsum("nu,nu->n", deviations, deviations)


def held_out_squares(
    fitted: NDArray[Any], scored: NDArray[Any], counts: Sequence[int], *, standardize: bool = False
) -> tuple[Floats, Floats]:
    """Squared deviations of scored rows within the K leading components of fitted rows, and in all.

    Deviations are from the mean of the fitted rows. The share of variance explained is the sum of
    the first over the sum of the second, or the weighted sums for bootstrap weights.

    Args:
        fitted: rows that the mean and the components come from, `(row, unit)`.
        scored: other rows, `(row, unit)`.
        counts: the K, each at least 1.
        standardize: whether to scale the massive units of the fitted rows (variance above 100
            times the median unit's) to the median unit's deviation first.

    Returns:
        `(row, count)`, NaN where the fitted rows have fewer than K components (rows - 1 or units,
        whichever is less), and `(row)`; both in stream units squared.

    >>> line = np.outer(np.arange(4.0), [3.0, 4.0])
    >>> captured, whole = held_out_squares(line[:3], line[3:], (1, 2, 3))
    >>> captured / whole[:, np.newaxis]
    array([[ 1.,  1., nan]])
    """
    first = fitted[0].astype(np.float64)
    deviations = fitted - first
    offset = deviations.mean(axis=0)
    deviations -= offset
    require_finite(deviations.sum(axis=0))
    away = scored - first - offset
    if standardize:
        _, scale = standardization(np.einsum("nu,nu->u", deviations, deviations) / len(deviations))
        deviations, away = deviations * scale, away * scale
    most = min(len(deviations) - 1, deviations.shape[1])
    wanted = [count for count in counts if count <= most]
    if not wanted:
        return np.full((len(away), len(counts)), np.nan), np.einsum("nu,nu->n", away, away)
    return captured_squares(away, leading_directions(deviations, max(wanted)), counts)


@dataclass(frozen=True)
class _Squares:
    """Squares of the scored samples, as recorded and standardized, for each reading.

    Attributes:
        captured: within the components, `(massive, reading, sample, site, count)`.
        whole: in all, `(massive, reading, sample, site)`.
        massive: indices of the massive units.
    """

    captured: Floats
    whole: Floats
    massive: NDArray[np.int64]


def _squares(fitted: Recording, scored: Recording, counts: Sequence[int]) -> _Squares:
    """Score all readings, a site at a time."""
    moments = unit_moments(fitted)
    require_finite(moments.variance)
    center = moments.mean[0] + (moments.mean - moments.mean[0]).mean(axis=0)
    massive, factors = standardization(moments.pooled_variance)
    scales = [np.ones_like(factors), factors][: 2 if massive.size else 1]
    pooled = _pooled_directions(fitted, center, scales, counts)
    shape = (len(scales), 3, scored.shape[0], scored.shape[1])
    captured, whole = np.empty((*shape, len(counts))), np.empty(shape)
    for site, (states, away) in enumerate(zip(_by_site(fitted), _by_site(scored), strict=True)):
        for place, (scale, directions) in enumerate(zip(scales, pooled, strict=True)):
            readings = (
                captured_squares((away - center) * scale, directions, counts),
                captured_squares((away - moments.mean[site]) * scale, directions, counts),
                held_out_squares(states * scale, away * scale, counts),
            )
            for reading, (inside, full) in enumerate(readings):
                captured[place, reading, :, site], whole[place, reading, :, site] = inside, full
    # Below this a sum of squares is rounding of the states' size, and no denominator.
    whole[whole <= ROUNDING * whole[:, :1].mean(axis=(2, 3), keepdims=True)] = 0
    # Without massive units there is nothing to standardize, and the two are the same.
    both = [0, len(scales) - 1]
    return _Squares(captured[both], whole[both], massive)


def _by_site(recording: Recording) -> Iterator[Floats]:
    """The states of one site after the other, `(sample, unit)`, in float64."""
    for _, values in recording.site_blocks():
        yield from site_states(values)
        del values


def _pooled_directions(
    fitted: Recording, center: Floats, scales: Sequence[Floats], counts: Sequence[int]
) -> list[Floats]:
    """Leading directions of all sites stacked, `(direction, unit)`, for each scale of the units."""
    n_samples, n_sites, n_units = fitted.shape
    scatter = np.zeros((n_units, n_units))
    for _, values in fitted.blocks():
        scatter += summed_products(values, center)
    most = min(n_samples * n_sites - 1, n_units)
    n_directions = max((count for count in counts if count <= most), default=1)
    return [_directions_of(scatter * scale[:, None] * scale, n_directions) for scale in scales]


def _site_shares(squares: _Squares) -> Floats:
    """Share explained at each site, `(massive, reading, site, count)`."""
    inside, full = squares.captured.sum(axis=2), squares.whole.sum(axis=2)
    return np.minimum(ratio(inside, full[..., np.newaxis]), 1.0)


def _over_all(squares: _Squares, weights: Floats) -> Floats:
    """Share explained over all sites, `(draw, massive, reading, count)`."""
    with np.errstate(invalid="ignore"):
        inside = np.einsum("bn,mrnk->bmrk", weights, squares.captured.sum(axis=3), optimize=True)
        full = np.einsum("bn,mrn->bmr", weights, squares.whole.sum(axis=3), optimize=True)
    return np.minimum(ratio(inside, full[..., np.newaxis]), 1.0)


ABOUT = "sum |P (x - c)|^2 / sum |x - c|^2 over scored samples"
DEFINITIONS = (
    (f"{ABOUT}, P: pooled components", "about the mean of all sites of the fitted half"),
    (f"{ABOUT}, P: pooled components", "about the site's mean in the fitted half"),
    (f"{ABOUT}, P: the site's own components", "about the site's mean in the fitted half"),
)


@measure(
    "dimension.held_out_pca",
    title="Variance explained on held-out texts",
    source="arXiv 2502.12131 (PCA); held-out scoring ours",
)
def held_out_pca(
    recording: Recording, *, n_components: Sequence[int] = N_COMPONENTS, seed: int = 0
) -> xr.Dataset:
    """Variance of one half of the texts explained by components fitted on the other half.

    Args:
        recording: the states, of at least two texts.
        n_components: the numbers of components, each at least 1.
        seed: of the split and of the bootstrap over the scored texts.

    Returns:
        `explained_about_global_mean`, `explained_about_site_mean`, `explained_own_components`
        `(massive, site, n_components)`: shares by the formulas at the head of this module, as
        recorded and with massive units standardized. `overall` `(massive, reading, n_components)`:
        the same with both sums taken over all sites, where late sites count more, since they vary
        more; `overall_low`, `overall_high`: 95 % over the scored texts. NaN, with one
        `UndefinedWarning`, where there are not so many components (units; fitted samples - 1 for
        the site's own) or nothing varies. `attrs`: `massive_unit`, `n_fitted`, `n_scored`,
        `n_units`.

    Raises:
        InputError: fewer than two texts, a number of components below 1, or states that are not
            finite.

    >>> plane = np.random.default_rng(0).standard_normal((20, 3, 2)) @ np.eye(2, 6)
    >>> result = held_out_pca(Recording.from_array(plane), n_components=[1, 2])
    >>> result["overall"].sel(massive="as recorded", n_components=2).values.round(6)
    array([1., 1., 1.])
    """
    counts = [int(count) for count in n_components]
    if not counts or min(counts) < 1:
        raise InputError(
            f"got n_components={list(n_components)}; numbers of components are at least 1: "
            "held_out_pca(recording, n_components=(1, 2, 10))"
        )
    fitted, scored = split_texts(recording.groups, seed=seed)
    squares = _squares(recording.isel(sample=fitted), recording.isel(sample=scored), counts)
    sites, over_all = _site_shares(squares), _over_all(squares, uniform_weights(len(scored)))
    weights = text_weights(recording.groups[scored], N_BOOTSTRAP, seed=seed)
    low, high = percentile_interval(_over_all(squares, weights))
    dims = ("massive", "site", "n_components")
    units = {"units": "1", "pooling": f"{len(scored)} samples of texts not fitted on"}
    variables: dict[str, Any] = {
        f"explained_{name.replace(' ', '_')}": (
            dims,
            sites[:, place],
            {**units, "definition": definition, "denominator": denominator},
        )
        for place, (name, (definition, denominator)) in enumerate(
            zip(READINGS, DEFINITIONS, strict=True)
        )
    }
    warn_undefined(
        {name: values[1] for name, values in variables.items()},
        "there are not so many components, or the states do not vary",
        stacklevel=3,
    )
    all_dims = ("massive", "reading", "n_components")
    summed = {**units, "denominator": "as of each reading, summed over sites"}
    interval = {**summed, "definition": "95 % percentile interval over the scored texts"}
    return xr.Dataset(
        {
            **variables,
            "overall": (all_dims, over_all[0], summed),
            "overall_low": (all_dims, low, interval),
            "overall_high": (all_dims, high, interval),
        },
        coords={
            **recording.site_coords,
            "massive": np.array(MASSIVE, dtype=object),
            "reading": np.array(READINGS, dtype=object),
            "n_components": counts,
        },
        attrs={
            "massive_unit": squares.massive.tolist(),
            "n_fitted": len(fitted),
            "n_scored": len(scored),
            "n_units": recording.shape[2],
        },
    )

"""Principal components of the stream: the plane, or space, that holds most of its variance.

All samples and sites are stacked and centered on one global mean mu (N S rows of D units), as in
the paper. The components are the leading eigenvectors of the covariance

    C = sum over n, s of (x[n, s] - mu)(x[n, s] - mu)^T / (N S),

and the share of the variance of one site that they explain, with P the projection on them, is
given with two denominators, since the two differ hugely:

    about the global mean       sum_n |P (x[n, s] - mu)|^2   / sum_n |x[n, s] - mu|^2
    about the site's own mean   sum_n |P (x[n, s] - m[s])|^2 / sum_n |x[n, s] - m[s]|^2

The first is high wherever the components hold the way from site to site; only the second says
whether they hold what tells the samples apart. Massive activations can be the first components on
their own, so the share of variance of the top units is reported, and they can be standardized: a
unit is massive where its pooled variance is more than 100 times the median variance of the units
that vary, and its standardized value is mu_u + (x_u - mu_u) sqrt(median variance / variance of u)
(see `standardization`, which does the same for every other measure).

A random walk in many dimensions is curved in its principal components too, and its first three
explain 0.61, 0.15 and 0.07, so neither a curve nor a large share shows structure by itself.

Source: arXiv 2502.12131 (all sublayers together). Two denominators, sign and massive units: ours.

Cost: one pass each for the mean, the covariance (N S D^2) and the scores, a site in float64 at a
time; leading eigenvectors of one D x D matrix. Per site: eigenvalues of one of size min(N, D).

Not handled: weights of samples or sites (a late site counts more, since it varies more), and
states that are not finite, which are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, ratio, site_states, warn_undefined
from transformer_dynamics.numerics.principal_axes import (
    PrincipalAxes,
    leading_axes,
    require_components,
    require_finite,
    summed_products,
)
from transformer_dynamics.numerics.standardize import standardization
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.moments.products import Products
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.storage.attributes import STREAM

N_TOP_UNITS = 3
# The mean is known to about 1e-13 of the spread; a sum of squares below the square of that is
# rounding, and no denominator.
ROUNDING = 1e-26

NO_VARIANCE = "the states do not vary"
POOLED = {"units": "1", "denominator": "variance pooled over samples, sites and units"}
SCORE = {"units": STREAM, "definition": "projection of x - mean on the components"}
ABOUT_MEAN = {"units": "1", "definition": "sum_n |P (x - mean)|^2 / sum_n |x - mean|^2"}
ABOUT_SITE = {"units": "1", "definition": "sum_n |P (x - m)|^2 / sum_n |x - m|^2, m: its mean"}
# Dimensions and attrs of what `pca` returns.
VARIABLES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "loading": (("component", "unit"), {"units": "1", "definition": "unit vectors"}),
    "mean": (("unit",), {"units": STREAM, "pooling": "mean over samples and sites"}),
    "explained_variance_ratio": (("component",), POOLED),
    "score": (("sample", "site", "component"), SCORE),
    "mean_score": (("site", "component"), {**SCORE, "pooling": "mean over samples"}),
    "explained_about_global_mean": (("site",), ABOUT_MEAN),
    "explained_about_site_mean": (("site",), ABOUT_SITE),
    "top_unit_share": (("top",), {**POOLED, "standardized": "no, as recorded"}),
    "top_unit": (("top",), {"definition": "indices of the units by falling pooled variance"}),
}


def _top_units(variance: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The units of the most variance, and the share that the first 1, 2, ... hold together."""
    top = np.argsort(-variance, kind="stable")[:N_TOP_UNITS]
    return top, ratio(np.cumsum(variance[top]), np.asarray(variance.sum()))


@dataclass(frozen=True)
class _Centers:
    """Mean of each site as the first sample's state and the mean of what others differ from it.

    Kept apart, so that samples that agree deviate by exactly zero, and not by a rounding error.
    """

    first: Floats
    offset: Floats

    @property
    def pooled(self) -> Floats:
        """Mean over samples and sites, `(unit)`."""
        common = self.first[0]
        mean: Floats = common + (self.first - common + self.offset).mean(axis=0)
        return mean


def _centers(recording: Recording | Moments) -> _Centers:
    """Means over samples, `(site, unit)`."""
    if isinstance(recording, Moments):
        means = recording.products.mean
        return _Centers(means, np.zeros_like(means))
    first: Floats | None = None
    with np.errstate(invalid="ignore"):
        for _, values in recording.blocks():
            if first is None:
                first, offset = values[0].astype(np.float64), np.zeros(values.shape[1:])
            for site, states in enumerate(site_states(values)):
                offset[site] += (states - first[site]).sum(axis=0)
    assert first is not None  # a recording has a sample
    require_finite(offset)
    return _Centers(first, offset / recording.shape[0])


def _covariance(recording: Recording | Moments, mean: Floats) -> Floats:
    """Mean product of deviations over samples and sites, `(unit, unit)`."""
    n_samples, n_sites, _ = recording.shape
    if isinstance(recording, Moments):
        products = _full_products(recording)
        between_sites = products.mean - mean
        within = products.within.sum(axis=0) / n_samples
        covariance: Floats = (within + between_sites.T @ between_sites) / n_sites
        return covariance
    total = np.zeros((mean.size, mean.size))
    for _, values in recording.blocks():
        total += summed_products(values, mean)
    total /= n_samples * n_sites
    return total


def _full_products(moments: Moments) -> Products:
    if not moments.products.full:
        raise InputError(
            "these moments hold each unit's variance alone; principal components need all pairs: "
            "td.record(..., keep='moments', options=td.RecordingOptions(covariance='full'))"
        )
    return moments.products


def _site_shares(
    recording: Recording | Moments, axes: PrincipalAxes, centers: _Centers, scale: Floats
) -> tuple[NDArray[np.float32] | None, Floats, Floats]:
    """Scores `(sample, site, component)` and the two shares of each site's variance `(site)`.

    Moments have no scores.
    """
    if isinstance(recording, Moments):
        scores, (parts, wholes) = None, _sums_of_moments(recording, axes, scale)
    else:
        scores, (parts, wholes) = _sums_of_states(recording, axes, centers, scale)
    wholes[wholes <= ROUNDING * wholes[0].sum()] = 0
    about_global, about_site = np.minimum(ratio(parts, wholes), 1.0)
    return scores, about_global, about_site


def _sums_of_states(
    recording: Recording, axes: PrincipalAxes, centers: _Centers, scale: Floats
) -> tuple[NDArray[np.float32], Floats]:
    """Scores, and projected and whole sums of squares `(part, center, site)`."""
    n_samples, n_sites, _ = recording.shape
    scores = np.empty((n_samples, n_sites, len(axes.components)), dtype=np.float32)
    sums = np.zeros((2, 2, n_sites))
    for rows, values in recording.blocks():
        for site, states in enumerate(site_states(values)):
            deviations = (states - axes.mean) * scale
            projected = deviations @ axes.components.T
            scores[rows, site] = projected
            sums[:, 0, site] += np.vdot(projected, projected), np.vdot(deviations, deviations)
            deviations = (states - centers.first[site] - centers.offset[site]) * scale
            projected = deviations @ axes.components.T
            sums[:, 1, site] += np.vdot(projected, projected), np.vdot(deviations, deviations)
    return scores, sums


def _sums_of_moments(moments: Moments, axes: PrincipalAxes, scale: Floats) -> Floats:
    """Projected and whole sums of squares `(part, center, site)`."""
    products = _full_products(moments)
    weighted = axes.components * scale
    within = np.stack(
        [
            np.einsum("ku,suv,kv->s", weighted, products.within, weighted, optimize=True),
            np.einsum("suu,u->s", products.within, scale**2),
        ]
    )
    away = (products.mean - axes.mean) * scale
    shift = np.stack([((away @ axes.components.T) ** 2).sum(axis=1), (away**2).sum(axis=1)])
    return np.stack([within + moments.n_samples * shift, within], axis=1)


def _centered(states: Floats) -> Floats:
    """Takes the mean over samples away from `(sample, unit)`, in place."""
    # The first sample goes first: samples that agree become zero, not their mean's rounding error.
    with np.errstate(invalid="ignore"):
        states -= states[0].copy()
        states -= states.mean(axis=0)
    return states


def _counted(**sizes: int) -> dict[str, NDArray[np.int64]]:
    return {name: np.arange(1, size + 1) for name, size in sizes.items()}


@measure(
    "dimension.pca",
    title="PCA of all sites together",
    source="arXiv 2502.12131",
    of_moments=True,
)
def pca(
    recording: Recording | Moments, *, n_components: int = 3, standardize_massive: bool = False
) -> xr.Dataset:
    """Principal components of all samples and sites, stacked about one global mean.

    Args:
        recording: the states, or their moments with full covariances.
        n_components: how many components, at most min(units, samples times sites).
        standardize_massive: whether to scale massive units to the median unit's deviation first.

    Returns:
        `loading` `(component, unit)`; `mean` `(unit)`; float32 `score` `(sample, site, component)`,
        not from moments;
        `mean_score` `(site, component)`; `explained_variance_ratio` `(component)`, pooled;
        `explained_about_global_mean`, `explained_about_site_mean` `(site)`, all components
        together, by the formulas at the head of this module; `top_unit` `(top)`, the three units of
        the most pooled variance, and `top_unit_share` `(top)`, what 1, 2, 3 of them hold of it, as
        recorded. `results.attribute(result, "massive_unit")` lists the massive units. A share is
        NaN, with one `UndefinedWarning`, where there is no variance.

    Raises:
        InputError: there are not `n_components` components, or states are not finite.

    >>> angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    >>> circle = np.stack([2 * np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    >>> pca(Recording.from_array(circle[:, np.newaxis]))["explained_variance_ratio"].values.round(3)
    array([0.8, 0.2, 0. ])
    """
    n_samples, n_sites, n_units = recording.shape
    require_components(n_components, n_samples * n_sites, n_units)
    centers = _centers(recording)
    mean = centers.pooled
    covariance = _covariance(recording, mean)
    top, top_share = _top_units(np.diag(covariance))
    massive, scale = standardization(np.diag(covariance))
    if not standardize_massive:
        scale = np.ones_like(scale)
    covariance *= scale[:, np.newaxis] * scale
    axes = leading_axes(covariance, mean, n_components)
    scores, about_global, about_site = _site_shares(recording, axes, centers, scale)
    shares = {
        "explained_variance_ratio": ratio(axes.variance, np.asarray(axes.total_variance)),
        "explained_about_global_mean": about_global,
        "explained_about_site_mean": about_site,
        "top_unit_share": top_share,
    }
    warn_undefined(shares, NO_VARIANCE, stacklevel=3)
    site_means = centers.first + centers.offset
    arrays = {
        "loading": axes.components,
        "mean": mean,
        **({} if scores is None else {"score": scores}),
        "mean_score": ((site_means - mean) * scale) @ axes.components.T,
        "top_unit": top,
        **shares,
    }
    return xr.Dataset(
        {name: (*VARIABLES[name][:1], array, VARIABLES[name][1]) for name, array in arrays.items()},
        coords={**recording.site_coords, **_counted(component=n_components, top=top.size)},
        attrs={"massive_unit": massive.tolist()},
    )


@measure("dimension.pca_per_site", title="PCA of each site", source="ours")
def pca_per_site(recording: Recording, *, n_components: int = 3) -> xr.Dataset:
    """Principal components of each site by itself, about its own mean over samples.

    Args:
        recording: the states.
        n_components: how many components, at most min(units, samples).

    Returns:
        `explained_variance_ratio` `(site, component)`, the share of the site's variance; it is NaN,
        with one `UndefinedWarning`, at a site where all samples agree. `total_variance` `(site)`,
        in stream units squared, the mean over samples of |x - the site's mean|^2.

    Raises:
        InputError: there are not `n_components` components, or states are not finite.

    >>> states = np.array([[[1.0, 0.0]], [[-1.0, 0.0]], [[0.0, 2.0]], [[0.0, -2.0]]])
    >>> result = pca_per_site(Recording.from_array(states), n_components=2)
    >>> result["explained_variance_ratio"].values
    array([[0.8, 0.2]])
    """
    n_samples, n_sites, n_units = recording.shape
    require_components(n_components, n_samples, n_units)
    variance, total = np.empty((n_sites, n_components)), np.empty(n_sites)
    for sites, values in recording.site_blocks():
        for site, states in enumerate(site_states(values), start=sites.start):
            variance[site], total[site] = _leading_variance(_centered(states), n_components)
        del values, states
    shares = np.minimum(ratio(variance, total[:, np.newaxis]), 1.0)
    warn_undefined({"explained_variance_ratio": shares}, NO_VARIANCE, stacklevel=3)
    own = {"units": "1", "denominator": "the site's variance about its own mean, over all units"}
    squared = {"units": f"{STREAM}^2", "denominator": f"{n_samples} samples"}
    return xr.Dataset(
        {
            "explained_variance_ratio": (("site", "component"), shares, own),
            "total_variance": ("site", total, squared),
        },
        coords={**recording.site_coords, **_counted(component=n_components)},
    )


def _leading_variance(deviations: Floats, n_components: int) -> tuple[Floats, float]:
    """The largest eigenvalues, falling, and the trace of the covariance of `(sample, unit)`.

    The products of samples have the same eigenvalues as those of units; the smaller of the two
    matrices is made.
    """
    require_finite(deviations.sum(axis=0))
    n_samples, n_units = deviations.shape
    product = deviations @ deviations.T if n_samples < n_units else deviations.T @ deviations
    leading = [len(product) - n_components, len(product) - 1]
    values = scipy.linalg.eigh(product, eigvals_only=True, subset_by_index=leading)
    return np.maximum(values[::-1], 0.0) / n_samples, float(np.trace(product)) / n_samples

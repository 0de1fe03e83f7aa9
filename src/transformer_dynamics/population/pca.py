"""Principal components of the stream: the plane, or space, that holds most of its variance.

All samples and sites are stacked and centred on one global mean mu (N S rows of D units), as in
the paper. The components are the leading eigenvectors of the covariance

    C = sum over n, s of (x[n, s] - mu)(x[n, s] - mu)^T / (N S),

and the share of the variance of one site that they explain, with P the projection on them, is
given with two denominators, since the two differ hugely:

    about the global mean       sum_n |P (x[n, s] - mu)|^2   / sum_n |x[n, s] - mu|^2
    about the site's own mean   sum_n |P (x[n, s] - m[s])|^2 / sum_n |x[n, s] - m[s]|^2

The first is high wherever the components hold the way from site to site; only the second says
whether they hold what tells the samples apart. Massive activations can be the first components on
their own, so the share of variance of the top units is reported, and they can be standardised: a
unit is massive where its pooled variance is more than 100 times the median variance of the units
that vary, and its standardised value is mu_u + (x_u - mu_u) sqrt(median variance / variance of u).

A random walk in many dimensions is curved in its principal components too, and its first three
explain 0.61, 0.15 and 0.07, so neither a curve nor a large share shows structure by itself.

Source: arXiv 2502.12131 (all sublayers together). Two denominators, sign and massive units: ours.

Cost: one pass each for the mean, the covariance (N S D^2) and the scores, a site in float64 at a
time; leading eigenvectors of one D x D matrix. Per site: eigenvalues of one of size min(N, D).

Not handled: weights of samples or sites (a late site counts more, since it varies more), and
states that are not finite, which are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.drawing import Drawing, Lines, Path, Paths, Series
from transformer_dynamics.errors import InputError
from transformer_dynamics.population.kinematics import (
    STREAM,
    Floats,
    ratio,
    require_sites,
    site_states,
    warn_undefined,
)
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

MASSIVE_FACTOR = 100
N_TOP_UNITS = 3
BLOCK_ROWS = 2048
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
    "top_unit_share": (("top",), {**POOLED, "standardised": "no, as recorded"}),
    "top_unit": (("top",), {"definition": "indices of the units by falling pooled variance"}),
}


@dataclass(frozen=True)
class PrincipalAxes:
    """The leading principal components of a set of states.

    Attributes:
        mean: the centre, `(unit)`, in stream units.
        components: unit vectors in rows, `(component, unit)`, by falling variance; the loading of
            the largest magnitude is positive in each.
        variance: mean square along each component, `(component)`, in stream units squared; the
            denominator is the number of states.
        total_variance: the same over all directions.
    """

    mean: Floats
    components: Floats
    variance: Floats
    total_variance: float

    def project(self, values: NDArray[Any]) -> Floats:
        """Scores of states: `(..., unit)` to `(..., component)`, in stream units, float64."""
        rows = np.reshape(values, (-1, self.mean.size))
        scores = np.empty((len(rows), len(self.components)))
        for start in range(0, len(rows), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            scores[block] = (rows[block] - self.mean) @ self.components.T
        return scores.reshape(*np.shape(values)[:-1], len(self.components))


def principal_axes(
    values: NDArray[Any], n_components: int, *, centre: NDArray[Any] | None = None
) -> PrincipalAxes:
    """The leading principal components, pooled over samples and sites about one mean.

    Args:
        values: states `(sample, site, unit)`.
        n_components: how many components, at most min(units, samples times sites).
        centre: `(unit)`, what to take deviations from; by default the mean over samples and sites.

    Raises:
        InputError: `values` or `centre` have another shape or are not finite, or there are not
            `n_components` components.

    >>> axes = principal_axes(np.array([[[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]]), 1)
    >>> axes.components, axes.variance / axes.total_variance
    (array([[0.6, 0.8]]), array([1.]))
    """
    require_sites(values, 1)
    _require_components(n_components, values.shape[0] * values.shape[1], values.shape[2])
    mean = _pooled_mean(values) if centre is None else np.asarray(centre, dtype=np.float64)
    if mean.shape != values.shape[2:]:
        raise InputError(
            f"got a centre of shape {mean.shape} for {values.shape[2]} units; it is (unit), as in "
            "centre=recording.values[:, 0].mean(axis=0)"
        )
    return _leading_axes(_covariance(values, mean), mean, n_components)


def _require_components(n_components: int, n_states: int, n_units: int) -> None:
    most = min(n_states, n_units)
    if not 1 <= n_components <= most:
        raise InputError(
            f"got n_components={n_components}; {n_states} states of {n_units} units have 1 to "
            f"{most} components: n_components={min(3, most)}"
        )


def _require_finite(per_unit: Floats) -> None:
    if not np.isfinite(per_unit).all():
        raise InputError(
            "got states that are not finite; principal components need finite ones: "
            "recording.select(samples=np.isfinite(recording.values).all(axis=(1, 2)))"
        )


def _pooled_mean(values: NDArray[Any]) -> Floats:
    """Mean over samples and sites, `(unit)`; exactly the common state where all are the same."""
    first = values[0, 0].astype(np.float64)
    total = np.zeros(values.shape[2])
    with np.errstate(invalid="ignore"):
        for states in site_states(values):
            total += (states - first).sum(axis=0)
        mean: Floats = first + total / (values.shape[0] * values.shape[1])
    _require_finite(mean)
    return mean


def _covariance(values: NDArray[Any], mean: Floats) -> Floats:
    """Mean product of deviations over samples and sites, `(unit, unit)`."""
    total = np.zeros((mean.size, mean.size))
    with np.errstate(invalid="ignore"):
        for states in site_states(values):
            states -= mean
            total += states.T @ states
    _require_finite(np.diag(total))
    total /= values.shape[0] * values.shape[1]
    return total


def _leading_axes(covariance: Floats, mean: Floats, n_components: int) -> PrincipalAxes:
    leading = [mean.size - n_components, mean.size - 1]
    variance, vectors = scipy.linalg.eigh(covariance, subset_by_index=leading)
    components: Floats = vectors.T[::-1]
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(n_components), largest])
    return PrincipalAxes(
        mean=mean,
        components=components * signs[:, np.newaxis],
        variance=np.maximum(variance[::-1], 0.0),
        total_variance=float(np.trace(covariance)),
    )


def _top_units(variance: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The units of the most variance, and the share that the first 1, 2, ... hold together."""
    top = np.argsort(-variance, kind="stable")[:N_TOP_UNITS]
    return top, ratio(np.cumsum(variance[top]), np.asarray(variance.sum()))


def _standardisation(variance: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The massive units, and what to multiply each unit's deviations by to standardise them."""
    varying = variance[variance > 0]
    median = float(np.median(varying)) if varying.size else 0.0
    massive = np.flatnonzero(variance > MASSIVE_FACTOR * median)
    scale = np.ones_like(variance)
    scale[massive] = np.sqrt(median / variance[massive])
    return massive, scale


def _site_shares(
    values: NDArray[Any], axes: PrincipalAxes, scale: Floats
) -> tuple[NDArray[np.float32], Floats, Floats]:
    """Scores `(sample, site, component)` and the two shares of each site's variance `(site)`."""
    n_samples, n_sites, _ = values.shape
    scores = np.empty((n_samples, n_sites, len(axes.components)), dtype=np.float32)
    parts, wholes = np.empty((2, 2, n_sites))
    for site, states in enumerate(site_states(values)):
        np.multiply(states - axes.mean, scale, out=states)
        projected = states @ axes.components.T
        scores[:, site] = projected
        parts[0, site], wholes[0, site] = np.vdot(projected, projected), np.vdot(states, states)
        _centred(states)
        projected = states @ axes.components.T
        parts[1, site], wholes[1, site] = np.vdot(projected, projected), np.vdot(states, states)
    wholes[wholes <= ROUNDING * wholes[0].sum()] = 0
    about_global, about_site = np.minimum(ratio(parts, wholes), 1.0)
    return scores, about_global, about_site


def _centred(states: Floats) -> Floats:
    """Takes the mean over samples away from `(sample, unit)`, in place."""
    # The first sample goes first: samples that agree become zero, not their mean's rounding error.
    with np.errstate(invalid="ignore"):
        states -= states[0].copy()
        states -= states.mean(axis=0)
    return states


def _counted(**sizes: int) -> dict[str, NDArray[np.int64]]:
    return {name: np.arange(1, size + 1) for name, size in sizes.items()}


def draw_pca(result: xr.Dataset) -> list[Drawing]:
    """The mean path in the first two and three components, and both shares per site."""
    points, labels = result["mean_score"].values, result["site"].values.tolist()
    path = Path(name="mean over samples", points=points, labels=labels)
    axes = [
        f"PC{index} ({STREAM}; {100 * share:.1f} % of pooled variance)"
        for index, share in enumerate(result["explained_variance_ratio"].values, start=1)
    ]
    plane = "Mean path in the plane of the first two principal components"
    space = "Mean path in the first three principal components"
    drawings: list[Drawing] = []
    if len(axes) >= 2:
        drawings.append(Paths(title=plane, x_label=axes[0], y_label=axes[1], paths=[path]))
    if len(axes) >= 3:
        drawings.append(
            Paths(title=space, x_label=axes[0], y_label=axes[1], z_label=axes[2], paths=[path])
        )
    about = {
        "about the global mean": result["explained_about_global_mean"].values,
        "about the site's own mean": result["explained_about_site_mean"].values,
    }
    title = f"Variance of each site explained by {len(axes)} pooled components"
    return [*drawings, _share_lines(result, title, about)]


def _share_lines(result: xr.Dataset, title: str, shares: Mapping[str, Floats]) -> Lines:
    labels = result["site"].values.tolist()
    series = [
        Series(name=name, x=np.arange(share.size), y=share, labels=labels)
        for name, share in shares.items()
    ]
    y_label = "share of the site's variance (1)"
    return Lines(title=title, x_label="site (index)", y_label=y_label, series=series)


@measure(
    "population.pca", title="PCA of all sites together", source="arXiv 2502.12131", draw=draw_pca
)
def pca(
    recording: Recording, *, n_components: int = 3, standardise_massive: bool = False
) -> xr.Dataset:
    """Principal components of all samples and sites, stacked about one global mean.

    Args:
        recording: the states.
        n_components: how many components, at most min(units, samples times sites).
        standardise_massive: whether to scale massive units to the median unit's deviation first.

    Returns:
        `loading` `(component, unit)`; `mean` `(unit)`; float32 `score` `(sample, site, component)`;
        `mean_score` `(site, component)`; `explained_variance_ratio` `(component)`, pooled;
        `explained_about_global_mean`, `explained_about_site_mean` `(site)`, all components
        together, by the formulas at the head of this module; `top_unit` `(top)`, the three units of
        the most pooled variance, and `top_unit_share` `(top)`, what 1, 2, 3 of them hold of it, as
        recorded. `attrs["massive_unit"]` lists the massive units, standardised or not. A share is
        NaN, with one `UndefinedWarning`, where there is no variance.

    Raises:
        InputError: there are not `n_components` components, or states are not finite.

    >>> angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    >>> circle = np.stack([2 * np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    >>> pca(Recording.from_array(circle[:, np.newaxis]))["explained_variance_ratio"].values.round(3)
    array([0.8, 0.2, 0. ])
    """
    values = recording.values
    _require_components(n_components, values.shape[0] * values.shape[1], values.shape[2])
    mean = _pooled_mean(values)
    covariance = _covariance(values, mean)
    top, top_share = _top_units(np.diag(covariance))
    massive, scale = _standardisation(np.diag(covariance))
    if not standardise_massive:
        scale = np.ones_like(scale)
    covariance *= scale[:, np.newaxis] * scale
    axes = _leading_axes(covariance, mean, n_components)
    scores, about_global, about_site = _site_shares(values, axes, scale)
    shares = {
        "explained_variance_ratio": ratio(axes.variance, np.asarray(axes.total_variance)),
        "explained_about_global_mean": about_global,
        "explained_about_site_mean": about_site,
        "top_unit_share": top_share,
    }
    warn_undefined(shares, NO_VARIANCE, stacklevel=3)
    arrays = {
        "loading": axes.components,
        "mean": mean,
        "score": scores,
        "mean_score": scores.mean(axis=0, dtype=np.float64),
        "top_unit": top,
        **shares,
    }
    return xr.Dataset(
        {name: (dims, arrays[name], attrs) for name, (dims, attrs) in VARIABLES.items()},
        coords={**recording.site_coords, **_counted(component=n_components, top=top.size)},
        attrs={"massive_unit": massive.tolist()},
    )


def draw_pca_per_site(result: xr.Dataset) -> list[Drawing]:
    """Share of each site's variance that its own leading components explain."""
    shares = result["explained_variance_ratio"].values.T
    title = "Variance of each site, about its own mean, explained by its own components"
    named = {f"PC{index}": share for index, share in enumerate(shares, start=1)}
    return [_share_lines(result, title, named)]


@measure("population.pca_per_site", title="PCA of each site", source="ours", draw=draw_pca_per_site)
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
    _require_components(n_components, n_samples, n_units)
    variance, total = np.empty((n_sites, n_components)), np.empty(n_sites)
    for site, states in enumerate(site_states(recording.values)):
        variance[site], total[site] = _leading_variance(_centred(states), n_components)
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
    _require_finite(deviations.sum(axis=0))
    n_samples, n_units = deviations.shape
    product = deviations @ deviations.T if n_samples < n_units else deviations.T @ deviations
    leading = [len(product) - n_components, len(product) - 1]
    values = scipy.linalg.eigh(product, eigvals_only=True, subset_by_index=leading)
    return np.maximum(values[::-1], 0.0) / n_samples, float(np.trace(product)) / n_samples

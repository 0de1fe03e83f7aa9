"""Principal components of all samples and sites together, about one global mean.

The components are the leading eigenvectors of the covariance of all N S states, sum over n, s of
(x[n, s] - mu)(x[n, s] - mu)^T / (N S). The share of each site's variance is given about the global
mean and about the site's own mean (`pca_shares`); massive units can be standardized.

Source: arXiv 2502.12131 (all sublayers together); two denominators, sign and massive units ours.
Cost: three passes, N S D^2 for the covariance, the leading eigenvectors of one D x D matrix.
scikit-learn's PCA would need all states in memory in float64.
Limits: a late site weighs more, since it varies more; states that are not finite are refused.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.measures.dimension.components.shares import (
    pooled_covariance,
    site_centers,
    site_shares,
)
from transformer_dynamics.numerics.arrays import Floats, ratio, warn_undefined
from transformer_dynamics.numerics.principal_axes import leading_axes, require_components
from transformer_dynamics.numerics.standardize import standardization
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.storage.attributes import STREAM

N_TOP_UNITS = 3

NO_VARIANCE = "the states do not vary"
POOLED = {"units": "1", "denominator": "variance pooled over samples, sites and units"}
SCORE = {"units": STREAM, "definition": "projection of x - mean on the components"}
ABOUT_MEAN = {"units": "1", "definition": "sum_n |P (x - mean)|^2 / sum_n |x - mean|^2"}
ABOUT_SITE = {"units": "1", "definition": "sum_n |P (x - m)|^2 / sum_n |x - m|^2, m: its mean"}
# Dimensions and attrs of the variables that `pca` returns.
VARIABLES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "loading": (("component", "unit"), {"units": "1", "definition": "unit vectors"}),
    "mean": (("unit",), {"units": STREAM, "pooling": "mean over samples and sites"}),
    "explained_variance_ratio": (("component",), POOLED),
    "score": (("sample", "site", "component"), SCORE),
    "mean_score": (("site", "component"), {**SCORE, "pooling": "mean over samples"}),
    "explained_about_global_mean": (("site",), ABOUT_MEAN),
    "explained_about_site_mean": (("site",), ABOUT_SITE),
    "top_unit_share": (("top",), {**POOLED, "standardized": "no, as recorded"}),
    "top_unit": (
        ("top",),
        {"definition": "unit indices in descending order of variance"},
    ),
}


def _top_units(variance: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Units of the largest variance, and the cumulative shares of the first 1, 2, 3."""
    top = np.argsort(-variance, kind="stable")[:N_TOP_UNITS]
    return top, ratio(np.cumsum(variance[top]), np.asarray(variance.sum()))


def _counted(**sizes: int) -> dict[str, NDArray[np.int64]]:
    """Coordinates that count from 1."""
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
        recording: states, or their moments with full covariances.
        n_components: number of components, at most min(units, samples times sites).
        standardize_massive: whether to scale massive units to the median unit's deviation first.

    Returns:
        `loading` `(component, unit)`; `mean` `(unit)`; float32 `score` `(sample, site, component)`,
        for states only; `mean_score` `(site, component)`; `explained_variance_ratio` `(component)`,
        pooled; `explained_about_global_mean`, `explained_about_site_mean` `(site)`, of all
        components together; `top_unit` `(top)`, the three units of the largest pooled variance, and
        `top_unit_share` `(top)`, the cumulative share of the first 1, 2, 3, as recorded.
        `results.attribute(result, "massive_unit")` lists the massive units. A share is NaN, with
        one `UndefinedWarning`, where there is no variance.

    Raises:
        InputError: there are fewer components than `n_components`, or states are not finite.

    >>> angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    >>> circle = np.stack([2 * np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    >>> pca(Recording.from_array(circle[:, np.newaxis]))["explained_variance_ratio"].values.round(3)
    array([0.8, 0.2, 0. ])
    """
    n_samples, n_sites, n_units = recording.shape
    require_components(n_components, n_samples * n_sites, n_units)
    centers = site_centers(recording)
    mean = centers.pooled
    covariance = pooled_covariance(recording, mean)
    top, top_share = _top_units(np.diag(covariance))
    massive, scale = standardization(np.diag(covariance))
    if not standardize_massive:
        scale = np.ones_like(scale)
    covariance *= scale[:, np.newaxis] * scale
    axes = leading_axes(covariance, mean, n_components)
    scores, about_global, about_site = site_shares(recording, axes, centers, scale)
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
        **({} if scores is None else {"score": scores}),
        "mean_score": ((centers.mean - mean) * scale) @ axes.components.T,
        "top_unit": top,
        **shares,
    }
    return xr.Dataset(
        {name: (*VARIABLES[name][:1], array, VARIABLES[name][1]) for name, array in arrays.items()},
        coords={**recording.site_coords, **_counted(component=n_components, top=top.size)},
        attrs={"massive_unit": massive.tolist()},
    )

"""Principal components of each site alone, about its own mean over samples.

Source: ours. Cost: the leading eigenvalues of one matrix of size min(samples, units) per site.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import (
    Floats,
    centered,
    ratio,
    site_states,
    warn_undefined,
)
from transformer_dynamics.numerics.linalg.lapack import top_eigvalsh
from transformer_dynamics.numerics.principal_axes import require_components, require_finite
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.storage.attributes import STREAM


@measure("dimension.pca_per_site", title="PCA of each site", source="ours")
def pca_per_site(recording: Recording, *, n_components: int = 3) -> xr.Dataset:
    """Principal components of each site by itself, about its own mean over samples.

    Args:
        recording: states `(sample, site, unit)`.
        n_components: number of components, at most min(units, samples).

    Returns:
        `explained_variance_ratio` `(site, component)`, the share of the site's variance; it is NaN,
        with one `UndefinedWarning`, at a site where all samples agree. `total_variance` `(site)`,
        in stream units squared, the mean over samples of |x - mean of the site|^2.

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
            variance[site], total[site] = _leading_variance(centered(states), n_components)
        del values, states
    shares = np.minimum(ratio(variance, total[:, np.newaxis]), 1.0)
    warn_undefined({"explained_variance_ratio": shares}, "the states do not vary", stacklevel=3)
    own = {"units": "1", "denominator": "the site's variance about its own mean, over all units"}
    squared = {"units": f"{STREAM}^2", "denominator": f"{n_samples} samples"}
    return xr.Dataset(
        {
            "explained_variance_ratio": (("site", "component"), shares, own),
            "total_variance": ("site", total, squared),
        },
        coords={**recording.site_coords, "component": np.arange(1, n_components + 1)},
    )


def _leading_variance(deviations: Floats, n_components: int) -> tuple[Floats, float]:
    """Largest eigenvalues in descending order, and trace, of the covariance of `(sample, unit)`.

    The products of samples have the same eigenvalues as those of units; the smaller of the two
    matrices is computed.
    """
    require_finite(deviations.sum(axis=0))
    n_samples, n_units = deviations.shape
    product = deviations @ deviations.T if n_samples < n_units else deviations.T @ deviations
    values = top_eigvalsh(product, n_components)
    return np.maximum(values[::-1], 0.0) / n_samples, float(np.trace(product)) / n_samples

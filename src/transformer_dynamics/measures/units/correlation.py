"""Continuity of single units over depth: correlation of each unit between neighboring sites.

Pearson's r over samples (see `weighted_correlation`). A random walk over depth reaches
sqrt(s / (s + 1)) at step s = 1, 2, ... without any learning, so the figures show that curve.

Source: arXiv 2502.12131. Cost: one pass over the states, accumulated in float64.
Not handled: nonlinear dependence (see `information`), and dependent samples: an interval needs
weights drawn over texts.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.measures.units.weighted_correlation import (
    UNVARYING,
    correlate_steps,
    require_steps,
)
from transformer_dynamics.numerics.arrays import Floats, centered, defined_mean, warn_undefined
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.moments.products import Products
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

SOURCE = "arXiv 2502.12131"
OVER_UNITS = {"units": "1", "denominator": "units where the correlation is defined"}
STEP_LABEL = "step (index of the site it starts from)"


@measure(
    "units.correlation",
    title="Unit correlation of neighboring sites",
    source=SOURCE,
    of_moments=True,
)
def correlation(recording: Recording | Moments) -> xr.Dataset:
    """Correlation over samples of each unit between neighboring sites.

    Args:
        recording: states, or their moments.

    Returns:
        `correlation` `(step, unit)`, dimensionless; `mean` `(step)` over the units where it is
        defined; `n_defined` `(step)`, the number of those units. NaN, with one `UndefinedWarning`,
        where a unit does not vary over the samples.

    Raises:
        InputError: the recording has only one site.

    >>> states = np.random.default_rng(0).standard_normal((500, 10, 50)).cumsum(axis=1)
    >>> result = correlation(Recording.from_array(states))
    >>> result["mean"].values[[0, 8]].round(2)
    array([0.71, 0.95])
    """
    require_steps(recording.shape)
    plain = _plain_correlation(recording)
    warn_undefined({"correlation": plain}, UNVARYING, stacklevel=3)
    attrs = {"units": "1", "denominator": f"{recording.shape[0]} samples"}
    return xr.Dataset(
        {
            "correlation": (("step", "unit"), plain, attrs),
            "mean": ("step", defined_mean(plain), OVER_UNITS),
            "n_defined": ("step", (~np.isnan(plain)).sum(axis=1), {"units": "units"}),
        },
        coords=recording.step_coords,
    )


def _plain_correlation(recording: Recording | Moments) -> Floats:
    """Compute the unweighted correlation `(step, unit)`; one pass over states on disk."""
    if isinstance(recording, Moments):
        return recording.products.unit_correlation()
    if recording.in_memory:
        values = recording.values
        n_sites = values.shape[1]
        plain: Floats = correlate_steps(lambda site: centered(values[:, site]), n_sites, None)[0]
        return plain
    return Products.over(recording.blocks(), full=False).unit_correlation()

"""Massive activations: which units carry them at which sites, and their effect on each result.

Two definitions, neither of which implies the other:

    by magnitude   |x| > 100 and |x| > 1000 times the median over units of |x| of the same state
                   (arXiv 2402.17762), in some sample
    by variance    variance, pooled over samples and sites, above 100 times the median unit's

The control is a random basis: one orthogonal matrix for all sites, which keeps all lengths and
angles and makes no unit massive. Choices and pitfalls: docs/measures/massive.activations.md.
Source: arXiv 2402.17762 (magnitude); the rest ours. Cost: 6 s for 512 x 61 x 576 on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.massive.effects import QUANTITIES, effects
from transformer_dynamics.measures.massive.profile import profile
from transformer_dynamics.measures.massive.variables import (
    MAGNITUDE,
    N_TOP,
    VARIANCE,
    changes,
    massive_counts,
    massive_units,
    top_units,
)
from transformer_dynamics.numerics.arrays import warn_undefined
from transformer_dynamics.numerics.standardize import standardize
from transformer_dynamics.recording.labels import turn_coords
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS, measure

# Samples of the random basis and the participation ratio: their cost grows with the square.
MOST_SAMPLES = 512
VERSIONS = ("as recorded", "standardized")
# Bases of the states: the units, and a random rotation of them.
BASES = ("units", "random")
UNDEFINED = (
    "the states do not vary or have length zero, the sites are too few for a step or turn, the "
    "texts are too few for an interval"
)


@measure(
    "massive.activations",
    title="Massive activations and what they carry",
    source="arXiv 2402.17762; what they carry: ours",
)
def activations(recording: Recording, *, n_draws: int = 499, seed: int = 0) -> xr.Dataset:
    """Massive units, their share of the squared norm by site, and of each result.

    Args:
        recording: states `(sample, site, unit)`.
        n_draws: number of bootstrap draws of texts for the intervals.
        seed: seed of the draws, the random basis, and the subsample of more than 512 samples.

    Returns:
        `energy_share`, `variance_share` `(basis, site, top)` of the first 1, 2, 3 units together;
        `n_massive_by_magnitude`, `largest_ratio` `(basis, site)`, `n_massive_by_variance`
        `(basis)`; `top_energy_unit`, `top_variance_unit` `(site, top)`; for the units massive by
        either definition `massive_share`, `massive_magnitude` `(site, massive_unit)`, and
        `massive_count` `(sample, site)`. Each result in both versions: `norm`,
        `participation_ratio` `(version, site)`, `speed`, `cosine` `(version, step)`,
        `turning_angle` `(version, turn)`, `tortuosity` `(version)`, `explained_variance`
        `(version, component)`; and `relative_change` `(quantity)` with the ends of its interval.
        Units are in each variable's attrs. NaN, with one `UndefinedWarning`, where a share has no
        denominator, a result is undefined, or there are too few texts for an interval.

    Raises:
        InputError: states are not finite, or `n_draws` is below 1.

    >>> states = np.random.default_rng(0).standard_normal((20, 5, 8)) * [1, 1, 1, 300, 1, 1, 1, 1]
    >>> result = activations(Recording.from_array(states), n_draws=9)
    >>> result["massive_unit"].values, float(result["energy_share"].sel(basis="units").min())
    (array([3]), 0.999...)
    """
    if n_draws < 1:
        raise InputError(
            f"got n_draws={n_draws}; an interval needs at least one draw: "
            "td.massive.activations(recording, n_draws=499)"
        )
    samples = _subsample(recording.shape[0], seed)
    in_units = profile(recording)  # refuses states that are not finite
    rotate = NULLS.get("random_basis").function
    profiles = [in_units, profile(rotate(recording.isel(sample=samples), seed=seed))]
    carriers, carrier_coords = massive_units(in_units)
    versions = (recording, standardize(recording))
    changed = changes(
        effects(versions, samples, n_draws=n_draws, seed=seed), np.unique(recording.groups).size
    )
    shares = top_units(profiles) | massive_counts(profiles)
    _warn(shares | changed)
    return xr.Dataset(
        {**shares, **carriers, **changed},
        coords=_coords(recording, changed) | carrier_coords,
        attrs={"by_magnitude": MAGNITUDE, "by_variance": VARIANCE},
    )


def _subsample(n_samples: int, seed: int) -> NDArray[np.int64]:
    """Choose at most `MOST_SAMPLES` samples, seeded, in ascending order."""
    samples = np.arange(n_samples)
    if n_samples > MOST_SAMPLES:
        rng = np.random.default_rng(seed)
        samples = np.sort(rng.choice(samples, MOST_SAMPLES, replace=False))
    return samples


def _coords(recording: Recording, changed: Mapping[str, Any]) -> dict[str, Any]:
    n_components = changed["explained_variance"][1].shape[1]
    names = {"basis": BASES, "version": VERSIONS, "quantity": QUANTITIES}
    return {
        **recording.site_coords,
        **recording.step_coords,
        **turn_coords(recording),
        **{dim: (dim, np.array(values, dtype=object)) for dim, values in names.items()},
        "top": ("top", np.arange(1, min(N_TOP, recording.shape[2]) + 1)),
        "component": ("component", np.arange(1, n_components + 1)),
    }


def _warn(variables: Mapping[str, Any]) -> None:
    arrays = {
        name: values for name, (_, values, _) in variables.items() if values.dtype.kind == "f"
    }
    warn_undefined(arrays, UNDEFINED, stacklevel=4)

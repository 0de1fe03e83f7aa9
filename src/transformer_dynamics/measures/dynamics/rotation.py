"""Rotation and tangling of the samples' paths over depth, compared with equally smooth surrogates.

Deviations from the mean path, reduced by PCA to six dimensions, are fitted by one linear map and by
one rotation (see `jpca`), as recorded and with sites of equal variance; the ratio of the two R^2
is 1 for rotation alone and 0 for growth or decay alone. Tangling (see `tangling`) is pooled over
all steps of 64 samples. Each statistic has 20 surrogates (see `rotation_surrogates`).

Sources: Churchland et al. 2012, Russo et al. 2018, Elsayed and Cunningham 2017. Cost, for N
samples, S sites, D units: N S D^2; per surrogate N S small products and (64 S)^2. Memory: the paths
in six dimensions, twice. Not handled: a map that changes with depth. See
docs/measures/dynamics.rotation.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dynamics.reduced_paths import reduced_paths
from transformer_dynamics.measures.dynamics.rotation_surrogates import (
    comparisons,
    tangling_statistics,
    weighting_statistics,
)
from transformer_dynamics.measures.dynamics.rotation_variables import VARIABLES, WEIGHTINGS
from transformer_dynamics.measures.dynamics.subsample import N_SAMPLES, subsample
from transformer_dynamics.numerics.arrays import warn_undefined
from transformer_dynamics.numerics.by_site import by_site
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

UNDEFINED = "nothing moves, samples agree, or the surrogates do not differ from each other"


@measure(
    "dynamics.rotation",
    title="Rotation and tangling of the paths",
    source="Churchland et al. 2012; Russo et al. 2018; Elsayed and Cunningham 2017",
)
def rotation(
    recording: Recording,
    *,
    n_components: int = 6,
    n_draws: int = 20,
    n_tangled: int = 64,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
) -> xr.Dataset:
    """Share of the motion that is rotation, and tangling of the paths, with surrogates.

    Args:
        recording: the states.
        n_components: number of reduced dimensions, at most the number of units.
        n_draws: number of surrogates.
        n_tangled: largest number of samples whose steps are searched for the tangling of each.
        n_samples: largest number of samples; more are subsampled by `seed`, since their reduced
            paths are held in memory.
        seed: seed of the subsamples and of the surrogates.

    Returns:
        Along `weighting` (as recorded, sites of equal variance): `r2_free`, `r2_skew`, `r2_ratio`;
        `frequency` `(plane)` in radians per step, fastest first; `r2_skew_by_step` `(step)`; the
        first jPC plane `jpc_loading` `(jpc, unit)`, its scores `jpc_score` `(sample, site, jpc)`,
        float32, and the shares of variance `jpc_share`, `jpc_share_of_reduced` and
        `reduced_share`. `tangling` `(tangled_sample, step)` and `mean_path_tangling` `(step)`, per
        squared step, in a space with `tangling_share` of the variance. Surrogates as `null_...`
        along `draw`. Along `statistic`: `observed`, `null_mean`, `null_sd`, `p`, `effect`. NaN,
        with one `UndefinedWarning`, where nothing moves, samples agree, or surrogates do not
        differ.

    Raises:
        InputError: fewer than two sites or units, an option is out of range, or states are not
            finite.

    >>> from transformer_dynamics.nulls import synthetic
    >>> result = rotation(synthetic.rotation(n_sites=21, n_units=6))
    >>> result["r2_ratio"].values.round(6), result["frequency"].values[0].round(3)
    (array([1., 1.]), array([0.628, 0.628, 0.628]))
    """
    _require_options(recording, n_components, n_draws, n_tangled)
    recording = subsample(recording, n_samples, seed=seed)
    order = np.random.default_rng(seed).permutation(recording.shape[0])[:n_tangled]
    tangled = np.sort(order).astype(np.int64)
    with by_site(recording) as states:
        reduced = reduced_paths(states, min(n_components, recording.shape[2]))
        parts = [
            weighting_statistics(next(reduced), n_draws, (seed, index))
            for index in range(len(WEIGHTINGS))
        ]
        arrays = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
        arrays |= tangling_statistics(next(reduced), tangled, n_draws, (seed, len(parts)))
    checked = ("r2_ratio", "frequency", "r2_skew_by_step", "tangling", "effect")
    names, compared = comparisons(arrays)
    arrays |= compared
    warn_undefined({name: arrays[name] for name in checked}, UNDEFINED, stacklevel=3)
    return _dataset(recording, arrays, tangled, names)


def _require_options(recording: Recording, n_components: int, n_draws: int, n_tangled: int) -> None:
    """Refuse recordings and options that leave no plane or no spread of surrogates."""
    _, n_sites, n_units = recording.shape
    if n_sites < 2 or n_units < 2:
        raise InputError(
            f"got {n_sites} sites and {n_units} units; rotation takes at least two of each: "
            "rotation(Recording.from_array(values)) of the whole stream"
        )
    if n_components < 2 or n_draws < 2 or n_tangled < 1:
        raise InputError(
            f"got n_components={n_components}, n_draws={n_draws}, n_tangled={n_tangled}; a plane "
            "has two dimensions, and a standard deviation takes two surrogates: "
            "rotation(recording, n_components=6, n_draws=20, n_tangled=64)"
        )


def _dataset(
    recording: Recording,
    arrays: dict[str, NDArray[Any]],
    tangled: NDArray[np.int64],
    statistics: list[str],
) -> xr.Dataset:
    """Result of arrays by variable name, indices of the tangled samples, and statistics' names."""
    return xr.Dataset(
        {name: (VARIABLES[name][0], array, VARIABLES[name][1]) for name, array in arrays.items()},
        coords={
            **recording.site_coords,
            **recording.step_coords,
            "weighting": list(WEIGHTINGS),
            "statistic": statistics,
            "tangled_sample": tangled,
            "plane": np.arange(1, arrays["frequency"].shape[1] + 1),
            "jpc": [1, 2],
        },
    )

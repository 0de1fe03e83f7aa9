"""Dimension of the cloud of states at each site, and of each sample's path over depth.

Two estimates: the participation ratio (tr C)^2 / tr C^2 of the covariance C, the number of
directions that share the variance, and TwoNN, the local number of dimensions. Null models: for the
cloud of a site a Gaussian cloud of the same sample covariance, for a path the path of the same step
lengths with all steps at right angles.

Sources: Facco et al. 2017 (arXiv 1803.06992); Himeno and Yamada (2014); null models ours.
Cost, for N samples, S sites, D units: 6 S N^2 D for products and distances, 4 S N min(N, D)^2 for
the Gaussian clouds, N S^2 D for the paths. Memory: about four float64 copies of one site. Limits:
noise below the distance of neighbors; dependent samples; massive activations dominate variance and
distance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.measures.dimension.points.nulls import (
    drawn_gaussian_cloud,
    right_angled_paths,
)
from transformer_dynamics.measures.dimension.points.participation_ratio import (
    corrected_ratio,
    scatter_traces,
)
from transformer_dynamics.measures.dimension.points.sets import distinct
from transformer_dynamics.measures.dimension.points.two_nn import (
    DISCARD,
    N_PARTS,
    UNDEFINED,
    distinct_decimated_two_nn,
    distinct_two_nn,
    require_discard,
    require_parts,
)
from transformer_dynamics.numerics.arrays import Floats, lengths, ratio, warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

UNDEFINED_HERE = f"{UNDEFINED}, fewer than four samples (corrected), or points that do not vary"

CLOUD = {
    "units": "1",
    "pooling": "the samples at a site are the points, about the mean of the site",
}
PATH = {"units": "1", "pooling": "none: the sites of one sample are the points, about their mean"}
BIAS = (
    "biased low by the finite number of samples N, roughly 1/estimate = 1/true + 1/N, and never "
    "above N - 1"
)
CORRECTED = (
    "the estimates of (tr C)^2 and of tr C^2 are each unbiased for independent samples; their "
    "ratio keeps a bias of order 1/N and may exceed the number of units or samples by chance"
)
FEW_POINTS = (
    "biased low in many dimensions, where the samples are too few for a constant density up to the "
    "second neighbor; reliable where the fractions agree"
)
TWO_NN = "slope of -ln(1 - i/N) on the i-th smallest ln(r2/r1), through the origin"
IN_ORDER = "not corrected: the points of a path are neighbors in depth and not independent draws"
RIGHT_ANGLED = "the path with the same step lengths and all steps at right angles"
ATTRS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "participation_ratio": (
        ("site",),
        {
            **CLOUD,
            "definition": "(sum l)^2 / sum l^2 of the covariance's eigenvalues",
            "bias": BIAS,
        },
    ),
    "participation_ratio_corrected": (
        ("site",),
        {**CLOUD, "definition": "unbiased (tr C)^2 / unbiased tr C^2", "bias": CORRECTED},
    ),
    "two_nn": (("site", "fraction"), {**CLOUD, "definition": TWO_NN, "bias": FEW_POINTS}),
    "gaussian_two_nn": (
        ("site", "fraction"),
        {**CLOUD, "definition": f"{TWO_NN}, for one Gaussian cloud of this sample covariance"},
    ),
    "n_distinct": (("site",), {"units": "samples", "definition": "distinct states at the site"}),
    "path_participation_ratio": (("sample",), {**PATH, "bias": IN_ORDER}),
    "path_two_nn": (("sample",), {**PATH, "definition": TWO_NN, "bias": IN_ORDER}),
    "right_angled_path_participation_ratio": (("sample",), {**PATH, "definition": RIGHT_ANGLED}),
    "right_angled_path_two_nn": (("sample",), {**PATH, "definition": RIGHT_ANGLED}),
}


@measure(
    "dimension.intrinsic_dimension",
    title="Dimension of the states and of the paths",
    source="participation ratio; TwoNN of Facco et al. 2017 (arXiv 1803.06992)",
)
def intrinsic_dimension(
    recording: Recording,
    *,
    n_parts: tuple[int, ...] = N_PARTS,
    discard: float = DISCARD,
    seed: int = 0,
) -> xr.Dataset:
    """Dimension of the samples at each site, and of each sample's path over the sites.

    Args:
        recording: states `(sample, site, unit)`.
        n_parts: numbers of subsets of the samples over which TwoNN is averaged.
        discard: share of the largest ratios of distances left out of the fit of TwoNN.
        seed: seed of the subsets and of the Gaussian clouds.

    Returns:
        `participation_ratio`, `participation_ratio_corrected`, `n_distinct` `(site)`; `two_nn`,
        `gaussian_two_nn` `(site, fraction)`; `path_participation_ratio`, `path_two_nn` and
        both for the right-angled path, `right_angled_...` `(sample)`; dimensionless. TwoNN counts
        repeated points once.
        NaN, with one `UndefinedWarning` for all, where fewer than 10 distinct points remain (fewer
        than four samples for the corrected ratio), or where points do not vary.

    Raises:
        InputError: an option is out of its range.

    >>> from transformer_dynamics import synthetic
    >>> cloud = synthetic.independent_states(n_samples=200, n_sites=12, n_units=10)
    >>> result = intrinsic_dimension(cloud)
    >>> result["participation_ratio_corrected"].mean().item()
    10.0...
    """
    require_discard(discard)
    require_parts(n_parts)
    arrays = _of_sites(recording, n_parts, discard, seed) | _of_paths(recording, discard)
    undefined = {name: array for name, array in arrays.items() if name != "n_distinct"}
    warn_undefined(undefined, UNDEFINED_HERE, stacklevel=3)
    return xr.Dataset(
        {name: (ATTRS[name][0], array, ATTRS[name][1]) for name, array in arrays.items()},
        coords={**recording.site_coords, "fraction": 1 / np.array(n_parts)},
    )


def _of_sites(
    recording: Recording, n_parts: tuple[int, ...], discard: float, seed: int
) -> dict[str, NDArray[Any]]:
    """Participation ratios and TwoNN of the cloud of each site and of its Gaussian cloud."""
    n_sites = recording.shape[1]
    arrays: dict[str, NDArray[Any]] = {
        name: np.empty(n_sites) for name in ("participation_ratio", "participation_ratio_corrected")
    }
    arrays |= {name: np.empty((n_sites, len(n_parts))) for name in ("two_nn", "gaussian_two_nn")}
    arrays["n_distinct"] = np.empty(n_sites, dtype=np.int64)
    for sites, values in recording.site_blocks():
        for site in range(sites.start, sites.stop):
            states = values[:, site - sites.start].astype(np.float64, order="C")
            traces = scatter_traces(states)
            arrays["participation_ratio"][site] = ratio(traces[0] ** 2, traces[1])
            arrays["participation_ratio_corrected"][site] = corrected_ratio(*traces, len(states))
            rng = np.random.default_rng([seed, site])
            points = distinct(states)
            arrays["n_distinct"][site] = len(points)
            arrays["two_nn"][site] = distinct_decimated_two_nn(points, n_parts, discard, rng)
            points = drawn_gaussian_cloud(points, rng)
            del states  # before the next large arrays
            arrays["gaussian_two_nn"][site] = distinct_decimated_two_nn(
                points, n_parts, discard, rng
            )
            del points
        del values
    return arrays


def _of_paths(recording: Recording, discard: float) -> dict[str, NDArray[Any]]:
    """Participation ratio and TwoNN of each sample's path and of its right-angled path."""
    names = ("path_participation_ratio", "path_two_nn")
    result = {name: np.empty(recording.shape[0]) for name in names}
    result |= {f"right_angled_{name}": np.empty(recording.shape[0]) for name in names}
    for rows, values in recording.blocks():
        for sample, path in enumerate(values, start=rows.start):
            points: Floats = np.asarray(path, dtype=np.float64)
            with np.errstate(invalid="ignore"):
                right_angled = right_angled_paths(lengths(np.diff(points, axis=0)))
            for prefix, cloud in (("", points), ("right_angled_", right_angled)):
                trace, squared, _ = scatter_traces(cloud)
                result[prefix + names[0]][sample] = ratio(trace**2, squared)
                result[prefix + names[1]][sample] = distinct_two_nn(distinct(cloud), discard)
    return result

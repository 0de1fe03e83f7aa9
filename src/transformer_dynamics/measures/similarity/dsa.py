"""Dynamical similarity: whether two recordings move over depth by the same rule, up to rotation.

Each recording's paths are reduced to a linear rule (see `linear_rules`); the distance of two rules
is 0 for rotated copies of one system and at most 2. Samples, sites and units may differ. Controls:
the two halves of the texts of each recording (chance in the choice of texts), and the recording
compared with itself at permuted depth (the same states without their order).

Source: Ostrow et al. (arXiv 2306.10168), by the package `dsa-metric` (MIT; it needs `optht`, GPL
3), an extra: pip install 'transformer-dynamics[dsa]'. Controls and skill: ours. Cost: four
distances by gradient descent. Limits: one map averages rules that change with depth; no interval.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import threadpoolctl
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.similarity.linear_rules import (
    Descent,
    component_paths,
    dsa_package,
    linear_map,
)
from transformer_dynamics.numerics.arrays import Floats, require_sites, warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import comparison

PAIRS = (
    "the two recordings",
    "halves of the recording's texts",
    "halves of the other's texts",
    "the recording and its permuted depth",
)
SYSTEMS = ("recording", "other")


@comparison(
    "similarity.dsa",
    title="Dynamical similarity of two recordings",
    source="arXiv 2306.10168, by the package dsa-metric",
)
def dsa(
    recording: Recording,
    other: Recording,
    *,
    n_components: int = 10,
    n_delays: int = 2,
    n_starts: int = 3,
    n_iterations: int = 500,
    n_samples: int = 512,
    seed: int = 0,
) -> xr.Dataset:
    """Dynamical similarity of two recordings, of their halves, and of permuted depth.

    Args:
        recording: states `(sample, site, unit)`, at least `n_delays` + 1 sites.
        other: other recording; samples, sites and units may differ.
        n_components: number of leading principal components of each recording, and rank of its
            map; smaller recordings use as many as both have.
        n_delays: number of sites in the embedding, the present one included.
        n_starts: number of random starts of the descent; the smallest distance is reported.
        n_iterations: number of steps of each descent.
        n_samples: maximum number of samples of each; more are subsampled.
        seed: seed of the subsamples, the halves, the permutation and the starts.

    Returns:
        `dsa` `(pair)`, dimensionless, from 0 to 2, of the two recordings, the halves of each one's
        texts, and the recording and its permuted depth; `skill` `(system)`, of the two maps. NaN,
        with one `UndefinedWarning`, where there are too few states for a map.

    Raises:
        TdynError: the package dsa-metric is not installed.
        InputError: too few sites, states that do not move or are not finite, or a parameter below
            1.
    """
    if min(n_components, n_delays, n_starts, n_iterations) < 1:
        raise InputError(
            f"got n_components={n_components}, n_delays={n_delays}, n_starts={n_starts}, "
            f"n_iterations={n_iterations}; each is at least 1: td.similarity.dsa(recording, other)"
        )
    package = dsa_package()
    both = [system.sampled(n_samples, seed=seed) for system in (recording, other)]
    for system in both:
        require_sites(system.values, n_delays + 1)
    n_components = min(n_components, *(_most_components(system) for system in both))
    descent = Descent(n_starts, n_iterations, seed)
    distances, skill = _compared(package, both, n_components, n_delays, descent)
    warn_undefined({"dsa": distances, "skill": skill}, "there are too few states", stacklevel=3)
    return xr.Dataset(
        {
            "dsa": ("pair", distances, {"units": "1", "definition": "|A1 - C A2 C^T|, least C"}),
            "skill": ("system", skill, {"units": "1", "denominator": "|z[s+1] - z[s]|^2"}),
        },
        coords={
            "pair": ("pair", np.array(PAIRS, dtype=object)),
            "system": ("system", np.array(SYSTEMS, dtype=object)),
        },
        attrs={"rank": n_components},
    )


def _most_components(recording: Recording) -> int:
    n_samples, n_sites, n_units = recording.shape
    return min(n_samples * n_sites, n_units)


def _compared(
    package: ModuleType,
    both: list[Recording],
    n_components: int,
    n_delays: int,
    descent: Descent,
) -> tuple[Floats, Floats]:
    """Distances of the two recordings and of the controls `(pair)`, and skill `(system)`."""
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        paths = [component_paths(system, n_components) for system in both]
    rules, skill = zip(*(linear_map(package, path, n_delays) for path in paths), strict=True)
    halves = [
        [
            linear_map(package, path[half], n_delays)[0]
            for half in _halves(system.groups, descent.seed)
        ]
        for system, path in zip(both, paths, strict=True)
    ]
    order = np.random.default_rng(descent.seed).permutation(paths[0].shape[1])
    without_order = linear_map(package, paths[0][:, order], n_delays)[0]
    pairs = (rules, *halves, (rules[0], without_order))
    return np.array([descent.distance(package, pair) for pair in pairs]), np.array(skill)


def _halves(text_index: NDArray[np.int64], seed: int) -> tuple[NDArray[np.bool_], ...]:
    """Samples of each half of the texts, `(sample)`."""
    texts = np.random.default_rng(seed).permutation(np.unique(text_index))
    first = np.isin(text_index, texts[: len(texts) // 2])
    return first, ~first

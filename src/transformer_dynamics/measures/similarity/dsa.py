"""Dynamical similarity: do two recordings move over depth by the same rule, up to rotation?

The recordings' paths over depth, one per sample, are reduced to the leading principal components
of each recording (all sites together, one mean) and scaled to unit variance; their delay embedding
h[s] = (z[s], z[s-1], ...) is whitened by a singular value decomposition and cut to `rank`, and one
linear map for all depths is fitted, h[s+1] ~ A h[s] (DMD). The similarity of two maps is

    DSA = min over orthogonal C of |A1/|A1| - C (A2/|A2|) C^T|,     Frobenius norms,

0 for systems that are rotated copies of each other, at most 2. It does not ask for the same
samples, sites or units. C is found by gradient descent from random starts; the least of several is
kept, so the number is an upper bound, a few hundredths above 0 for equal systems.

DSA stands beside three others that are found the same way: the **halves of texts** of either
recording (what chance in the choice of texts gives) and the recording beside itself at **permuted
depth** (what a system of the same states without their order gives). How well the map holds is
`skill`, 1 - |z[s+1] - the map's|^2 / |z[s+1] - z[s]|^2 over samples and depths, in sample: 0 is a
map no better than standing still, and where it is near 0 or below the map, and so DSA, says little.

Source: Ostrow et al. (arXiv 2306.10168), through the authors' package `dsa-metric` (MIT; it needs
`optht`, GPL 3), which is an extra: pip install 'transformer-dynamics[dsa]'. The four comparisons
and the skill: ours.

Cost: one covariance of n S D^2 per recording; per start some hundred steps of gradient descent on
a matrix of `rank` x `rank`, twice. float32, as the package computes.

Not handled: rules that change with depth, which one map averages (late sites weigh most, since they
vary most); rules that are not linear in the delays; intervals.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import threadpoolctl
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, TdynError
from transformer_dynamics.numerics.arrays import Floats, require_sites, warn_undefined
from transformer_dynamics.numerics.principal_axes import principal_axes
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import comparison

PAIRS = (
    "the two recordings",
    "halves of the recording's texts",
    "halves of the other's texts",
    "the recording and its permuted depth",
)
SYSTEMS = ("recording", "other")
LEARNING_RATE = 0.01


def _package() -> ModuleType:
    """The authors' package; it loads torch, so not before it is needed.

    Raises:
        TdynError: it is not installed.
    """
    try:
        return importlib.import_module("DSA")
    except ImportError as error:
        raise TdynError(
            "dynamical similarity is computed by the package dsa-metric, which is not installed; "
            "install it with pip install 'transformer-dynamics[dsa]'"
        ) from error


def _paths(recording: Recording, n_components: int) -> Floats:
    """Scores over depth `(sample, site, component)` of unit variance in all.

    A component points to where its scores are skewed, whatever the basis of the units.
    """
    require_sites(recording.values, 2)
    scores = principal_axes(recording.values, n_components).project(recording.values)
    scores *= np.where((scores**3).sum(axis=(0, 1)) < 0, -1.0, 1.0)
    spread = float(np.sqrt((scores**2).mean()))
    if not spread:
        raise InputError(
            "got a recording whose states are all the same; a rule of motion needs states that "
            "move: td.similarity.dsa(recording, other)"
        )
    return scores / spread


def _halves(text_index: NDArray[np.int64], seed: int) -> tuple[NDArray[np.bool_], ...]:
    """Samples of either half of the texts."""
    texts = np.random.default_rng(seed).permutation(np.unique(text_index))
    first = np.isin(text_index, texts[: len(texts) // 2])
    return first, ~first


def _linear_map(package: ModuleType, paths: Floats, n_delays: int) -> tuple[Floats, float]:
    """DMD of `(sample, site, component)`: the map `(rank, rank)` in float32, and its skill.

    NaN where there are fewer states than coordinates to fit.
    """
    n_samples, n_sites, rank = paths.shape
    if n_samples * (n_sites - n_delays) < rank * n_delays:
        return np.full((rank, rank), np.nan), np.nan
    fitted = package.DMD(paths, n_delays=n_delays, rank=rank)
    fitted.fit()
    rule, before, left, sizes = (
        each.numpy().astype(np.float64)
        for each in (fitted.A_v, fitted.Vt_minus[:, :rank], fitted.U, fitted.S)
    )
    # The newest state comes first in the embedding.
    predicted = before @ rule.T @ (left[:rank, :rank] * sizes[:rank]).T
    now, then = (
        part.reshape(-1, rank) for part in (paths[:, n_delays - 1 : -1], paths[:, n_delays:])
    )
    moved = ((then - now) ** 2).sum()
    return rule, float(1 - ((then - predicted) ** 2).sum() / moved) if moved else np.nan


def _least_distance(
    package: ModuleType, rules: Sequence[Floats], n_starts: int, n_iterations: int, seed: int
) -> float:
    """The distance of two maps over orthogonal matrices, the least of several descents."""
    if not all(np.isfinite(rule).all() for rule in rules):
        return np.nan
    # The package draws its starting points from torch's global generator, which is given back.
    torch = package.simdist.torch
    found = []
    with torch.random.fork_rng(devices=[]), threadpoolctl.threadpool_limits(1):
        for start in range(n_starts):
            torch.manual_seed(seed + start)
            descent = package.SimilarityTransformDist(
                iters=n_iterations, score_method="euclidean", lr=LEARNING_RATE
            )
            # It scales what it is given in place.
            found.append(descent.fit_score(*(rule.astype(np.float32) for rule in rules)))
    return float(min(found))


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
        recording: the states, `(sample, site, unit)`, at least `n_delays` + 1 sites.
        other: those of the other; samples, sites and units may differ.
        n_components: leading principal components of each recording, and rank of its map; of a
            smaller recording as many as both have.
        n_delays: sites in the embedding, the present one included.
        n_starts: random starts of the descent; the least result counts.
        n_iterations: steps of each descent.
        n_samples: at most so many samples of each, a choice by `seed`.
        seed: of the choice, the halves, the permutation and the starts.

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
    package = _package()
    both = [each.sampled(n_samples, seed=seed) for each in (recording, other)]
    for each in both:
        require_sites(each.values, n_delays + 1)
    most = [min(each.shape[0] * each.shape[1], each.shape[2]) for each in both]
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        paths = [_paths(each, min(n_components, *most)) for each in both]
    rules, skills = zip(*(_linear_map(package, each, n_delays) for each in paths), strict=True)
    halves = [
        _linear_map(package, path[half], n_delays)[0]
        for each, path in zip(both, paths, strict=True)
        for half in _halves(each.groups, seed)
    ]
    shuffled = paths[0][:, np.random.default_rng(seed).permutation(paths[0].shape[1])]
    without_order = _linear_map(package, shuffled, n_delays)[0]
    pairs = (rules, halves[:2], halves[2:], (rules[0], without_order))
    distances = np.array(
        [_least_distance(package, pair, n_starts, n_iterations, seed) for pair in pairs]
    )
    skill = np.array(skills)
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
        attrs={"rank": paths[0].shape[2]},
    )

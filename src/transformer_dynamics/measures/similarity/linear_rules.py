"""Linear rule of motion of a recording's paths over depth, and the distance of two rules.

The rule is one map for all depths, h[s+1] ~ A h[s], of the delay embedding h[s] = (z[s], z[s-1],
...) of the leading principal components (DMD). The distance of two rules is

    min over orthogonal C of |A1/|A1| - C (A2/|A2|) C^T|,     Frobenius norms.

Source: Ostrow et al. (arXiv 2306.10168), by the authors' package `dsa-metric`, which computes in
float32. Cost: one covariance of n S D^2 per recording; per random start a few hundred steps of
gradient descent on a matrix `(rank, rank)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import threadpoolctl

from transformer_dynamics.errors import InputError, TdynError
from transformer_dynamics.numerics.arrays import Floats, require_sites
from transformer_dynamics.numerics.principal_axes import principal_axes
from transformer_dynamics.recording.recording import Recording

LEARNING_RATE = 0.01


def dsa_package() -> ModuleType:
    """Load the authors' package; it loads torch, so it is loaded only when it is needed.

    Raises:
        TdynError: the package is not installed.
    """
    try:
        return importlib.import_module("DSA")
    except ImportError as error:
        raise TdynError(
            "dynamical similarity is computed by the package dsa-metric, which is not installed; "
            "install it with pip install 'transformer-dynamics[dsa]'"
        ) from error


def component_paths(recording: Recording, n_components: int) -> Floats:
    """Scores over depth `(sample, site, component)`, scaled to unit variance in all.

    The sign of a component is the sign of the skewness of its scores, whatever the basis of the
    units.

    Raises:
        InputError: the recording has one site only, or its states do not vary.
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


def linear_map(package: ModuleType, paths: Floats, n_delays: int) -> tuple[Floats, float]:
    """Fit the rule of paths `(sample, site, component)` by DMD.

    Returns:
        The map `(rank, rank)` in the delay coordinates, and its skill over standing still; NaN
        where there are fewer states than coordinates to fit.
    """
    n_samples, n_sites, rank = paths.shape
    if n_samples * (n_sites - n_delays) < rank * n_delays:
        return np.full((rank, rank), np.nan), np.nan
    dmd = package.DMD(paths, n_delays=n_delays, rank=rank)
    dmd.fit()
    rule, before, left, singular_values = (
        tensor.numpy().astype(np.float64)
        for tensor in (dmd.A_v, dmd.Vt_minus[:, :rank], dmd.U, dmd.S)
    )
    # The newest state comes first in the embedding.
    predicted = before @ rule.T @ (left[:rank, :rank] * singular_values[:rank]).T
    now, after = (
        part.reshape(-1, rank) for part in (paths[:, n_delays - 1 : -1], paths[:, n_delays:])
    )
    moved = ((after - now) ** 2).sum()
    return rule, float(1 - ((after - predicted) ** 2).sum() / moved) if moved else np.nan


@dataclass(frozen=True)
class Descent:
    """Gradient descent to the best orthogonal matrix between two rules.

    Attributes:
        n_starts: number of random starts; the smallest distance is returned.
        n_iterations: steps of each descent.
        seed: seed of the starts.
    """

    n_starts: int
    n_iterations: int
    seed: int

    def distance(self, package: ModuleType, rules: Sequence[Floats]) -> float:
        """Distance of two rules; an upper bound, since the descent may end in a local minimum."""
        if not all(np.isfinite(rule).all() for rule in rules):
            return np.nan
        # The package draws its starts from torch's global generator, which is restored.
        torch = package.simdist.torch
        distances = []
        with torch.random.fork_rng(devices=[]), threadpoolctl.threadpool_limits(1):
            for start in range(self.n_starts):
                torch.manual_seed(self.seed + start)
                descent = package.SimilarityTransformDist(
                    iters=self.n_iterations, score_method="euclidean", lr=LEARNING_RATE
                )
                # The descent scales its arguments in place.
                copies = (rule.astype(np.float32) for rule in rules)
                distances.append(descent.fit_score(*copies))
        return float(min(distances))

"""Rotation and tangling of reduced paths, and of Gaussian surrogates drawn in the same space.

Surrogates have the paths' mean and, in expectation, their covariances across sites and across
dimensions. p = (1 + #{surrogates at least as extreme}) / (1 + surrogates), above for rotation and
below for tangling. Source: Elsayed and Cunningham 2017. Cost per surrogate: N S small products and,
for tangling, the square of the number of steps of all tangled samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.jpca import RotationFit, jpca
from transformer_dynamics.measures.dynamics.reduced_paths import ReducedPaths
from transformer_dynamics.measures.dynamics.rotation_variables import WEIGHTINGS
from transformer_dynamics.measures.dynamics.tangling import SOFTENING, tangling_of
from transformer_dynamics.nulls.matched_gaussian import matched_gaussian
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.stats.significance import Direction, monte_carlo_p

# Standard deviations of surrogates below this share of their mean are rounding errors.
ROUNDING = 1e-9


def weighting_statistics(
    reduced: ReducedPaths, n_draws: int, seed: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """Fit the paths of one weighting and their surrogates, by variable name."""
    fit, n_samples = jpca(reduced.paths), len(reduced.paths)
    gaussian = matched_gaussian(reduced.paths)
    draws = [
        jpca(gaussian.draw(n_samples, np.random.default_rng([*seed, draw])))
        for draw in range(n_draws)
    ]
    plane = fit.planes[0]
    scores = reduced.paths @ plane.T
    in_plane, total = np.square(scores).sum(), np.square(reduced.paths).sum()
    of_reduced = ratio(np.asarray(in_plane), np.asarray(total))
    undefined = np.nan if np.isnan(fit.r2_free) else 1.0
    return {
        **_numbers(fit),
        "r2_skew_by_step": fit.r2_skew_by_step,
        "reduced_share": np.array(reduced.share),
        "jpc_share_of_reduced": np.array(of_reduced),
        "jpc_share": of_reduced * reduced.share,
        "jpc_loading": plane @ reduced.components * undefined,
        "jpc_score": scores.astype(np.float32),
        **{
            f"null_{name}": np.stack([_numbers(draw)[name] for draw in draws])
            for name in _numbers(fit)
        },
    }


def _numbers(fit: RotationFit) -> dict[str, NDArray[Any]]:
    """Statistics of a fit that its surrogates have as well."""
    undefined = np.nan if np.isnan(fit.r2_free) else 1.0
    return {
        "r2_free": np.array(fit.r2_free),
        "r2_skew": np.array(fit.r2_skew),
        "r2_ratio": np.array(fit.r2_ratio),
        "frequency": fit.frequency * undefined,
    }


def tangling_statistics(
    reduced: ReducedPaths, chosen: NDArray[np.int64], n_draws: int, seed: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """Tangling of the paths of states, of their mean and of their surrogates, by variable name."""
    gaussian, n_samples = matched_gaussian(reduced.paths), len(reduced.paths)
    drawn = np.empty((n_draws, reduced.paths.shape[1] - 1))
    for draw in range(n_draws):
        surrogate = gaussian.draw(n_samples, np.random.default_rng([*seed, draw]))[chosen]
        drawn[draw] = tangling_of(surrogate, SOFTENING).mean(axis=0)
    return {
        "tangling": tangling_of(reduced.paths[chosen], SOFTENING),
        "mean_path_tangling": tangling_of(reduced.paths.mean(axis=0), SOFTENING),
        "tangling_share": np.array(reduced.share),
        "null_tangling": drawn,
    }


def comparisons(arrays: Mapping[str, NDArray[Any]]) -> tuple[list[str], dict[str, Floats]]:
    """Compare each statistic with its surrogates: names, and arrays `(statistic)` by variable."""
    rows: list[tuple[str, float, Floats, Direction]] = []
    for index, weighting in enumerate(WEIGHTINGS):
        for name in ("r2_ratio", "r2_skew"):
            draws = arrays[f"null_{name}"][index]
            rows.append((f"{name}, {weighting}", arrays[name][index], draws, "greater"))
        fastest = arrays["null_frequency"][index, :, 0]
        rows.append((f"frequency, {weighting}", arrays["frequency"][index, 0], fastest, "greater"))
    mean_tangling = arrays["null_tangling"].mean(axis=1)
    rows.append(("tangling", arrays["tangling"].mean(), mean_tangling, "less"))
    means = np.array([draws.mean() for _, _, draws, _ in rows])
    deviations = np.array([draws.std(ddof=1) for _, _, draws, _ in rows])
    observed = np.array([value for _, value, _, _ in rows])
    scatter = np.where(deviations > ROUNDING * np.abs(means), deviations, 0.0)
    return [name for name, *_ in rows], {
        "observed": observed,
        "null_mean": means,
        "null_sd": deviations,
        "p": np.array(
            [
                monte_carlo_p(value, draws, direction=direction)
                for _, value, draws, direction in rows
            ]
        ),
        "effect": ratio(observed - means, scatter),
    }

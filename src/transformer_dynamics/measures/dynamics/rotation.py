"""Rotation of the samples' paths over depth, beside surrogates that are as smooth.

The deviations of the samples from their mean at each site, reduced by PCA to six dimensions, are
fitted by one linear map and by one pure rotation (see `jpca`); the ratio of the two R^2 is 1 for
pure rotation and 0 for pure growth or decay. Twice, since the two differ hugely:

    as recorded              the last sites, whose variance is the largest, decide
    sites of equal variance  deviations over the root of the site's variance, so that each site
                             counts alike and growth of the whole cloud is left out

Tangling (see `tangling`) is that of the states themselves, mean path included, in the space of six
principal components of all samples and sites. It is pooled: the maximum runs over all steps of 64
samples, since one field of flow would have to hold for all of them. The mean path's, over its own
steps, is given beside it; it has no null, since the surrogates keep the mean path.

A smooth process in few dimensions turns by chance. Each statistic stands beside 20 surrogates
drawn in the same reduced space, Gaussian with the same mean path and, in expectation, the same
covariance across sites and across dimensions (`inference.matched_gaussian`, as in the null
`covariance_matched`): p = (1 + #{surrogates at least as extreme}) / (1 + 20), above for rotation,
below for tangling, so never less than 1/21; effect in standard deviations of the surrogates.

Sources: Churchland et al. 2012 (jPCA), Russo et al. 2018 (tangling), Elsayed and Cunningham 2017
(surrogates). Both weightings and midpoints: ours.

Cost, for N samples, S sites, D units: 2 N S D^2 for the covariances, a site in float64 at a time;
per surrogate N S of small products and (64 S)^2 for tangling.

Not handled: rotation in more than one map (every layer has its own; `r2_skew_by_step` shows where
the one map fits, and that may be at few steps), variance beyond the six dimensions, whose share is
reported, and outliers: the maximum in Q grows with them, and Gaussian surrogates have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dynamics.jpca import RotationFit, jpca
from transformer_dynamics.measures.dynamics.tangling import SOFTENING, tangling_of
from transformer_dynamics.nulls.matched_gaussian import matched_gaussian
from transformer_dynamics.numerics.arrays import Floats, ratio, site_states, warn_undefined
from transformer_dynamics.numerics.principal_axes import leading_axes, require_finite
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.stats.significance import Direction, monte_carlo_p
from transformer_dynamics.storage.attributes import STREAM

WEIGHTINGS = ("as recorded", "sites of equal variance")
# Surrogates that differ from each other by less than this over their mean differ by rounding.
ROUNDING = 1e-9

SHARE = {"units": "1", "denominator": "sum of squared steps in the reduced space"}
RADIANS = {"units": "rad per step", "definition": "2 arctan(w/2), +-i w: eigenvalues of M"}
OF_STATISTIC = {"units": "those of the variable that the statistic is named after"}
DRAWS = {"pooling": "one value per surrogate"}
Q = {
    "units": "1 per step^2",
    "definition": "max over t' of |dx - dx'|^2 / (|x - x'|^2 + eps), x at midpoints of steps",
    "denominator": f"eps = {SOFTENING} x variance of the points about their mean",
}
# Dimensions and attrs of what `rotation` returns.
VARIABLES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "r2_free": (("weighting",), {**SHARE, "definition": "explained by dx = M y, any M"}),
    "r2_skew": (("weighting",), {**SHARE, "definition": "explained by dx = M y, M^T = -M"}),
    "r2_ratio": (("weighting",), {"units": "1", "definition": "r2_skew / r2_free"}),
    "r2_skew_by_step": (
        ("weighting", "step"),
        {"units": "1", "denominator": "sum of squares of that step", "definition": "the one M"},
    ),
    "frequency": (("weighting", "plane"), {**RADIANS, "order": "falling"}),
    "reduced_share": (
        ("weighting",),
        {"units": "1", "denominator": "variance about the site means, all units, same weighting"},
    ),
    "jpc_share": (
        ("weighting",),
        {
            "units": "1",
            "denominator": "variance about the site means, all units, same weighting",
            "definition": "held by the plane that turns fastest",
        },
    ),
    "jpc_share_of_reduced": (
        ("weighting",),
        {"units": "1", "denominator": "variance in the reduced space, same weighting"},
    ),
    "jpc_loading": (("weighting", "jpc", "unit"), {"units": "1", "definition": "unit vectors"}),
    "jpc_score": (
        ("weighting", "sample", "site", "jpc"),
        {"units": f"{STREAM}; standard deviations of the site where those are made equal"},
    ),
    "tangling": (
        ("tangled_sample", "step"),
        {**Q, "pooling": "maximum over the steps of all these samples"},
    ),
    "mean_path_tangling": (
        ("step",),
        {**Q, "pooling": "mean over samples first; maximum over the steps of that one path"},
    ),
    "tangling_share": (
        (),
        {"units": "1", "denominator": "variance of all states about one mean; what Q is taken in"},
    ),
    "null_r2_free": (("weighting", "draw"), {**SHARE, **DRAWS}),
    "null_r2_skew": (("weighting", "draw"), {**SHARE, **DRAWS}),
    "null_r2_ratio": (("weighting", "draw"), {"units": "1", **DRAWS}),
    "null_frequency": (("weighting", "draw", "plane"), {**RADIANS, **DRAWS}),
    "null_tangling": (("draw", "step"), {**Q, "pooling": "mean over the tangled samples"}),
    "observed": (("statistic",), OF_STATISTIC),
    "null_mean": (("statistic",), {**OF_STATISTIC, "pooling": "mean over surrogates"}),
    "null_sd": (("statistic",), {**OF_STATISTIC, "denominator": "surrogates - 1"}),
    "p": (("statistic",), {"units": "1", "definition": "(1 + #{as extreme}) / (1 + surrogates)"}),
    "effect": (("statistic",), {"units": "standard deviations of the surrogates"}),
}
# Samples that fit into memory with room to spare, and more than the numbers below need.
N_SAMPLES = 4096


@dataclass(frozen=True)
class _Reduced:
    """Paths in a few dimensions: axes `(component, unit)`, their share, `(sample, site, axis)`."""

    components: Floats
    share: float
    paths: Floats


def _site_moments(recording: Recording) -> tuple[Floats, Floats]:
    """Mean `(site, unit)` and variance over samples summed over units `(site)`."""
    n_samples, n_sites, n_units = recording.shape
    first: Floats | None = None
    offset, squares = np.zeros((n_sites, n_units)), np.zeros(n_sites)
    with np.errstate(invalid="ignore", over="ignore"):
        for _, values in recording.blocks():
            if first is None:
                first = values[0].astype(np.float64)
            for site, states in enumerate(site_states(values)):
                # From the first sample on: samples that agree deviate by exactly zero.
                states -= first[site]
                offset[site] += states.sum(axis=0)
                squares[site] += np.vdot(states, states)
    assert first is not None  # a recording has a sample
    require_finite(offset)
    offset /= n_samples
    variance = squares / n_samples - np.einsum("su,su->s", offset, offset)
    return first + offset, np.where(squares > 0, np.maximum(variance, 0.0), 0.0)


def _reduce(recording: Recording, n_components: int) -> list[_Reduced]:
    """Deviations as recorded and over each site's spread, and the states, each in its axes."""
    n_samples, n_sites, n_units = recording.shape
    mean, variance = _site_moments(recording)
    scale = 1 / np.sqrt(np.where(variance > 0, variance, np.inf))
    recorded, equal = np.zeros((2, n_units, n_units))
    for _, values in recording.blocks():
        for site, states in enumerate(site_states(values)):
            states -= mean[site]
            products = states.T @ states
            recorded += products
            equal += products * scale[site] ** 2
    between = mean - mean.mean(axis=0)
    covariances = [recorded, equal, recorded + n_samples * between.T @ between]
    origin = np.zeros(n_units)
    axes = [leading_axes(matrix, origin, n_components) for matrix in covariances]
    basis = np.concatenate([found.components for found in axes])
    scores = np.empty((n_samples, n_sites, len(basis)))
    for rows, values in recording.blocks():
        for site, states in enumerate(site_states(values)):
            states -= mean[site]
            scores[rows, site] = states @ basis.T
    recorded_paths, equal_paths, state_paths = np.split(scores, 3, axis=2)
    equal_paths *= scale[:, np.newaxis]
    state_paths += between @ axes[2].components.T
    return [
        _Reduced(
            found.components,
            float(ratio(np.asarray(found.variance.sum()), np.asarray(found.total_variance))),
            np.ascontiguousarray(paths),
        )
        for found, paths in zip(axes, (recorded_paths, equal_paths, state_paths), strict=True)
    ]


def _of_weighting(
    reduced: _Reduced, n_draws: int, seed: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """Fit of the paths and of their surrogates."""
    fit, n_samples = jpca(reduced.paths), len(reduced.paths)
    gaussian = matched_gaussian(reduced.paths)
    draws = [
        jpca(gaussian.draw(n_samples, np.random.default_rng([*seed, draw])))
        for draw in range(n_draws)
    ]
    plane = fit.planes[0]
    scores = reduced.paths @ plane.T
    held, whole = np.square(scores).sum(), np.square(reduced.paths).sum()
    of_reduced = ratio(np.asarray(held), np.asarray(whole))
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
    undefined = np.nan if np.isnan(fit.r2_free) else 1.0
    return {
        "r2_free": np.array(fit.r2_free),
        "r2_skew": np.array(fit.r2_skew),
        "r2_ratio": np.array(fit.r2_ratio),
        "frequency": fit.frequency * undefined,
    }


def _tangling(
    reduced: _Reduced, chosen: NDArray[np.int64], n_draws: int, seed: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """Tangling of the states' paths, of their mean and of their surrogates."""
    gaussian, n_samples = matched_gaussian(reduced.paths), len(reduced.paths)
    drawn = np.empty((n_draws, reduced.paths.shape[1] - 1))
    for draw in range(n_draws):
        surrogate = gaussian.draw(n_samples, np.random.default_rng([*seed, draw]))
        drawn[draw] = tangling_of(surrogate[chosen], SOFTENING).mean(axis=0)
    return {
        "tangling": tangling_of(reduced.paths[chosen], SOFTENING),
        "mean_path_tangling": tangling_of(reduced.paths.mean(axis=0), SOFTENING),
        "tangling_share": np.array(reduced.share),
        "null_tangling": drawn,
    }


def _compared(arrays: Mapping[str, NDArray[Any]]) -> tuple[list[str], dict[str, Floats]]:
    """Each statistic against its surrogates: names, and arrays `(statistic)`."""
    rows: list[tuple[str, float, Floats, Direction]] = []
    for place, weighting in enumerate(WEIGHTINGS):
        for name in ("r2_ratio", "r2_skew"):
            draws = arrays[f"null_{name}"][place]
            rows.append((f"{name}, {weighting}", arrays[name][place], draws, "greater"))
        fastest = arrays["null_frequency"][place, :, 0]
        rows.append((f"frequency, {weighting}", arrays["frequency"][place, 0], fastest, "greater"))
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
            [monte_carlo_p(value, draws, direction=way) for _, value, draws, way in rows]
        ),
        "effect": ratio(observed - means, scatter),
    }


def _require_options(recording: Recording, n_components: int, n_draws: int, n_tangled: int) -> None:
    _, n_sites, n_units = recording.shape
    if n_sites < 2 or n_units < 2:
        raise InputError(
            f"got {n_sites} sites and {n_units} units; rotation takes at least two of each: "
            "rotation(Recording.from_array(values)) of the whole stream"
        )
    if n_components < 2 or n_draws < 2 or n_tangled < 1:
        raise InputError(
            f"got n_components={n_components}, n_draws={n_draws}, n_tangled={n_tangled}; a plane "
            "has two dimensions, a spread takes two surrogates: "
            "rotation(recording, n_components=6, n_draws=20, n_tangled=64)"
        )


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
    """Share of the motion that is rotation, and tangling of the paths, beside their surrogates.

    Args:
        recording: the states.
        n_components: dimensions to reduce them to, at most the number of units.
        n_draws: surrogates.
        n_tangled: samples, at most, whose steps are searched for the tangling of each.
        n_samples: at most so many samples, a choice by `seed`: pairs of sites need them in memory.
        seed: of the choice, of the surrogates and of which samples these are.

    Returns:
        Along `weighting` (as recorded, sites of equal variance): `r2_free`, `r2_skew`, `r2_ratio`;
        `frequency` `(plane)` in radians per step, fastest first; `r2_skew_by_step` `(step)`; the
        first jPC plane `jpc_loading` `(jpc, unit)`, its scores `jpc_score` `(sample, site, jpc)`,
        float32, and the variance it holds, `jpc_share`, `jpc_share_of_reduced`, beside
        `reduced_share`.
        `tangling` `(tangled_sample, step)`, `mean_path_tangling` `(step)`, per squared step, in a
        space that holds `tangling_share` of the variance. Surrogates as `null_...` along `draw`.
        Along `statistic`: `observed`, `null_mean`, `null_sd`, `p`, `effect`. NaN, with one
        `UndefinedWarning`, where nothing moves, samples agree, or surrogates do not differ.

    Raises:
        InputError: fewer than two sites or units, an option is out of range, or states are not
            finite.

    >>> from transformer_dynamics.nulls import synthetic
    >>> result = rotation(synthetic.rotation(n_sites=21, n_units=6))
    >>> result["r2_ratio"].values.round(6), result["frequency"].values[0].round(3)
    (array([1., 1.]), array([0.628, 0.628, 0.628]))
    """
    _require_options(recording, n_components, n_draws, n_tangled)
    recording = recording.sampled(n_samples, seed=seed)
    n_there, _, n_units = recording.shape
    *weighted, states = _reduce(recording, min(n_components, n_units))
    parts = [_of_weighting(part, n_draws, (seed, place)) for place, part in enumerate(weighted)]
    arrays = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    order = np.random.default_rng(seed).permutation(n_there)[:n_tangled]
    chosen = np.sort(order).astype(np.int64)
    arrays |= _tangling(states, chosen, n_draws, (seed, len(parts)))
    names, compared = _compared(arrays)
    arrays |= compared
    checked = ("r2_ratio", "frequency", "r2_skew_by_step", "tangling", "effect")
    warn_undefined(
        {name: arrays[name] for name in checked},
        "nothing moves, samples agree, or the surrogates do not differ from each other",
        stacklevel=3,
    )
    return xr.Dataset(
        {name: (VARIABLES[name][0], array, VARIABLES[name][1]) for name, array in arrays.items()},
        coords={
            **recording.site_coords,
            **recording.step_coords,
            "weighting": list(WEIGHTINGS),
            "statistic": names,
            "tangled_sample": chosen,
            "plane": np.arange(1, arrays["frequency"].shape[1] + 1),
            "jpc": [1, 2],
        },
    )

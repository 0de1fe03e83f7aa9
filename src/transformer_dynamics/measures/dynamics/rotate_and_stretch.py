"""The rotate-and-stretch law: later states by the singular vectors and values of all, plus noise.

With X(t) = U(t) Sigma(t) V(t)' the uncentered states of site t over samples, the law reads

    x(t + tau) = U(t + tau) diag(sigma(t + tau)/sigma(t)) U(t)' x(t) + w
    w isotropic and Gaussian, variance of each unit alpha exp(lambda (t + tau))

alpha and lambda come from a straight line through ln variance against t + tau, over all pairs of
the lags given. Time is counted in layers where the sites belong to layers (half a layer per
sublayer, 0 the embedding), as in the paper, else in sites. The variance is that of one unit;
`geometric` averages its logarithm over units, as published, `arithmetic` the variance itself.

**What the law implies by itself.** In sample and at full rank the prediction is U(t+tau)
Sigma(t+tau) V(t)', so with c_i the cosine over samples of the i-th components of the two sites

    explained square = sum sigma_i^2 (2 c_i - 1) / sum sigma_i^2,    sigma_i of the later site

Where the components matched do not belong together (c_i = 0) the residual has twice the energy of
the later state, whatever t: its variance then depends on t + tau alone and grows as the states do.
An exponential residual is therefore no evidence for the law; `state_lambda` is the growth of the
states' own variance about their mean. The law's worth is what it explains beyond standing still,
scaled (see `law_residuals`).

Fits: `published`, all samples give the bases and are scored, full rank, i-th matched with i-th;
`held_out`, half of the texts give them and the other half is scored, rank limited to a quarter of
the samples that give them (a sample's own share of the small singular vectors is not the law's);
`followed`, the same with vectors followed by overlap (see `singular_bases`). What lies beyond the
rank is predicted as 0.

Intervals: 95 %, bootstrap over texts with the bases held fixed; they do not cover that the law is
wrong, nor errors of the bases, which make alpha too large where few texts give them (simulated law
of 8 units: held out by 55 % at 120 texts, 6 % at 512, 1 % at 1000; in sample by 3 % at most).

Source: arXiv 2410.01545 (GPT-2 medium, layers as time, without the embedding: alpha 0.64, lambda
0.18; Llama 2 7B: lambda 0.27); held-out scoring and baselines: ours. Cost: per pair N^2 D and
N K D. Not handled: the Langevin equation in continuous time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dynamics.rotate_and_stretch_fit import (
    AVERAGES,
    MOST_AGREED,
    PREDICTORS,
    SHAPES,
    FittedLaw,
    PairStatistics,
    isotropic_references,
)
from transformer_dynamics.measures.dynamics.rotate_and_stretch_growth import (
    growth_fit,
    layer_times,
    state_growth,
)
from transformer_dynamics.measures.dynamics.singular_bases import Matching
from transformer_dynamics.numerics.arrays import Floats, require_sites, warn_undefined
from transformer_dynamics.numerics.splits import text_folds
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights

FITS: dict[str, Matching] = {"published": "order", "held_out": "order", "followed": "followed"}
LAGS = (1, 2, 4, 8, 16, 32)
N_BOOTSTRAP = 199
SHARE = {"units": "1", "denominator": "sum over samples of |x(t + tau)|^2"}
CENTERED = {"units": "1", "denominator": "variance of x(t + tau) about its training mean"}
LOG = {"units": "ln(stream units^2)", "definition": "variance of one unit's residual over samples"}
SHAPE_ATTRS = {
    "excess_kurtosis": {"units": "1", "definition": "per unit, unbiased, mean over units"},
    "normal_distance": {
        "units": "1",
        "definition": "Kolmogorov distance to a normal distribution, units standardized and pooled",
    },
    "participation": {"units": "1", "definition": "(tr C)^2 / tr C^2 over the number of units"},
    "largest_eigenvalue": {"units": "1", "denominator": "mean eigenvalue of C"},
}
# Samples that fit into memory with room to spare, and more than the numbers below need.
N_SAMPLES = 4096


class _Gathered:
    """Statistics of all pairs of one fit, NaN where a lag reaches before the first site."""

    def __init__(self, lags: Sequence[int], n_sites: int, n_draws: int) -> None:
        shape = (len(lags), n_sites)
        self.square, self.variance = np.full((2, *shape, len(PREDICTORS)), np.nan)
        self.log_variance = np.full((*shape, len(AVERAGES)), np.nan)
        self.drawn = np.full((*shape, n_draws, len(AVERAGES)), np.nan)
        self.shape = np.full((*shape, len(SHAPES)), np.nan)
        self.agreement = np.full((*shape, MOST_AGREED), np.nan)

    def put(self, place: tuple[int, int], found: PairStatistics) -> None:
        for name in ("square", "variance", "log_variance", "drawn", "shape"):
            getattr(self, name)[place] = getattr(found, name)
        self.agreement[place][: found.agreement.size] = found.agreement


def _measured(
    recording: Recording, fit: str, lags: Sequence[int], n_components: int | None, seed: int
) -> tuple[_Gathered, dict[str, int]]:
    """Statistics of all pairs, and how many samples and components they rest on."""
    n_samples, n_sites, n_units = recording.shape
    training = scored = np.ones(n_samples, dtype=bool)
    most = min(n_samples, n_units)
    if fit != "published":
        training = text_folds(recording.groups, 2, seed=seed) == 0
        scored = ~training
        most = max(1, min(int(training.sum()) // 4, n_units))
    gathered = _Gathered(lags, n_sites, N_BOOTSTRAP)
    counts = {"scored_samples": int(scored.sum()), "components": 0}
    if min(int(training.sum()), int(scored.sum())) < 2:
        return gathered, counts
    law = FittedLaw(
        recording.values,
        training,
        scored,
        n_components=min(most, n_components or most),
        matching=FITS[fit],
    )
    weights = text_weights(recording.groups[scored], N_BOOTSTRAP, seed=seed)
    for row, lag in enumerate(lags):
        for after in range(lag, n_sites):
            gathered.put((row, after), law.pair(after - lag, after, weights))
    return gathered, {**counts, "components": law.bases[-1].values.size}


def _growth(gathered: _Gathered, times: Floats) -> dict[str, Floats]:
    """Alpha and lambda with intervals, over all pairs `(average)` and lag by lag `(average, lag)`.

    Bands lie along a last axis `(low, high)`.
    """
    whole = np.broadcast_to(times, gathered.log_variance.shape[:2])
    logs, drawn = gathered.log_variance, np.moveaxis(gathered.drawn, -1, 0)
    flat = logs.reshape(-1, len(AVERAGES)).T
    alpha, growth, share = growth_fit(whole.ravel(), flat)
    draws = drawn.reshape(len(AVERAGES), -1, drawn.shape[-1])
    bands = growth_fit(whole.ravel(), np.moveaxis(draws, 1, 2))
    by_lag = [growth_fit(times, logs[row].T) for row in range(len(logs))]
    ends = [np.stack(percentile_interval(band.T), axis=-1) for band in bands[:2]]
    return {
        "alpha": alpha,
        "lambda": growth,
        "line_share": share,
        "alpha_by_lag": np.stack([each[0] for each in by_lag], axis=-1),
        "lambda_by_lag": np.stack([each[1] for each in by_lag], axis=-1),
        "alpha_interval": ends[0],
        "lambda_interval": ends[1],
    }


@measure(
    "dynamics.rotate_and_stretch",
    title="Rotate-and-stretch law with a growing residual",
    source="arXiv 2410.01545; baselines and held-out scoring: ours",
)
def rotate_and_stretch(
    recording: Recording,
    *,
    lags: Sequence[int] = LAGS,
    n_components: int | None = None,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
) -> xr.Dataset:
    """Fit of the rotate-and-stretch law, and its residuals.

    Args:
        recording: the states. The paper leaves out the embedding:
            `recording.isel(site=slice(1, None))`.
        lags: tau, in sites; those that the recording has sites for.
        n_components: singular vectors at most; by default all in sample, and a quarter of the
            samples that give them where others are scored.
        n_samples: at most so many samples, a choice by `seed`: pairs of sites need them in memory.
        seed: of the choice, of the halves and of the bootstrap.

    Returns:
        Along `fit` (`published`, `held_out`, `followed`), `lag` and `site`, the later site of a
        pair, NaN where a lag reaches before the first: `explained_square` and `explained_variance`
        (also along `predictor`), `log_variance` (along `average`), `excess_kurtosis`,
        `normal_distance`, `participation`, `largest_eigenvalue`; `agreement` `(fit, lag,
        component)`, the cosine over samples of a component at two sites, mean over pairs. `alpha`,
        `lambda` `(fit, average)` over all pairs with `alpha_interval`, `lambda_interval` along
        `end`, `line_share`, the share of ln variance that the line explains, and `alpha_by_lag`,
        `lambda_by_lag`. `state_log_variance` `(site, average)`, `state_lambda` `(average)`.
        `isotropic_participation`, `isotropic_eigenvalue` `(fit)`: of isotropic noise with as many
        samples. NaN, with one `UndefinedWarning`, where there is no residual, or too few texts.

    Raises:
        InputError: fewer than two sites, or numbers that are too small.
    """
    recording = recording.sampled(n_samples, seed=seed)
    require_sites(recording.values, 2)
    if min(lags, default=0) < 1 or (n_components is not None and n_components < 1):
        raise InputError(
            f"got lags={tuple(lags)}, n_components={n_components}; they are at least 1: "
            "rotate_and_stretch(recording, lags=(1, 2, 4))"
        )
    present = [lag for lag in sorted(set(lags)) if lag < recording.shape[1]]
    times = layer_times(recording)
    fits = {fit: _measured(recording, fit, present, n_components, seed) for fit in FITS}
    states, own_growth = state_growth(recording, times)
    parts = [
        _dataset(gathered, counts, times, recording.shape[2]) for gathered, counts in fits.values()
    ]
    names = xr.DataArray(np.array(list(fits), dtype=object), dims="fit", name="fit")
    result: xr.Dataset = xr.concat(parts, names)
    unit = "layer" if times[-1] != len(times) - 1 else "site"
    result = result.assign(
        state_log_variance=(("site", "average"), states, {**LOG, "definition": "of the states"}),
        state_lambda=("average", own_growth, {"units": f"1 per {unit}"}),
        time=("site", times, {"units": unit}),
    ).assign_coords(
        **recording.site_coords,
        lag=present,
        predictor=np.array(PREDICTORS, dtype=object),
        average=np.array(AVERAGES, dtype=object),
        component=np.arange(1, MOST_AGREED + 1),
        end=["low", "high"],
    )
    _warn(result)
    for name in ("lambda", "lambda_by_lag", "lambda_interval"):
        result[name].attrs["units"] = f"1 per {unit}"
    return result.assign_attrs(time=f"{unit}s, the first site at 0")


def _warn(result: xr.Dataset) -> None:
    """One warning of what is undefined; pairs before the first site and short fits are expected."""
    inside = np.arange(result.sizes["site"]) >= result["lag"].values[:, np.newaxis]
    laws = ("alpha", "lambda", "alpha_interval", "lambda_interval")
    undefined = {name: result[name].values for name in laws}
    undefined |= {name: result[name].values[:, inside] for name in SHAPES}
    warn_undefined(
        undefined, "the law leaves no residual, or sites or texts are too few", stacklevel=4
    )


def _dataset(
    gathered: _Gathered, counts: dict[str, int], times: Floats, n_units: int
) -> xr.Dataset:
    """The variables of one fit."""
    pair = ("lag", "site")
    growth = _growth(gathered, times)
    participation, eigenvalue = isotropic_references(counts["scored_samples"], n_units)
    some = np.isfinite(gathered.agreement).any(axis=1)
    total = np.nansum(gathered.agreement, axis=1)
    mean = total / np.where(some, np.isfinite(gathered.agreement).sum(axis=1), np.nan)
    squared = {"units": "stream units^2", "definition": "variance of one unit at time 0"}
    variables: dict[str, Any] = {
        "explained_square": ((*pair, "predictor"), gathered.square, SHARE),
        "explained_variance": ((*pair, "predictor"), gathered.variance, CENTERED),
        "log_variance": ((*pair, "average"), gathered.log_variance, LOG),
        "agreement": (("lag", "component"), mean, {"units": "1", "pooling": "mean over pairs"}),
        "alpha": ("average", growth["alpha"], squared),
        "lambda": ("average", growth["lambda"], {}),
        "line_share": ("average", growth["line_share"], {"units": "1"}),
        "alpha_by_lag": (("average", "lag"), growth["alpha_by_lag"], squared),
        "lambda_by_lag": (("average", "lag"), growth["lambda_by_lag"], {}),
        "alpha_interval": (("average", "end"), growth["alpha_interval"], squared),
        "lambda_interval": (("average", "end"), growth["lambda_interval"], {}),
        "isotropic_participation": ((), participation, {"units": "1"}),
        "isotropic_eigenvalue": ((), eigenvalue, {"units": "1"}),
        "n_components": ((), counts["components"], {"units": "1"}),
    }
    for place, name in enumerate(SHAPES):
        variables[name] = (pair, gathered.shape[..., place], SHAPE_ATTRS[name])
    return xr.Dataset(variables)

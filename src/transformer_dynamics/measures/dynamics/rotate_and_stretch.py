"""The rotate-and-stretch law: later states by singular vectors and values, plus growing noise.

With X(t) = U(t) Sigma(t) V(t)' the uncentered states of site t over samples, the law reads

    x(t + tau) = U(t + tau) diag(sigma(t + tau)/sigma(t)) U(t)' x(t) + w
    w isotropic and Gaussian, variance of each unit alpha exp(lambda (t + tau))

An exponential residual is no evidence for the law, since states that grow give one even where no
components match; its value is the share that it explains beyond persistence and scaling. Source:
arXiv 2410.01545; held-out scoring and baselines: ours. Cost: per pair of sites N^2 D and N K D,
memory two sites and the bases of as many as the largest lag. Not handled: the Langevin equation in
continuous time. See docs/measures/dynamics.rotate_and_stretch.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dynamics.stretch.growth import layer_times, state_growth
from transformer_dynamics.measures.dynamics.stretch.law import MOST_AGREED, PREDICTORS
from transformer_dynamics.measures.dynamics.stretch.pairs import FITS, pair_statistics
from transformer_dynamics.measures.dynamics.stretch.residuals import AVERAGES, SHAPES
from transformer_dynamics.measures.dynamics.stretch.variables import LOG, fit_dataset
from transformer_dynamics.measures.dynamics.subsample import N_SAMPLES, subsample
from transformer_dynamics.numerics.arrays import Floats, require_sites, warn_undefined
from transformer_dynamics.numerics.by_site import by_site
from transformer_dynamics.numerics.parallel import map_in_threads
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

LAGS = (1, 2, 4, 8, 16, 32)


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
    """Fit the rotate-and-stretch law and describe its residuals.

    Args:
        recording: the states. The paper leaves out the embedding:
            `recording.isel(site=slice(1, None))`.
        lags: tau, in sites; lags that the recording is too short for are left out.
        n_components: largest number of singular vectors; by default all in sample, and a quarter
            of the training samples where others are scored.
        n_samples: largest number of samples; more are subsampled by `seed`, since pairs of sites
            are compared over all samples.
        seed: seed of the subsample, of the halves and of the bootstrap.

    Returns:
        Along `fit` (`published`, `held_out`, `followed`), `lag` and `site`, the later site of a
        pair, NaN where a lag reaches before the first: `explained_square` and `explained_variance`
        (also along `predictor`), `log_variance` (along `average`), `excess_kurtosis`,
        `normal_distance`, `participation`, `largest_eigenvalue`; `agreement` `(fit, lag,
        component)`, the cosine over samples of a component at two sites, mean over pairs. `alpha`,
        `lambda` `(fit, average)` over all pairs with `alpha_interval`, `lambda_interval` along
        `end`, `line_share`, the share of ln variance explained by the line, and `alpha_by_lag`,
        `lambda_by_lag`. `state_log_variance` `(site, average)`, `state_lambda` `(average)`.
        `isotropic_participation`, `isotropic_eigenvalue` `(fit)`: for isotropic noise with the
        same number of samples. NaN, with one `UndefinedWarning`, where there is no residual, or
        too few texts.

    Raises:
        InputError: fewer than two sites, or a lag or `n_components` below 1.
    """
    recording = subsample(recording, n_samples, seed=seed)
    require_sites(recording.activation.data, 2)
    if min(lags, default=0) < 1 or (n_components is not None and n_components < 1):
        raise InputError(
            f"got lags={tuple(lags)}, n_components={n_components}; they are at least 1: "
            "rotate_and_stretch(recording, lags=(1, 2, 4))"
        )
    present = [lag for lag in sorted(set(lags)) if lag < recording.shape[1]]
    parts, *variances = _fitted(recording, list(FITS), present, n_components, seed)
    names = xr.DataArray(np.array(list(FITS), dtype=object), dims="fit", name="fit")
    result = _with_states(xr.concat(parts, names), recording, *variances).assign_coords(
        **recording.site_coords,
        lag=present,
        predictor=np.array(PREDICTORS, dtype=object),
        average=np.array(AVERAGES, dtype=object),
        component=np.arange(1, MOST_AGREED + 1),
        end=["low", "high"],
    )
    _warn(result)
    return result


def published_growth(recording: Recording, *, lags: Sequence[int], seed: int = 0) -> xr.Dataset:
    """Growth of the residual in the published fit alone, a third of the work of all fits.

    Args:
        recording: the states.
        lags: see `rotate_and_stretch`.
        seed: seed of the bootstrap.

    Returns:
        The variables of `rotate_and_stretch` for `published`, without the dimension `fit`.
    """
    present = [lag for lag in sorted(set(lags)) if lag < recording.shape[1]]
    parts, *variances = _fitted(recording, ["published"], present, None, seed)
    result = _with_states(parts[0], recording, *variances)
    return result.assign_coords(average=np.array(AVERAGES, dtype=object))


def _fitted(
    recording: Recording, fits: Sequence[str], lags: Sequence[int], most: int | None, seed: int
) -> tuple[list[xr.Dataset], Floats, Floats]:
    """Variables of each fit; ln variance of the states themselves, and its growth."""
    groups, times = recording.groups, layer_times(recording)
    with by_site(recording) as states:

        def part(fit: str) -> xr.Dataset:
            pairs = pair_statistics(states, groups, fit, lags, n_components=most, seed=seed)
            return fit_dataset(*pairs, times, recording.shape[2])

        # States on disk may be many: the bases of one fit at a time.
        parts = map_in_threads(part, fits, n_threads=None if recording.in_memory else 1)
        return parts, *state_growth(states, times)


def _with_states(
    result: xr.Dataset, recording: Recording, logs: Floats, growth: Floats
) -> xr.Dataset:
    """Add the states' own variance and its growth, the times, and the units of time."""
    times = layer_times(recording)
    unit = "layer" if times[-1] != len(times) - 1 else "site"
    result = result.assign(
        state_log_variance=(("site", "average"), logs, {**LOG, "definition": "of the states"}),
        state_lambda=("average", growth, {"units": f"1 per {unit}"}),
        time=("site", times, {"units": unit}),
    )
    for name in ("lambda", "lambda_by_lag", "lambda_interval"):
        result[name].attrs["units"] = f"1 per {unit}"
    return result.assign_attrs(time=f"{unit}s, the first site at 0")


def _warn(result: xr.Dataset) -> None:
    """Warn once of undefined values, except those of pairs that reach before the first site."""
    inside = np.arange(result.sizes["site"]) >= result["lag"].values[:, np.newaxis]
    laws = ("alpha", "lambda", "alpha_interval", "lambda_interval")
    undefined = {name: result[name].values for name in laws}
    undefined |= {name: result[name].values[:, inside] for name in SHAPES}
    warn_undefined(
        undefined, "the law leaves no residual, or sites or texts are too few", stacklevel=4
    )

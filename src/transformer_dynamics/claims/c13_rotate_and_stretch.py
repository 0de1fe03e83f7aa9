"""C13: singular vectors and values predict how states rotate and stretch with depth.

Statistic: ln of the squared error of a scaled copy of the earlier states (standing still) over the
error of the rotate-and-stretch law, both about the mean path and within the later site's leading
singular vectors, on held-out texts; mean over pairs of sites by lag, mean over lags. Above 0 the
law predicts better. Source: arXiv 2410.01545; baseline and held-out scoring ours.
Fixed subsample: 128 texts fitted, 128 predicted, 9 evenly spaced sublayers, at most 32 vectors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.figures import null_series, statistic_intervals
from transformer_dynamics.claims.stretch_errors import Site, log_error_ratio
from transformer_dynamics.measures.dynamics.rotate_and_stretch import published_growth
from transformer_dynamics.measures.dynamics.singular_bases import singular_basis
from transformer_dynamics.nulls.random_walk import matched_walk
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.recording.recording import Recording

Indices = NDArray[np.int64]

N_SITES = 9
N_SIDE = 128
MOST_COMPONENTS = 32
NOTE_LAGS = (1, 4, 16)
N_NOTED = 256


def sides(recording: Recording) -> tuple[Indices, Indices]:
    """Indices of the fitted and of the predicted samples; texts alternate."""
    _, text = np.unique(recording.groups, return_inverse=True)
    first, second = np.flatnonzero(text % 2 == 0), np.flatnonzero(text % 2)
    return _subsampled(first, N_SIDE), _subsampled(second, N_SIDE)


def _subsampled(indices: Indices, most: int) -> Indices:
    """At most `most` of the indices, evenly spaced."""
    chosen = np.linspace(0, len(indices) - 1, min(most, len(indices))).round().astype(int)
    selected: Indices = indices[chosen]
    return selected


def chosen_sites(n_sites: int) -> Indices:
    """Indices of the evenly spaced sublayers that are compared."""
    return _subsampled(np.arange(n_sites), N_SITES)


def profile(recording: Recording, weights: Floats) -> Floats:
    """Ln of the error of standing still over the error of the law, `(draw, lag)`."""
    fitted, predicted = sides(recording)
    most = max(1, min(MOST_COMPONENTS, len(fitted) // 4))
    indices = chosen_sites(recording.shape[1])
    of_fitted, of_predicted = (
        recording.isel(sample=side, site=indices).values for side in (fitted, predicted)
    )
    sites = []
    for index in range(len(indices)):
        known = of_fitted[:, index].astype(np.float64)
        others = of_predicted[:, index].astype(np.float64)
        sites.append(Site(known, others, singular_basis(known, most)))
    drawn = weights[:, predicted]
    result = np.empty((len(weights), len(sites) - 1))
    for lag in range(1, len(sites)):
        pairs = zip(sites, sites[lag:], strict=False)
        ratios = [log_error_ratio(drawn, before, after) for before, after in pairs]
        result[:, lag - 1] = np.mean(ratios, axis=0)
    return result


def coords(recording: Recording) -> dict[str, object]:
    """Lags, in sublayers."""
    indices = chosen_sites(recording.shape[1])
    return {"lag": np.diff(indices).mean() * np.arange(1, len(indices))}


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Give alpha and lambda of the published fit, and the growth of the states themselves."""
    if not np.isfinite(float(evidence["statistic"])):
        return ""
    subsample = recording.isel(sample=_subsampled(np.arange(recording.shape[0]), N_NOTED))
    result = published_growth(subsample, lags=NOTE_LAGS)
    fit = result.sel(average="geometric")
    alpha, growth, unit = float(fit["alpha"]), float(fit["lambda"]), fit["time"].attrs["units"]
    low, high = fit["lambda_interval"].values
    first, last = fit["alpha_interval"].values
    return (
        f"In the published fit the residual's variance per unit is alpha exp(lambda t) with alpha "
        f"{alpha:.3g} ({first:.3g} to {last:.3g}) and lambda {growth:.3g} ({low:.3g} to "
        f"{high:.3g}) per {unit}; the line explains {float(fit['line_share']):.0%} of its "
        f"logarithm. The states' own variance grows by {float(fit['state_lambda']):.3g} per {unit} "
        f"(GPT-2 medium: 0.64 and 0.18 per layer)."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """The log ratio by lag with its nulls, and the statistic."""
    lag = evidence["lag"].values
    recording = Series(
        name="recording (95 % over texts)",
        x=lag,
        y=evidence["profile"].values,
        low=evidence["profile_low"].values,
        high=evidence["profile_high"].values,
    )
    even = Series(name="equal errors", x=lag, y=np.zeros(lag.size), role="reference")
    lines = Lines(
        title="Rotate-and-stretch law against standing still, on held-out texts",
        x_label="lag (sublayers)",
        y_label="ln(error standing still / error of the law), mean over pairs (1)",
        series=[recording, *null_series(evidence, lag), even],
        caption="Log ratio of prediction errors by lag; above zero the law predicts better.",
        interpretation=(
            "The law requires values above zero and above the random walk and the untrained twin."
        ),
    )
    return [lines, statistic_intervals(evidence, "ln of the ratio of errors, mean over lags (1)")]


def walk_that_is_read(recording: Recording) -> Callable[[int], Recording]:
    """Random walks of the samples and sites that the statistic reads, `seed -> recording`."""
    fitted, predicted = sides(recording)
    sites = chosen_sites(recording.shape[1])
    samples = np.concatenate([fitted, predicted])
    start = recording.isel(sample=samples, site=0).values[:, 0]
    walk = matched_walk(recording, start, sites=sites)
    read = Recording.from_array(
        recording.isel(sample=samples, site=sites).values,
        sites=[recording.sites[site] for site in sites],
        # Two texts, so that the sides stay as they are.
        coords={"text": np.repeat([0, 1], [len(fitted), len(predicted)])},
        provenance=recording.provenance,
    )
    return lambda seed: read.with_values(walk.draw(seed), null="random_walk", seed=seed)


CLAIM = Claim(
    id="C13",
    statement="Singular vectors and values predict how states rotate and stretch with depth.",
    statistic=(
        "ln of the squared error of scaled standing still over the error of the rotate-and-stretch "
        "law, held-out texts, about the mean path, mean over pairs of 9 evenly spaced sublayers by "
        "lag, mean over lags; at most 128 texts fitted and 128 predicted (1)"
    ),
    source=(
        "arXiv 2410.01545: the law holds in GPT-2 medium with a residual of variance 0.64 exp(0.18 "
        "t), t in layers, and fails in an untrained one"
    ),
    profile=profile,
    dims=("lag",),
    coords=coords,
    threshold=0.0,
    nulls={
        "random_walk": "keeps the recording's step sizes and covariances, and has no law of motion",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    quick_draws={"random_walk": walk_that_is_read},
    note=note,
    caveat=(
        "Growth of the residual does not decide: it follows the growth of the states' variance "
        "wherever the matched components are unrelated, in a random walk as well."
    ),
    draw=draw,
).register()

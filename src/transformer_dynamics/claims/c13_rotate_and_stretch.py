"""C13: the stream rotates and stretches as its singular vectors say, up to a growing residual.

arXiv 2410.01545 predicts later states from earlier ones by the singular vectors and values of all
texts' states, and finds a residual whose variance grows exponentially with depth. Such growth is no
evidence: a residual of matched but unrelated components has twice the variance of the later states,
and theirs grows in any stream whose norm grows, in a random walk with growing steps as well (see
`dynamics.rotate_and_stretch`). What no walk can do is to be predicted by the law better than by
standing still: the best prediction of a walk is where it stands.

Statistic: ln of the squared error of standing still, scaled, over that of the law, both about the
mean path and within the later site's leading singular vectors, on texts that neither was fitted to;
mean over pairs of sites by lag, mean over lags. Above 0 the law predicts better. The law is helped
where it may be: each component takes the sign that agrees best in training.

At most 128 texts give vectors, values and means and 128 others are predicted, at 9 evenly spaced
sublayers, with as many vectors as a quarter of the former, at most 32; vectors and texts' halves
are fixed, bootstrap draws weigh the predicted texts.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.figures import null_name, statistic_intervals
from transformer_dynamics.measures.dynamics.rotate_and_stretch import rotate_and_stretch
from transformer_dynamics.measures.dynamics.singular_bases import SingularBasis, singular_basis
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute

Places = NDArray[np.int64]

N_SITES = 9
N_SIDE = 128
MOST_COMPONENTS = 32
REMARK_LAGS = (1, 4, 16)
N_REMARKED = 256


def sides(recording: Recording) -> tuple[Places, Places]:
    """Places of the samples that are fitted to and of those that are predicted; texts alternate."""
    _, text = np.unique(recording.groups, return_inverse=True)
    first, second = np.flatnonzero(text % 2 == 0), np.flatnonzero(text % 2)
    return _strided(first, N_SIDE), _strided(second, N_SIDE)


def _strided(places: Places, most: int) -> Places:
    chosen = np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)
    selected: Places = places[chosen]
    return selected


def chosen_sites(n_sites: int) -> Places:
    """Places of the sublayers that are compared, evenly spaced."""
    return _strided(np.arange(n_sites), N_SITES)


def profile(recording: Recording, weights: Floats) -> Floats:
    """Ln of scaled standing still's error over the law's, mean over pairs, `(draw, lag)`."""
    fitted, predicted = sides(recording)
    places = chosen_sites(recording.shape[1])
    known = [recording.values[fitted, place].astype(np.float64) for place in places]
    others = [recording.values[predicted, place].astype(np.float64) for place in places]
    most = max(1, min(MOST_COMPONENTS, len(fitted) // 4))
    bases = [singular_basis(states, most) for states in known]
    drawn = weights[:, predicted]
    result = np.empty((len(weights), len(places) - 1))
    for lag in range(1, len(places)):
        ratios = [
            _log_ratio(
                drawn,
                (known[after - lag], known[after]),
                (others[after - lag], others[after]),
                (bases[after - lag], bases[after]),
            )
            for after in range(lag, len(places))
        ]
        result[:, lag - 1] = np.mean(ratios, axis=0)
    return result


def _log_ratio(
    weights: Floats,
    known: tuple[Floats, Floats],
    others: tuple[Floats, Floats],
    bases: tuple[SingularBasis, SingularBasis],
) -> Floats:
    """Ln of standing still's error over the law's in each draw, `(draw)`, of one pair of sites.

    Within the vectors that both sites have.

    Args:
        weights: of the predicted samples, `(draw, sample)`.
        known: states that are fitted to at the two sites, `(sample, unit)`.
        others: those that are predicted.
        bases: the bases of the two sites.
    """
    shared = min(basis.values.size for basis in bases)
    before, after = (basis.vectors[:, :shared] for basis in bases)
    stretch = bases[1].values[:shared] / bases[0].values[:shared]
    means = [states.mean(axis=0) for states in known]
    trained = [states - mean for states, mean in zip(known, means, strict=True)]
    scored = [states - mean for states, mean in zip(others, means, strict=True)]
    target = trained[1] @ after
    signs = np.where(((trained[0] @ before) * target).sum(axis=0) < 0, -1.0, 1.0)
    still = trained[0] @ after
    power = float(np.vdot(still, still))
    scale = float(np.vdot(still, target)) / power if power > 0 else 0.0
    there = scored[1] @ after
    law = there - (scored[0] @ before) * (stretch * signs)
    left = there - scale * (scored[0] @ after)
    of_law, of_still, whole = (np.einsum("nk,nk->n", part, part) for part in (law, left, there))
    floor = (4 * np.finfo(np.float32).eps) ** 2 * np.vdot(others[1], others[1]) / len(others[1])
    if whole.mean() <= floor:  # texts do not differ: nothing to predict
        return np.full(len(weights), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Errors below rounding count as rounding.
        ratio: Floats = np.log((weights @ (of_still + floor)) / (weights @ (of_law + floor)))
    return ratio


def summary(profile: Floats) -> Floats:
    """Mean over lags, `(draw)`."""
    mean: Floats = profile.mean(axis=-1)
    return mean


def coords(recording: Recording) -> dict[str, object]:
    """Lags, in sublayers."""
    places = chosen_sites(recording.shape[1])
    return {"lag": np.diff(places).mean() * np.arange(1, len(places))}


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Alpha and lambda as published, beside the growth of the states themselves."""
    if not np.isfinite(float(evidence["statistic"])):
        return ""
    some = recording.isel(sample=_strided(np.arange(recording.shape[0]), N_REMARKED))
    result = rotate_and_stretch(some, lags=REMARK_LAGS)
    one = result.sel(fit="published", average="geometric")
    alpha, growth, unit = float(one["alpha"]), float(one["lambda"]), one["time"].attrs["units"]
    low, high = one["lambda_interval"].values
    first, last = one["alpha_interval"].values
    return (
        f"Fitted as published, the residual's variance per unit is alpha exp(lambda t) with alpha "
        f"{alpha:.3g} ({first:.3g} to {last:.3g}) and lambda {growth:.3g} ({low:.3g} to "
        f"{high:.3g}) per {unit}; the line explains {float(one['line_share']):.0%} of its "
        f"logarithm. The states' own variance grows by {float(one['state_lambda']):.3g} per {unit} "
        f"(GPT-2 medium: 0.64 and 0.18 per layer)."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """The log ratio by lag beside its nulls, and the statistic against them."""
    lag = evidence["lag"].values
    series = [
        Series(
            name="recording (95 % over texts)",
            x=lag,
            y=evidence["profile"].values,
            low=evidence["profile_low"].values,
            high=evidence["profile_high"].values,
        )
    ]
    series += [
        Series(
            name=null_name(name),
            x=lag,
            y=evidence["null_profile"].sel(null=name).values,
            low=evidence["null_low"].sel(null=name).values,
            high=evidence["null_high"].sel(null=name).values,
            role="null",
            hidden=name not in attribute(evidence, "deciding"),
        )
        for name in evidence["null"].values
    ]
    even = Series(name="no better", x=lag, y=np.zeros(lag.size), role="reference")
    lines = Lines(
        title="The law against standing still, scaled, on held-out texts",
        x_label="lag (sublayers)",
        y_label="ln(error standing still / error of the law), mean over pairs (1)",
        series=[*series, even],
        caption="Above zero the law predicts later states better than standing still does.",
        interpretation=(
            "To say that the stream rotates and stretches, the recording must lie above zero and "
            "above the walk and the untrained twin."
        ),
    )
    return [lines, statistic_intervals(evidence, "ln of the ratio of errors, mean over lags (1)")]


CLAIM = Claim(
    id="C13",
    statement=(
        "The stream rotates and stretches over depth as the singular vectors and values of its "
        "states predict."
    ),
    statistic=(
        "ln of the squared error of scaled standing still over that of the rotate-and-stretch law, "
        "held-out texts, about the mean path, mean over pairs of 9 evenly spaced sublayers by lag, "
        "mean over lags; at most 128 texts fitted and 128 predicted (1)"
    ),
    source=(
        "arXiv 2410.01545: the law holds in GPT-2 medium with a residual of variance 0.64 exp(0.18 "
        "t), t in layers, and fails in an untrained one"
    ),
    profile=profile,
    summary=summary,
    dims=("lag",),
    coords=coords,
    threshold=0.0,
    nulls={
        "random_walk": "it has the recording's step sizes and covariances, and no law of motion",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    note=note,
    caveat=(
        "Growth of the residual does not decide: it follows the growth of the states' variance "
        "wherever matched components do not belong together, in a walk as well."
    ),
    draw=draw,
).register()

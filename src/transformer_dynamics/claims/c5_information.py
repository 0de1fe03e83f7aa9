"""C5: information about the past is lost early. C5-consecutive: the paper's own reading.

Statistic of C5: the share of a unit's variance at the second sublayer that its value at a quarter
of the depth predicts, r^2 of normal scores (Gaussian copula; the mutual information is
-ln(1 - r^2)/2), mean over units. A random walk of equal steps keeps 2/s at the s-th site.

Statistic of C5-consecutive: mutual information of a unit at consecutive sublayers at the first
step, minus its mean over the other steps of the first quarter. arXiv 2502.12131 reports 4.4 nats at
step 0 and about 1.0 by step 5, with an estimator whose value for near-discrete input reflects its
noise and not its entropy. The first sublayer is a function of the last token alone, so C5 starts
from the second.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.figures import profile_lines, statistic_intervals
from transformer_dynamics.measures.units.gaussian_information import (
    copula_information,
    copula_share,
)
from transformer_dynamics.numerics.arrays import Floats, defined_mean
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.recording.recording import Recording


def profile(recording: Recording, weights: Floats) -> Floats:
    """Share of a unit's variance at the second sublayer that each site predicts, `(draw, site)`."""
    return copula_share(recording.values, reference=1, weights=weights)


def summary(profile: Floats) -> Floats:
    """The share at a quarter of the depth, `(draw)`."""
    kept: Floats = profile[..., quarter(profile.shape[-1])]
    return kept


def quarter(n_sites: int) -> int:
    """Place of the site at a quarter of the depth, the third at least."""
    return max(2, n_sites // 4)


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """State where the shares are read."""
    place = quarter(recording.shape[1])
    return f"The share is that of {recording.sites[1]} at {recording.sites[place]}."


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Share kept by sublayer, and the statistic against its nulls."""
    return [
        profile_lines(
            evidence,
            title="Variance of units at the second sublayer predicted by others, mean over units",
            y_label="r² of normal scores (1)",
            along="site",
            caption="The share of a unit's early state that its later state still determines.",
            interpretation=(
                "The share would have to fall faster than in the matched walk, which loses it as "
                "unrelated steps are added, and than in the untrained network."
            ),
        ),
        statistic_intervals(evidence, "share kept at a quarter of the depth (1)"),
    ]


def consecutive_profile(recording: Recording, weights: Floats) -> Floats:
    """Mean information over units, `(draw, step)`, in nats."""
    return defined_mean(copula_information(recording.values, weights))


def consecutive_summary(profile: Floats) -> Floats:
    """First step minus the mean of the others in the first quarter of the steps, `(draw)`."""
    stop = max(2, profile.shape[-1] // 4 + 1)
    drop: Floats = profile[..., 0] - profile[..., 1:stop].mean(axis=-1)
    return drop


def consecutive_note(recording: Recording, evidence: xr.Dataset) -> str:
    """Give the number of distinct states of the first sublayer, which limit the first step."""
    n_samples = recording.shape[0]
    tokens = recording.dataset.get("token_id")
    if tokens is None:
        n_distinct = len(np.unique(recording.values[:, 0], axis=0))
        return f"The first sublayer holds {n_distinct} distinct states among {n_samples} samples."
    n_distinct = len(np.unique(tokens.values))
    return (
        f"The first sublayer is a function of the last token alone, of which there are "
        f"{n_distinct} distinct among {n_samples} samples."
    )


def draw_consecutive(evidence: xr.Dataset) -> list[Drawing]:
    """Information by step, and the statistic against its nulls."""
    return [
        profile_lines(
            evidence,
            title="Mutual information of a unit at consecutive sublayers, mean over units",
            y_label="Gaussian-copula mutual information (nats)",
            caption="Information that a unit's value at one sublayer gives about the next.",
            interpretation=(
                "The first step would have to carry more than the later ones, which the walk and "
                "the untrained network do not show."
            ),
        ),
        statistic_intervals(evidence, "information lost after the first step (nats)"),
    ]


CLAIM = Claim(
    id="C5",
    statement="Information about the past is lost early in depth.",
    statistic=(
        "share of a unit's variance at the second sublayer predicted by its value at a quarter of "
        "the depth, r^2 of normal scores, mean over units (1)"
    ),
    source="arXiv 2502.12131: mutual information falls from 4.4 nats to about 1.0 in five steps",
    profile=profile,
    summary=summary,
    dims=("site",),
    coords=lambda recording: recording.site_coords,
    threshold=0.5,
    direction="less",
    nulls={
        "random_walk": "it loses the past only as far as unrelated steps of the same size add up",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    note=note,
    draw=draw,
).register()
CONSECUTIVE = Claim(
    id="C5-consecutive",
    statement="Consecutive sublayers share more information at the first step than soon after.",
    statistic=(
        "Gaussian-copula mutual information of a unit at consecutive sublayers, mean over units, "
        "first step minus mean of the other steps in the first quarter (nats)"
    ),
    source="arXiv 2502.12131: 4.4 nats at step 0, about 1.0 by step 5, about 1.5 at the end",
    profile=consecutive_profile,
    summary=consecutive_summary,
    dims=("step",),
    coords=lambda recording: recording.step_coords,
    threshold=0.0,
    nulls={
        "random_walk": "it has the recording's step sizes, on which the information depends",
        "untrained": UNTRAINED,
    },
    shown={
        "permuted_samples": "it pairs states of different texts, which share no information at all",
        **SHUFFLED,
    },
    note=consecutive_note,
    caveat=(
        "This compares neighbors, not the past: information may fall from one step to the next "
        "while all of the past is kept, and the reverse. C5 tests the loss itself."
    ),
    draw=draw_consecutive,
).register()

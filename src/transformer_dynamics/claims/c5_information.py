"""C5: information about the past is lost early.

Statistic: mutual information of a unit at consecutive sublayers (Gaussian copula, nats, mean over
units) at the first step, minus its mean over the steps up to a quarter of the depth. arXiv
2502.12131 reports 4.4 nats at step 0 and about 1.0 by step 5, with an estimator whose value for
near-discrete input reflects its noise and not its entropy; and the first sublayer is a function
of the last token alone.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import Claim, Floats
from transformer_dynamics.claims.figures import profile_lines, statistic_intervals
from transformer_dynamics.drawing import Drawing
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.units.continuity import defined_mean
from transformer_dynamics.units.information import copula_information


def profile(recording: Recording, weights: Floats) -> Floats:
    """Mean information over units, `(draw, step)`, in nats."""
    return defined_mean(copula_information(recording.values, weights))


def summary(profile: Floats) -> Floats:
    """First step minus the mean of the others in the first quarter of the steps, `(draw)`."""
    stop = max(2, profile.shape[-1] // 4 + 1)
    drop: Floats = profile[..., 0] - profile[..., 1:stop].mean(axis=-1)
    return drop


def remark(recording: Recording, evidence: xr.Dataset) -> str:
    """How many distinct states the first sublayer has, on which the first step rests."""
    n_samples = recording.shape[0]
    tokens = recording.dataset.get("token_id")
    if tokens is None:
        n_distinct = len(np.unique(recording.values[:, 0], axis=0))
        return f"The first sublayer holds {n_distinct} distinct states among {n_samples} samples."
    n_distinct = len(np.unique(tokens.values))
    return (
        f"The first sublayer is a function of the last token alone, of which there are "
        f"{n_distinct} distinct among {n_samples} samples: read the first transitions with that in "
        "mind."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Information by step, and the statistic against its nulls."""
    return [
        profile_lines(
            evidence,
            title="Mutual information of a unit at consecutive sublayers, mean over units",
            y_label="Gaussian-copula mutual information (nats)",
            shows="How much a unit's value at one sublayer tells of its value at the next.",
            requires=(
                "The first steps would have to carry more than later ones, also where the first "
                "states take more than the few values that the last tokens allow."
            ),
        ),
        statistic_intervals(evidence, "information lost after the first step (nats)"),
    ]


CLAIM = Claim(
    id="C5",
    statement="Information about the past is lost early in depth.",
    statistic=(
        "Gaussian-copula mutual information of a unit at consecutive sublayers, mean over units, "
        "first step minus mean of the other steps in the first quarter (nats)"
    ),
    source="arXiv 2502.12131: 4.4 nats at step 0, about 1.0 by step 5, about 1.5 at the end",
    profile=profile,
    summary=summary,
    dims=("step",),
    coords=lambda recording: recording.step_coords,
    threshold=0.0,
    nulls=("random_walk", "permuted_samples", "untrained"),
    remark=remark,
    draw=draw,
).register()

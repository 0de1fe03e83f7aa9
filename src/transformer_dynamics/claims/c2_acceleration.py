"""C2: the stream accelerates over depth.

Statistic: least-squares slope of ln(mean speed) over steps. Speed is |x[s+1] - x[s]|, mean over
texts, of vectors that are not normalized.
Source: arXiv 2502.12131 (speeds from below 1 to about 24).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.curves import Curve
from transformer_dynamics.claims.drawn_nulls import draws_of
from transformer_dynamics.measures.paths.steps import speed
from transformer_dynamics.nulls.increment_surrogates import permuted_layers
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.blocks import per_sample
from transformer_dynamics.recording.recording import Recording


def profile(recording: Recording, weights: Floats) -> Floats:
    """Mean speed over texts, `(draw, step)`, in stream units per step."""
    return weights @ per_sample(recording, speed)


def summary(profile: Floats) -> Floats:
    """Slope of ln speed over the index of the step, `(draw)`; NaN where a mean speed is 0."""
    steps = np.arange(profile.shape[-1], dtype=np.float64)
    centered = steps - steps.mean()
    logarithm = np.log(np.where(profile > 0, profile, np.nan))
    slope: Floats = logarithm @ centered / (centered @ centered)
    return slope


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Give the speeds that the paper quotes: at the start, in the middle, at the end."""
    speeds = evidence["profile"].values
    middle = speeds[len(speeds) // 3 : 2 * len(speeds) // 3].mean()
    return (
        f"Mean speed is {speeds[0]:.3g} at the first step, {middle:.3g} in the middle third and "
        f"{speeds[-1]:.3g} at the last step, in stream units per step."
    )


def path_lengths(recording: Recording) -> Recording:
    """Length of the path up to each site, as a recording of one unit with the same speeds."""
    lengths = np.zeros(recording.shape[:2])
    lengths[:, 1:] = np.cumsum(per_sample(recording, speed), axis=1)
    return recording.isel(unit=[0]).with_values(lengths[..., np.newaxis])


CLAIM = Claim(
    id="C2",
    statement="The stream accelerates over depth.",
    statistic="least-squares slope of ln(mean speed over texts) over steps (per step)",
    source="arXiv 2502.12131: below 1 at the start, 2 to 5 in the middle, up to about 24",
    profile=profile,
    summary=summary,
    threshold=0.0,
    nulls={
        "permuted_layers": "keeps all updates and permutes their order, on which growth depends",
        "untrained": UNTRAINED,
    },
    shown={
        "random_walk": (
            "keeps the recording's own step sizes, which determine the growth of speed, so that no "
            "recording could exceed it"
        ),
        **SHUFFLED,
    },
    quick_draws={"permuted_layers": partial(draws_of, permuted_layers, path_lengths)},
    note=note,
    caveat=(
        "Growth of speed describes the size of the updates and not their direction: a random walk "
        "with the same step sizes accelerates as well."
    ),
    curve=Curve(
        title="Speed over depth, mean over texts",
        y_label="|x[s+1] - x[s]| (stream units per step)",
        statistic="slope of ln speed (per step)",
        y_scale="log",
        caption="Length of each step, mean over texts; exponential growth is a straight line.",
        interpretation=(
            "Acceleration by learning requires a steeper slope than updates in random order and "
            "than the untrained network, whose norm grows as well."
        ),
    ),
).register()

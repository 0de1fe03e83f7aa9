"""C2: the stream accelerates.

Statistic: slope of the logarithm of mean speed |x[s+1] - x[s]| over steps, by least squares.
Speed is the mean over texts of the norm; vectors are not normalized. arXiv 2502.12131 reports
speeds from below 1 to about 24.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.figures import profile_lines, statistic_intervals
from transformer_dynamics.measures.paths.steps import speed
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.recording.recording import Recording


def profile(recording: Recording, weights: Floats) -> Floats:
    """Mean speed over texts, `(draw, step)`, in stream units per step."""
    return weights @ speed(recording.values)


def summary(profile: Floats) -> Floats:
    """Slope of ln speed over the index of the step, `(draw)`; NaN where a mean speed is 0."""
    steps = np.arange(profile.shape[-1], dtype=np.float64)
    centered = steps - steps.mean()
    logarithm = np.log(np.where(profile > 0, profile, np.nan))
    slope: Floats = logarithm @ centered / (centered @ centered)
    return slope


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """The speeds that the paper quotes: at the start, in the middle, at the end."""
    speeds = evidence["profile"].values
    middle = speeds[len(speeds) // 3 : 2 * len(speeds) // 3].mean()
    return (
        f"Mean speed is {speeds[0]:.3g} at the first step, {middle:.3g} in the middle third and "
        f"{speeds[-1]:.3g} at the last, in stream units per step."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Speed by step, and the statistic against its nulls."""
    return [
        profile_lines(
            evidence,
            title="Speed over depth, mean over texts",
            y_label="|x[s+1] - x[s]| (stream units per step)",
            y_scale="log",
            caption="The length of each step over depth; a straight rise is exponential growth.",
            interpretation=(
                "Steps would have to grow with depth more than layers in random order do, and "
                "more than in the untrained network, whose norm grows as well."
            ),
        ),
        statistic_intervals(evidence, "slope of ln speed (per step)"),
    ]


CLAIM = Claim(
    id="C2",
    statement="The stream accelerates over depth.",
    statistic="least-squares slope of ln(mean speed over texts) over steps (per step)",
    source="arXiv 2502.12131: below 1 at the start, 2 to 5 in the middle, up to about 24",
    profile=profile,
    summary=summary,
    dims=("step",),
    coords=lambda recording: recording.step_coords,
    threshold=0.0,
    nulls={
        "permuted_layers": "it has the same layers in another order: growth needs an order",
        "untrained": UNTRAINED,
    },
    shown={
        "random_walk": (
            "it is given the recording's own step sizes, which fix the growth of speed, so that no "
            "recording could exceed it"
        ),
        **SHUFFLED,
    },
    note=note,
    caveat=(
        "Growth of speed describes the size of the updates, not their direction: a random walk "
        "with the same step sizes accelerates as well."
    ),
    draw=draw,
).register()

"""C4: the stream's direction settles.

Statistic: cosine of consecutive states, mean over texts, in the last third of the steps minus the
first third. arXiv 2502.12131 reports 0.52 at the first step and 0.97 to 0.99 late; a walk of equal
steps gives sqrt(s/(s+1)).
"""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim, thirds
from transformer_dynamics.claims.figures import profile_lines, statistic_intervals
from transformer_dynamics.measures.paths.steps import cosine
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.recording.recording import Recording


def profile(recording: Recording, weights: Floats) -> Floats:
    """Mean cosine over texts, `(draw, step)`."""
    return weights @ cosine(recording.values)


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """The cosines that the paper quotes."""
    cosines = evidence["profile"].values
    late = cosines[-(len(cosines) // 3) :].mean()
    return (
        f"The cosine is {cosines[0]:.3f} at the first step, {late:.3f} on average over the last "
        f"third and {cosines[-1]:.3f} at the last step."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Cosine by step, and the statistic against its nulls."""
    return [
        profile_lines(
            evidence,
            title="Cosine of consecutive states over depth, mean over texts",
            y_label="cosine of x[s] and x[s+1] (1)",
            walk_reference=True,
            caption="How little the direction of the stream changes in each step.",
            interpretation=(
                "Directions would have to settle more than those of a walk with steps of the same "
                "size, which settles because each step is ever smaller beside the sum."
            ),
        ),
        statistic_intervals(evidence, "cosine, last third minus first third of steps (1)"),
    ]


CLAIM = Claim(
    id="C4",
    statement="The direction of the stream settles with depth.",
    statistic=(
        "cosine of consecutive sublayers' states, mean over texts, last third of steps minus first "
        "third (1)"
    ),
    source="arXiv 2502.12131: about 0.52 at the first step, 0.97 to 0.99 late, a dip at the end",
    profile=profile,
    summary=thirds,
    dims=("step",),
    coords=lambda recording: recording.step_coords,
    threshold=0.0,
    nulls={
        "random_walk": "it has the recording's step sizes and its growing norm",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    note=note,
    draw=draw,
).register()

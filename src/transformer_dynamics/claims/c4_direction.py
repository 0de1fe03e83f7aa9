"""C4: the direction of the stream settles with depth.

Statistic: cosine of consecutive states, mean over texts, last third of the steps minus first third.
A walk of equal steps has sqrt(s/(s+1)) at step s.
Source: arXiv 2502.12131 (0.52 at the first step, 0.97 to 0.99 late).
"""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.curves import Curve
from transformer_dynamics.claims.profiles import thirds
from transformer_dynamics.measures.paths.steps import cosine
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.blocks import per_sample
from transformer_dynamics.recording.recording import Recording


def profile(recording: Recording, weights: Floats) -> Floats:
    """Mean cosine over texts, `(draw, step)`."""
    return weights @ per_sample(recording, cosine)


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Give the cosines that the paper quotes."""
    cosines = evidence["profile"].values
    late = cosines[-(len(cosines) // 3) :].mean()
    return (
        f"The cosine is {cosines[0]:.3f} at the first step, {late:.3f} on average over the last "
        f"third of the steps and {cosines[-1]:.3f} at the last step."
    )


CLAIM = Claim(
    id="C4",
    statement="The direction of the stream settles with depth.",
    statistic=(
        "cosine of the states at consecutive sublayers, mean over texts, last third of steps minus "
        "first third (1)"
    ),
    source="arXiv 2502.12131: about 0.52 at the first step, 0.97 to 0.99 late, a dip at the end",
    profile=profile,
    summary=thirds,
    threshold=0.0,
    nulls={
        "random_walk": "keeps the recording's step sizes and the growth of its norm",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    note=note,
    curve=Curve(
        title="Cosine of consecutive states over depth, mean over texts",
        y_label="cosine of x[s] and x[s+1] (1)",
        statistic="cosine, last third minus first third of steps (1)",
        walk_reference=True,
        caption="Cosine of the states before and after each step, mean over texts.",
        interpretation=(
            "Settling beyond the growth of the norm requires a larger increase than the walk with "
            "steps of the same size, whose steps become small relative to their sum."
        ),
    ),
).register()

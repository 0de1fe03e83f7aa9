"""C5: later states retain little information about early states.

Statistic: share of a unit's variance at the second sublayer that its value at a quarter of the
depth predicts, r^2 of normal scores (Gaussian copula; the mutual information is -ln(1 - r^2)/2),
mean over units. A random walk of equal steps retains 2/s at the s-th site. The first sublayer
depends on the last token alone and is left out.
Source: arXiv 2502.12131, which compares consecutive sublayers (`c5_consecutive`).
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.curves import Curve
from transformer_dynamics.claims.profiles import unit_blocks
from transformer_dynamics.measures.units.gaussian_information import copula_share, share_sums
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording


def profile(recording: Recording, weights: Floats) -> Floats:
    """Share of a unit's variance at the second sublayer that each site predicts, `(draw, site)`."""
    if recording.in_memory:
        return copula_share(recording.values, reference=1, weights=weights)
    total = count = np.zeros(())
    for states in unit_blocks(recording, "C5"):
        sums = share_sums(states, reference=1, weights=weights)
        total, count = total + sums[0], count + sums[1]
        del states
    with np.errstate(invalid="ignore"):
        share: Floats = total / count
    return share


def summary(profile: Floats) -> Floats:
    """Share at a quarter of the depth, `(draw)`."""
    kept: Floats = profile[..., quarter(profile.shape[-1])]
    return kept


def quarter(n_sites: int) -> int:
    """Index of the site at a quarter of the depth, at least the third."""
    return max(2, n_sites // 4)


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Name the two sites of the statistic."""
    later = recording.sites[quarter(recording.shape[1])]
    return f"The states at {later} predict those at {recording.sites[1]}."


CLAIM = Claim(
    id="C5",
    statement="Information about early states is lost within the first quarter of the depth.",
    statistic=(
        "share of a unit's variance at the second sublayer predicted by its value at a quarter of "
        "the depth, r^2 of normal scores, mean over units (1)"
    ),
    source="arXiv 2502.12131: mutual information falls from 4.4 nats to about 1.0 in five steps",
    profile=profile,
    summary=summary,
    dims=("site",),
    threshold=0.5,
    direction="less",
    nulls={
        "random_walk": "loses early information only because independent steps of that size add up",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    note=note,
    curve=Curve(
        title="Variance of units at the second sublayer predicted by each sublayer",
        y_label="r² of normal scores, mean over units (1)",
        statistic="share at a quarter of the depth (1)",
        caption="Share of a unit's early variance that its value at each sublayer predicts.",
        interpretation=(
            "Loss beyond the addition of unrelated steps requires a smaller share than the "
            "matched walk and than the untrained network."
        ),
    ),
).register()

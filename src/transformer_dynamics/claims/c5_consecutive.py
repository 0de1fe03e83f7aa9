"""C5-consecutive: neighboring sublayers share more information at the first step than soon after.

Statistic: Gaussian-copula mutual information of a unit at consecutive sublayers, mean over units,
at the first step minus the mean of the other steps in the first quarter, in nats.
Source: arXiv 2502.12131 (4.4 nats at step 0, about 1.0 by step 5), with a kernel estimator whose
value for nearly discrete input reflects its noise and not the entropy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.curves import Curve
from transformer_dynamics.claims.profiles import unit_blocks
from transformer_dynamics.measures.units.gaussian_information import (
    copula_information_of_blocks,
    mean_copula_information,
)
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording


def profile(recording: Recording, weights: Floats) -> Floats:
    """Mean information over units, `(draw, step)`, in nats."""
    if recording.in_memory:
        return mean_copula_information(recording.values, weights)
    blocks = unit_blocks(recording, "C5-consecutive")
    return copula_information_of_blocks(blocks, recording.shape[0], weights)


def summary(profile: Floats) -> Floats:
    """First step minus the mean of the others in the first quarter of the steps, `(draw)`."""
    stop = max(2, profile.shape[-1] // 4 + 1)
    drop: Floats = profile[..., 0] - profile[..., 1:stop].mean(axis=-1)
    return drop


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Give the number of distinct states of the first sublayer, which limits the first step."""
    n_samples = recording.shape[0]
    tokens = recording.dataset.get("token_id")
    if tokens is None:
        n_distinct = len({state.tobytes() for state in _first_states(recording)})
        return f"The first sublayer holds {n_distinct} distinct states among {n_samples} samples."
    n_distinct = len(np.unique(tokens.values))
    return (
        f"The first sublayer depends on the last token alone; {n_samples} samples have "
        f"{n_distinct} distinct last tokens."
    )


def _first_states(recording: Recording) -> Iterator[NDArray[Any]]:
    """Iterate over the states at the first sublayer; -0 counts as 0."""
    for _, states in recording.blocks():
        yield from states[:, 0] + 0.0


CLAIM = Claim(
    id="C5-consecutive",
    statement="Consecutive sublayers share more information at the first step than soon after.",
    statistic=(
        "Gaussian-copula mutual information of a unit at consecutive sublayers, mean over units, "
        "first step minus mean of the other steps in the first quarter (nats)"
    ),
    source="arXiv 2502.12131: 4.4 nats at step 0, about 1.0 by step 5, about 1.5 at the end",
    profile=profile,
    summary=summary,
    threshold=0.0,
    nulls={
        "random_walk": "keeps the recording's step sizes, on which the information depends",
        "untrained": UNTRAINED,
    },
    shown={
        "permuted_samples": "pairs states of different texts, which share no information at all",
        **SHUFFLED,
    },
    note=note,
    caveat=(
        "The statistic compares neighbors and not early with late states: information between "
        "neighbors may fall while early information is kept, and the reverse. C5 tests the loss."
    ),
    curve=Curve(
        title="Mutual information of a unit at consecutive sublayers, mean over units",
        y_label="Gaussian-copula mutual information (nats)",
        statistic="information lost after the first step (nats)",
        caption="Mutual information between neighboring sublayers, mean over units, by step.",
        interpretation=(
            "The claim requires a larger drop after the first step than in the walk and in the "
            "untrained network."
        ),
    ),
).register()

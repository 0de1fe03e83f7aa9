"""C6: single units trace unstable periodic orbits.

Statistic: unstable excess (`units.unstable_excess`) of the transform of So et al. (PRL 76, 4705,
1996), at the level found on one half of texts and depth and measured on the other, pooled over
units as sum of excesses over sum of the transformed points around them. Expected value 0 for random
walks, linear noise about a fixed point and noisy rotations; 5.5 for the Hénon map.
Fixed subsample: 64 samples and 24 units at most; the nulls are drawn from the same subsample.
Source: ours; arXiv 2502.12131 concludes orbits from rotation counts (`c6_turns`).
Limits: orbits of several units together or of one part of depth are missed.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims import c6_turns
from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.figures import null_groups, null_series, statistic_intervals
from transformer_dynamics.measures.orbits.levels import LEVEL_WIDTH
from transformer_dynamics.measures.orbits.rotation import RANDOM_WALK_TURNS
from transformer_dynamics.measures.orbits.traces import choice, subset
from transformer_dynamics.measures.orbits.unstable_excess import (
    OFFSETS,
    UnstableExcess,
    text_halves,
    unstable_excess,
)
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing, Group, Histogram, Lines, Series
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import uniform_weights

N_SAMPLES = 64
N_UNITS = 24
PAPER_TURNS = 10.74
PAPER_SUBLAYERS = 64


def subsample(recording: Recording) -> Recording:
    """The samples and units that are tested, in memory; a recording of these is unchanged."""
    return subset(recording, N_SAMPLES, N_UNITS).load()


def excess(recording: Recording, weights: Floats) -> UnstableExcess:
    """Unstable excess of the subsampled units, weighted over the subsampled samples."""
    samples, units = choice(recording.shape, N_SAMPLES, N_UNITS)
    states = recording.isel(sample=samples, unit=units).values
    traces = np.ascontiguousarray(states.transpose(0, 2, 1), dtype=np.float64)
    return unstable_excess(traces, weights[:, samples], text_halves(recording.groups[samples]))


def profile(recording: Recording, weights: Floats) -> Floats:
    """Excess and the points around it, `(draw, part, unit)`; their ratio is a unit's excess."""
    parts = excess(recording, weights)
    return np.stack([parts.excess, parts.around], axis=1)


def summary(profile: Floats) -> Floats:
    """Sum of excesses over sum of the points around them, over units that vary, `(draw)`."""
    above, around = np.nansum(profile, axis=-1).T
    pooled: Floats = np.divide(above, around, out=np.full_like(above, np.nan), where=around > 0)
    return pooled


def coords(recording: Recording) -> dict[str, object]:
    """The parts of the ratio and the numbers of the units."""
    return {"part": ["excess", "around"], "unit": subsample(recording).dataset["unit"].values}


def illustration(recording: Recording) -> xr.DataArray:
    """Unstable minus stable points by distance from the level found, `(offset)`, pooled."""
    pooled = excess(recording, uniform_weights(recording.shape[0])).profile
    return xr.DataArray(pooled, dims=("offset",), coords={"offset": OFFSETS * LEVEL_WIDTH})


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Count the units above the threshold, and compare the rotation count with the paper's."""
    above, around = evidence["profile"].values
    n_above = int((above > CLAIM.threshold * around).sum(where=around > 0))
    weights = uniform_weights(recording.shape[0])
    turns = float(c6_turns.summary(c6_turns.profile(recording, weights))[0])
    points = recording.shape[1]
    walk, papers_walk = (-RANDOM_WALK_TURNS * (n - 2) for n in (points, PAPER_SUBLAYERS))
    return (
        f"{n_above} of {above.size} units have an excess above {CLAIM.threshold:g}. Mean traces "
        f"turn {turns:.2f} times over {points} points (a Gaussian random walk: {walk:.2f}). The "
        f"paper, which interprets turns as orbits, reports {PAPER_TURNS} over {PAPER_SUBLAYERS} "
        f"sublayers (a walk: {papers_walk:.2f}); see C6-turns."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Points around the level found, excess of every unit, statistic of each null."""
    return [
        _around_the_level(evidence),
        _per_unit(evidence),
        statistic_intervals(
            evidence,
            "unstable excess, pooled over units (1)",
            interpretation="Orbits require an interval above 1 and beyond every deciding null.",
        ),
    ]


def _around_the_level(evidence: xr.Dataset) -> Lines:
    offsets = evidence["offset"].values
    threshold = np.full(offsets.size, CLAIM.threshold)
    return Lines(
        title="Unstable points around the level found in the other half of texts and depth",
        x_label="distance from that level (robust standard deviations of the unit)",
        y_label="unstable minus stable points / all points around (1)",
        series=[
            Series(name="recording", x=offsets, y=evidence["illustration"].values),
            *null_series(evidence, offsets, ("null_illustration",)),
            Series(name="threshold", x=offsets, y=threshold, role="reference"),
        ],
        caption="Excess of unstable points on held-out data, by distance from the level found.",
        interpretation="A periodic point gives a narrow peak above 1 at distance 0.",
    )


def _per_unit(evidence: xr.Dataset) -> Histogram:
    def ratio(parts: xr.DataArray) -> xr.DataArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return parts.sel(part="excess") / parts.sel(part="around")

    recording = Group(name="recording", values=ratio(evidence["profile"]).values)
    return Histogram(
        title="Unstable excess of each unit, and of one draw of each null",
        x_label="unstable excess (1; all transformed points per level around the one found)",
        groups=[recording, *null_groups(evidence, ratio(evidence["null_example"]))],
        y_label="share of units per bin (1)",
        caption="Distribution of the excess over units, of the recording and of its nulls.",
        interpretation="Units with an unstable periodic orbit lie above 1 and beyond the nulls.",
    )


CLAIM = Claim(
    id="C6",
    statement="Single units trace unstable periodic orbits.",
    statistic=(
        "unstable excess of the transform of So et al. at the level found on the other half of "
        f"texts and depth, pooled over at most {N_UNITS} units and {N_SAMPLES} samples, a fixed "
        "subsample (1; denominator: transformed points per level around it)"
    ),
    source=(
        "arXiv 2502.12131, which concludes it from rotation counts (mean 10.74 over 64 sublayers, "
        "null about 0); the transform: So et al. (PRL 76, 4705, 1996)"
    ),
    profile=profile,
    summary=summary,
    dims=("part", "unit"),
    coords=coords,
    threshold=1.0,
    nulls={
        "random_walk": "keeps the size of the recording's steps and has no point to return to",
        "sign_flipped_increments": "keeps the size of every increment and randomizes its sign",
        "permuted_increments": "keeps all increments and permutes their order",
        "phase_randomized_increments": "keeps the spectrum of the increments, not their phases",
        "random_basis": "keeps all distances and angles and replaces the units by directions",
        "untrained": UNTRAINED,
    },
    shown={
        "permuted_depth": "the paper's own null, which destroys the continuity of every trace",
        **SHUFFLED,
    },
    drawn_from=subsample,
    illustration=illustration,
    note=note,
    caveat=(
        "The test finds points, of periods up to 6 sublayers, to which single units return, "
        "relative to the size of the stream, in both halves of depth, and which they leave more "
        "slowly than they reach them. It misses orbits of a few units only, of several units "
        "together, or of one part of depth."
    ),
    draw=draw,
).register()

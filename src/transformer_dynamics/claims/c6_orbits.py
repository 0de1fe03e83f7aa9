"""C6: units trace unstable periodic orbits, on a test for such orbits.

arXiv 2502.12131 concludes it from a rotation count, which a random walk has as well: that reading
is kept apart as C6-turns. Here the orbits themselves are looked for, as points that traces come
back to and leave along an unstable direction.

Statistic: the unstable excess (see `units.unstable_excess`). The transform of So et al. puts a
point wherever a trace would stay if its local linear map, over 1 to 6 sublayers, went on; the level
at which unstable points exceed those of the traces read backwards is found on half of the texts in
half of the depth, and measured on the other texts in the other half. Pooled over units as the sum
of excesses over the sum of the points around them.

Threshold 1: at the level found, as many unstable points are added as there are transformed points
around it. The expectation is 0 for random walks, linear noise about a stable point and noisy
rotations; the Henon map has 5.5, with measurement noise of a seventh of its deviation still 2.3.

Each draw is of 64 samples and 24 units, a fixed choice, in relative traces; null recordings are
drawn from the same choice, so that `random_basis` turns these units among themselves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.claims import c6_turns
from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.figures import null_name, statistic_intervals
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
from transformer_dynamics.storage.attributes import attribute

N_SAMPLES = 64
N_UNITS = 24
PAPER_TURNS = 10.74
PAPER_SUBLAYERS = 64


def chosen(recording: Recording) -> Recording:
    """The samples and units that are looked at; of a recording of these alone, all."""
    return subset(recording, N_SAMPLES, N_UNITS)


def excess(recording: Recording, weights: Floats) -> UnstableExcess:
    """The unstable excess of the chosen units, weighted over the chosen samples."""
    samples, units = choice(recording.shape, N_SAMPLES, N_UNITS)
    states = recording.values[np.ix_(samples, np.arange(recording.shape[1]), units)]
    traces = np.ascontiguousarray(states.transpose(0, 2, 1), dtype=np.float64)
    return unstable_excess(traces, weights[:, samples], text_halves(recording.groups[samples]))


def profile(recording: Recording, weights: Floats) -> Floats:
    """Excess and the points around it, `(draw, part, unit)`; their ratio is a unit's excess."""
    found = excess(recording, weights)
    return np.stack([found.excess, found.around], axis=1)


def summary(profile: Floats) -> Floats:
    """Sum of excesses over sum of the points around them, over units that vary, `(draw)`."""
    above, around = np.nansum(profile, axis=-1).T
    pooled: Floats = np.divide(above, around, out=np.full_like(above, np.nan), where=around > 0)
    return pooled


def coords(recording: Recording) -> dict[str, Any]:
    """The parts of the ratio, the units' numbers, and distances from the level found."""
    return {
        "part": ["excess", "around"],
        "unit": chosen(recording).dataset["unit"].values,
        "offset": OFFSETS * LEVEL_WIDTH,
    }


def illustration(recording: Recording) -> Floats:
    """Unstable less stable points by distance from the level found, `(offset)`, pooled."""
    return excess(recording, uniform_weights(recording.shape[0])).profile


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Count the units with such a point, and give the rotation count beside the paper's."""
    above, around = evidence["profile"].values
    n_found = int((above > CLAIM.threshold * around).sum(where=around > 0))
    turns = float(
        c6_turns.summary(c6_turns.profile(recording, uniform_weights(recording.shape[0])))[0]
    )
    points = recording.shape[1]
    walk, papers_walk = (-RANDOM_WALK_TURNS * (n - 2) for n in (points, PAPER_SUBLAYERS))
    return (
        f"{n_found} of {above.size} units have an excess above {CLAIM.threshold:g}. Mean traces "
        f"turn {turns:.2f} times over {points} points (a Gaussian random walk: {walk:.2f}); the "
        f"paper, which takes turns for orbits, reports {PAPER_TURNS} over {PAPER_SUBLAYERS} "
        f"sublayers (a walk: {papers_walk:.2f}): see C6-turns."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Points about the level found, the excess of every unit, the statistic under each null."""
    return [
        _about_the_level(evidence),
        _per_unit(evidence),
        replace(
            statistic_intervals(evidence, "unstable excess, pooled over units (1)"),
            caption="The excess with its interval over texts, beside its spread under each null.",
            interpretation=(
                "For orbits the interval would lie above 1, and beyond every null that decides."
            ),
        ),
    ]


def _about_the_level(evidence: xr.Dataset) -> Lines:
    offsets = evidence["offset"].values
    series = [Series(name="recording", x=offsets, y=evidence["illustration"].values)]
    series += [
        Series(
            name=null_name(name),
            x=offsets,
            y=evidence["null_illustration"].sel(null=name).values,
            role="null",
            hidden=name not in attribute(evidence, "deciding"),
        )
        for name in evidence["null"].values
    ]
    series.append(
        Series(
            name="threshold",
            x=offsets,
            y=np.full(offsets.size, CLAIM.threshold),
            role="reference",
        )
    )
    return Lines(
        title="Unstable points about the level found in other texts, elsewhere in depth",
        x_label="distance from that level (robust standard deviations of the unit)",
        y_label="unstable less stable points / all points around (1)",
        series=series,
        caption=(
            "Whether the level that stands out in one half of depth and texts does in the other."
        ),
        interpretation=(
            "A point that traces come back to and leave would be a narrow peak at 0 above 1."
        ),
    )


def _per_unit(evidence: xr.Dataset) -> Histogram:
    def ratio(parts: xr.DataArray) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            values: Floats = (parts.sel(part="excess") / parts.sel(part="around")).values
        return values

    groups = [Group(name="recording", values=ratio(evidence["profile"]))]
    groups += [
        Group(
            name=null_name(name),
            values=ratio(evidence["null_example"].sel(null=name)),
            role="null",
            hidden=name not in attribute(evidence, "deciding"),
        )
        for name in evidence["null"].values
    ]
    return Histogram(
        title="Unstable excess of each unit, beside one draw of each null",
        x_label="unstable excess (1; all transformed points per level around the one found)",
        groups=groups,
        y_label="share of units per bin (1)",
        caption="How the excess spreads over units, of the recording and of its nulls.",
        interpretation=(
            "Units with an unstable periodic orbit would lie above 1, apart from the nulls."
        ),
    )


CLAIM = Claim(
    id="C6",
    statement="Units trace unstable periodic orbits.",
    statistic=(
        "unstable excess of the transform of So et al. at the level found on other texts in the "
        f"other half of depth, pooled over {N_UNITS} units and {N_SAMPLES} samples at most, a "
        "fixed choice (1; denominator: transformed points per level around it)"
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
        "random_walk": "it has the recording's steps in size, and no point to return to",
        "sign_flipped_increments": "it has the size of every increment, with random signs",
        "permuted_increments": "it has the same increments in another order",
        "phase_randomized_increments": "it has the spectrum of the increments, with random phases",
        "random_basis": "it has all distances and angles, and no units",
        "untrained": UNTRAINED,
    },
    shown={
        "permuted_depth": "the paper's own null, which destroys the continuity of every trace",
        **SHUFFLED,
    },
    drawn_from=chosen,
    illustration=illustration,
    illustration_dims=("offset",),
    note=note,
    caveat=(
        "Found are points, of periods up to 6 sublayers, that single units come back to relative "
        "to the size of the stream, in both halves of depth, and leave more slowly than they reach "
        "them. Orbits of a few units only, of several units together, or of one stretch of depth "
        "are missed."
    ),
    draw=draw,
).register()

"""C6-turns: units rotate in the phase plane, from which the paper concludes periodic orbits.

Statistic: rotation count |R| of each unit's trace averaged over texts, in the plane of activation
and gradient, mean over units, in turns. arXiv 2502.12131 reports a mean of 10.74 over 64
sublayers against a null about 0. A random walk of 64 points gives 10.94: the count is a property
of any trace made of independent steps, and the paper's null (apparently the points of the phase
plane permuted jointly, shown here as `permuted_points`) cannot see it, since it destroys the
continuity that makes a trace turn one way.

Nulls are drawn from the mean trace, since the count is of that trace. The orbits themselves are
tested by C6.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, Claim, mean_path, mean_traces, text_mean
from transformer_dynamics.claims.figures import null_name, statistic_intervals
from transformer_dynamics.measures.orbits.rotation import (
    RANDOM_WALK_TURNS,
    permuted_points_rotation_count,
    phase_gradient,
    rotation_count,
)
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing, Group, Histogram, Path, Paths
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute

# The nulls that take the excess apart, in words.
PARTS = {
    "sign_flipped_increments": "random signs",
    "sign_flipped_layers": "the relation of attention and MLP within a layer",
    "autoregressive_increments": "the correlation of increments up to two sublayers apart",
}
# Turns per point, less two, of independent Gaussian points; measured over 5,000 traces of 60.
WHITE_NOISE_TURNS = 0.2394


def profile(recording: Recording, weights: Floats) -> Floats:
    """Magnitude of the rotation count of every unit's mean trace, `(draw, unit)`, in turns."""
    return np.abs(rotation_count(np.swapaxes(mean_path(recording, weights), 1, 2)))


def permuted_points(recording: Recording, seed: int) -> Floats:
    """The paper's apparent null: phase-plane points permuted jointly over depth, `(unit)`."""
    traces = np.swapaxes(recording.values.mean(axis=0, dtype=np.float64), 0, 1)
    return np.abs(permuted_points_rotation_count(traces, seed=seed))


def summary(profile: Floats) -> Floats:
    """Mean over the units that move, `(draw)`."""
    moves = np.isfinite(profile)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(moves, profile, 0.0).sum(axis=-1) / moves.sum(axis=-1)
    return mean


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Give the signed mean, and the parts of the excess over increments with random signs."""
    value, points = float(evidence["statistic"]), recording.shape[1]
    signed = rotation_count(mean_traces(recording).T)
    means = {str(name): float(evidence["null_mean"].sel(null=name)) for name in PARTS}
    flipped = means["sign_flipped_increments"]
    excess = value - flipped
    parts = [
        f"{words} gives {means[name] - flipped:+.2f}"
        for name, words in PARTS.items()
        if name != "sign_flipped_increments"
    ]
    return (
        f"The mean over units of the signed count is {np.nanmean(signed):.2f} turns. The magnitude "
        f"{value:.2f} differs by {excess:+.2f} from increments with random signs ({flipped:.2f}); "
        f"relative to these, {' and '.join(parts)}: what these give is not rotation of the stream "
        f"but alternation of its increments. A Gaussian random walk of {points} points gives "
        f"{-RANDOM_WALK_TURNS * (points - 2):.2f}, white noise "
        f"{WHITE_NOISE_TURNS * (points - 2):.2f}."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Distribution of the count over units beside that of one draw of each null."""
    groups = [Group(name="recording", values=evidence["profile"].values)]
    groups += [
        Group(
            name=null_name(name),
            values=evidence["null_example"].sel(null=name).values,
            role="null",
            hidden=name not in attribute(evidence, "deciding"),
        )
        for name in evidence["null"].values
    ]
    return [
        Histogram(
            title="Rotation count of each unit's mean trace, beside one draw of each null",
            x_label="|rotation count| (turns)",
            groups=groups,
            y_label="share of units per bin (1)",
            caption="How often the traces of single units turn, and those of their nulls.",
            interpretation=(
                "The recording would have to turn more than layers with random signs and than "
                "increments with the same short-range correlation."
            ),
        ),
        portraits(evidence),
        replace(
            statistic_intervals(evidence, "mean |rotation count| over units (turns)"),
            caption=(
                "The mean count with its interval over texts, beside its spread under each null."
            ),
            interpretation="The recording would have to turn more than every null that decides.",
        ),
    ]


def portraits(evidence: xr.Dataset) -> Paths:
    """The unit of median count in the phase plane, beside the same unit in two of the nulls."""
    counts = evidence["profile"].values
    unit = int(np.argsort(counts)[len(counts) // 2])
    traces = {"recording": evidence["illustration"].values[:, unit]}
    for name in ("sign_flipped_layers", "autoregressive_increments"):
        if name in evidence["null"].values:
            traces[null_name(name)] = evidence["null_illustration"].sel(null=name).values[:, unit]
    return Paths(
        title=f"Phase portrait of unit {unit}, the median in turns, beside one draw of two nulls",
        x_label="mean activation over texts (stream units)",
        y_label="its gradient over depth (stream units per sublayer)",
        paths=[
            Path(
                name=name,
                points=np.stack([trace, phase_gradient(trace)], axis=1),
                role="model" if name == "recording" else "null",
            )
            for name, trace in traces.items()
        ],
        caption="The path of one unit, which turns clockwise, and two walks with the same steps.",
        interpretation=(
            "An orbit would come back to where it was, and the walks would look different."
        ),
    )


CLAIM = Claim(
    id="C6-turns",
    statement=(
        "Units rotate in the plane of activation and gradient over depth, beyond the alternation "
        "and the short-range correlation of their increments."
    ),
    statistic="mean over units of |rotation count| of the trace averaged over texts (turns)",
    source=(
        "arXiv 2502.12131, which reads the count as unstable periodic orbits: mean 10.74 over 64 "
        "sublayers, null about 0"
    ),
    profile=profile,
    summary=summary,
    dims=("unit",),
    coords=lambda recording: {},
    threshold=1.0,
    nulls={
        "sign_flipped_layers": (
            "it has the size of every increment, and the relation of a layer's attention and MLP"
        ),
        "autoregressive_increments": (
            "it has the correlation of increments up to two sublayers apart, and nothing further"
        ),
    },
    shown={
        "random_walk": "its steps do not alternate, which turns a trace less",
        "sign_flipped_increments": "it destroys the alternation within a layer",
        "permuted_increments": "it destroys the alternation within a layer",
        "phase_randomized_increments": "it keeps the spectrum only nearly in so short a series",
        "random_basis": "its directions are sums of many units, whose count may differ",
        "untrained": "the claim is about the order of increments, not about learning",
        "permuted_depth": "the paper's own null, which destroys the continuity of every trace",
        **SHUFFLED,
    },
    own_nulls={"permuted_points": permuted_points},
    own_reasons={
        "permuted_points": "the paper's apparent null, which destroys the continuity of every trace"
    },
    drawn_from=text_mean,
    illustration=mean_traces,
    illustration_dims=("site", "unit"),
    note=note,
    caveat=(
        "The count grows as increments alternate in sign, and is largest for white noise. It does "
        "not show that traces return to a point; C6 tests that."
    ),
    draw=draw,
).register()

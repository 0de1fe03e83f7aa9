"""C6-turns: single units rotate in the phase plane beyond the alternation of their increments.

Statistic: |rotation count| of each unit's mean trace in the plane of activation and gradient, mean
over units, in turns. A Gaussian random walk of 64 points has 10.94.
Source: arXiv 2502.12131 (mean 10.74 over 64 sublayers, null about 0). Its null, apparently the
phase-plane points permuted jointly (`permuted_points`), destroys the continuity of the trace.
Nulls are drawn from the mean trace, since the count is of the mean trace.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, Claim, OwnNull
from transformer_dynamics.claims.figures import null_groups, null_name, statistic_intervals
from transformer_dynamics.claims.profiles import mean_traces, mean_traces_of_units, text_mean
from transformer_dynamics.measures.orbits.rotation import (
    CONSTANT,
    RANDOM_WALK_TURNS,
    permuted_points_rotation_count,
    phase_gradient,
    rotation_count,
)
from transformer_dynamics.measures.orbits.turns import over_traces, tangent_turns
from transformer_dynamics.numerics.arrays import Floats, warn_undefined
from transformer_dynamics.plots.backend import Drawing, Group, Histogram, Path, Paths
from transformer_dynamics.recording.recording import Recording

FLIPPED = "sign_flipped_increments"
# Nulls that keep one part of the excess over increments with random signs.
PARTS = {
    "sign_flipped_layers": "the relation of attention and MLP within a layer",
    "autoregressive_increments": "the correlation of increments up to two sublayers apart",
}
# Turns per point, minus two, of independent Gaussian points; measured on 5,000 traces of 60 points.
WHITE_NOISE_TURNS = 0.2394


def profile(recording: Recording, weights: Floats) -> Floats:
    """Magnitude of the rotation count of every unit's mean trace, `(draw, unit)`, in turns."""
    counts = np.empty((len(weights), recording.shape[2]))
    for units, traces in mean_traces_of_units(recording, weights):
        counts[:, units] = np.abs(over_traces(tangent_turns, traces))
    warn_undefined({"rotation_count": counts}, CONSTANT, stacklevel=1)
    return counts


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
    signed = rotation_count(mean_traces(recording).values.T)
    means = {str(name): float(evidence["null_mean"].sel(null=name)) for name in (FLIPPED, *PARTS)}
    flipped = means[FLIPPED]
    parts = [f"{words} gives {means[name] - flipped:+.2f}" for name, words in PARTS.items()]
    return (
        f"The mean over units of the signed count is {np.nanmean(signed):.2f} turns. The magnitude "
        f"{value:.2f} differs by {value - flipped:+.2f} from increments with random signs "
        f"({flipped:.2f}). Relative to these, {' and '.join(parts)}; such parts are alternation of "
        f"the increments and not rotation of the stream. A Gaussian random walk of {points} points "
        f"has {-RANDOM_WALK_TURNS * (points - 2):.2f}, white noise "
        f"{WHITE_NOISE_TURNS * (points - 2):.2f}."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Distribution of the count over units, phase portraits, and the statistic of each null."""
    recording = Group(name="recording", values=evidence["profile"].values)
    return [
        Histogram(
            title="Rotation count of each unit's mean trace, and of one draw of each null",
            x_label="|rotation count| (turns)",
            groups=[recording, *null_groups(evidence, evidence["null_example"])],
            y_label="share of units per bin (1)",
            caption="Distribution of the rotation count over units, for recording and nulls.",
            interpretation=(
                "Rotation requires more turns than layers with random signs and than increments "
                "with the same short-range correlation."
            ),
        ),
        portraits(evidence),
        statistic_intervals(evidence, "mean |rotation count| over units (turns)"),
    ]


def portraits(evidence: xr.Dataset) -> Paths:
    """The unit of median count in the phase plane, and the same unit in two of the nulls."""
    counts = evidence["profile"].values
    unit = int(np.argsort(counts)[len(counts) // 2])
    traces = {"recording": evidence["illustration"].values[:, unit]}
    for name in PARTS:
        if name in evidence["null"].values:
            traces[null_name(name)] = evidence["null_illustration"].sel(null=name).values[:, unit]
    return Paths(
        title=f"Phase portrait of unit {unit}, the median in turns, and one draw of two nulls",
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
        caption="Mean trace of one unit, clockwise in depth, and two walks with the same steps.",
        interpretation="An orbit returns to its earlier points; the walks show the same turning.",
    )


ALTERNATION_LOST = "destroys the alternation of attention and MLP within a layer"
CLAIM = Claim(
    id="C6-turns",
    statement=(
        "Single units rotate in the plane of activation and gradient, beyond the short-range "
        "correlation of their increments."
    ),
    statistic="mean over units of |rotation count| of the trace averaged over texts (turns)",
    source=(
        "arXiv 2502.12131, which interprets the count as unstable periodic orbits: mean 10.74 over "
        "64 sublayers, null about 0"
    ),
    profile=profile,
    summary=summary,
    dims=("unit",),
    threshold=1.0,
    nulls={
        "sign_flipped_layers": (
            "keeps the size of every increment and the relation of a layer's attention and MLP"
        ),
        "autoregressive_increments": (
            "keeps the correlation of increments up to two sublayers apart, and no other order"
        ),
    },
    shown={
        "random_walk": "has steps that do not alternate, which lowers the count by itself",
        FLIPPED: ALTERNATION_LOST,
        "permuted_increments": ALTERNATION_LOST,
        "phase_randomized_increments": "keeps the spectrum only nearly in so short a series",
        "random_basis": "has directions that mix many units, whose count may differ",
        "untrained": "the claim is about the order of increments, not about learning",
        "permuted_depth": "the paper's own null, which destroys the continuity of every trace",
        **SHUFFLED,
    },
    own_nulls={
        "permuted_points": OwnNull(
            permuted_points,
            "the paper's apparent null, which destroys the continuity of every trace",
        )
    },
    drawn_from=text_mean,
    illustration=mean_traces,
    note=note,
    caveat=(
        "The count grows as increments alternate in sign, and is largest for white noise. It does "
        "not show that traces return to a point; C6 tests that."
    ),
    draw=draw,
).register()

"""C1: single units are continuous over depth. C1-basis: more than other directions.

Statistic: Pearson r over texts of a unit at neighboring sublayers, averaged over units (those where
it is defined) and steps. arXiv 2502.12131 reports r above 0.8 from the start. A random walk gives
sqrt(s/(s+1)) at step s, so a high correlation alone shows only that a stream is a sum of updates.

Continuity and the role of the basis are two claims: a perfectly continuous system whose states are
isotropic is as continuous in every other basis.
"""

from __future__ import annotations

from dataclasses import replace

import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim, mean_traces
from transformer_dynamics.claims.figures import profile_lines, statistic_intervals, trace_maps
from transformer_dynamics.measures.units.weighted_correlation import adjacent_correlation
from transformer_dynamics.numerics.arrays import Floats, defined_mean
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.recording.recording import Recording


def profile(recording: Recording, weights: Floats) -> Floats:
    """Mean correlation over units, `(draw, step)`."""
    return defined_mean(adjacent_correlation(recording.values, weights))


def summary(profile: Floats) -> Floats:
    """Mean over steps, `(draw)`."""
    mean: Floats = profile.mean(axis=-1)
    return mean


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Compare steps within a layer with steps across layers."""
    profile, kinds = evidence["profile"].values, recording.step_kinds
    if not {"attention", "mlp"} <= set(kinds):
        return ""
    within, across = (profile[kinds == kind].mean() for kind in ("attention", "mlp"))
    order = "above" if within > across else "not above"
    return (
        f"Steps within a layer (mean r {within:.3f}) lie {order} steps across layers "
        f"({across:.3f}), where the paper has them above."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Correlation by step, and the statistic against its nulls."""
    return [
        profile_lines(
            evidence,
            title="Correlation of a unit with itself at the next sublayer, mean over units",
            y_label="Pearson r over texts (1)",
            walk_reference=True,
            caption=(
                "How much of a unit's rank among texts is kept from one sublayer to the next, step "
                "by step."
            ),
            interpretation=(
                "Correlations would have to lie above the matched walk, in which states are "
                "sums of unrelated steps; for C1-basis, above those in a random basis."
            ),
        ),
        trace_maps(evidence, ("random_walk", "untrained", "random_basis")),
        statistic_intervals(evidence, "mean Pearson r over units and steps (1)"),
    ]


CLAIM = Claim(
    id="C1",
    statement="Single units are continuous over depth.",
    statistic="mean over units and steps of Pearson r over texts of neighboring sublayers (1)",
    source="arXiv 2502.12131: r > 0.8 from the start (Llama 3.1 8B)",
    profile=profile,
    summary=summary,
    dims=("step",),
    coords=lambda recording: recording.step_coords,
    threshold=0.8,
    nulls={
        "random_walk": "it has the recording's step sizes, and steps that are unrelated",
        "permuted_units": "it has the states of every site, and units that do not continue",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    illustration=mean_traces,
    illustration_dims=("site", "unit"),
    note=note,
    draw=draw,
).register()
BASIS = replace(
    CLAIM,
    id="C1-basis",
    statement="Continuity over depth is a property of single units more than of other directions.",
    source="arXiv 2502.12131: units are continuous although the basis is not privileged",
    threshold=0.0,
    nulls={"random_basis": "it has all distances and angles, and no units"},
    shown={},
    note=lambda recording, evidence: "",
).register()

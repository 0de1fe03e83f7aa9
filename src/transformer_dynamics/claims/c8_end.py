"""C8-end and C8-readout: a perturbation at the end of the network, in the stream and in tokens.

C8-end: the ratio of C8 at the last site. C8-readout: KL divergence of the next-token distribution
over the KL divergence of the same displacement at the last site. Both are geometric means over
texts and over injections in the middle half of the layers. Source: arXiv 2502.12131; readout ours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from transformer_dynamics.claims.c8_recovery import SOURCE, ZERO_UPDATE, log_ratios
from transformer_dynamics.claims.claim import UNTRAINED, Claim
from transformer_dynamics.claims.figures import null_series, statistic_intervals
from transformer_dynamics.claims.profiles import mean_over_middle
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.states.recovery import READOUT_KIND
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.stats.bootstrap import uniform_weights

KIND = "random"


def end_profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Mean log ratio at the last site by the layer of injection, `(draw, start)`."""
    return weights @ log_ratios(result, KIND, "end")


def readout_profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Mean log of KL over the KL of zero update by the layer of injection, `(draw, start)`."""
    return weights @ _log_readout(result, READOUT_KIND)


def _log_readout(result: xr.Dataset, kind: str) -> Floats:
    ratios = result["kl_ratio"].sel(kind=kind).transpose("sample", "start").values
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: Floats = np.log(ratios)
    return logs


def summary(profile: Floats) -> Floats:
    """Geometric mean ratio over injections in the middle half of the layers, `(draw)`."""
    mean: Floats = np.exp(mean_over_middle(profile))
    return mean


def readout_note(result: xr.Dataset, evidence: xr.Dataset) -> str:
    """Give the ratio for the other kinds of displacement."""
    weights = uniform_weights(result.sizes["sample"])
    others = [
        f"{kind} {float(summary(weights @ _log_readout(result, str(kind)))[0]):.3g}"
        for kind in result["kind"].values
        if kind != READOUT_KIND
    ]
    return f"Ratio for the other kinds of displacement: {', '.join(others)}."


def draw_of(quantity: str, interpretation: str) -> Callable[[xr.Dataset], list[Drawing]]:
    """The ratio by layer of injection with its nulls, and the statistic."""

    def draw(evidence: xr.Dataset) -> list[Drawing]:
        starts = [str(start) for start in evidence["start"].values]
        layers = np.arange(len(starts))
        names = ("profile", "profile_low", "profile_high", "null_profile", "null_low", "null_high")
        ratios = evidence.assign({name: np.exp(evidence[name]) for name in names})
        model = Series(
            name="model",
            x=layers,
            y=ratios["profile"].values,
            low=ratios["profile_low"].values,
            high=ratios["profile_high"].values,
            labels=starts,
            role="model",
        )
        return [
            Lines(
                title=f"{quantity[0].upper()}{quantity[1:]}, by layer of injection",
                x_label="layer of injection (index)",
                y_label=f"{quantity} (1)",
                series=[model, *null_series(ratios, layers, labels=starts)],
                y_scale="log",
                caption="Geometric mean over texts with 95 % over texts (untrained: over seeds).",
                interpretation=interpretation,
            ),
            statistic_intervals(evidence, f"{quantity}, middle half of the layers (1)"),
        ]

    return draw


END = Claim(
    id="C8-end",
    statement="At the last site a perturbed state is closer to the unperturbed trajectory.",
    statistic=(
        "distance to the unperturbed trajectory at the last site over the initial distance, random "
        "directions of the size of the spread between texts, geometric mean over texts and over "
        "injections in the middle half of the layers (1)"
    ),
    source=SOURCE,
    perturbation="perturbation.recovery",
    profile=end_profile,
    summary=summary,
    dims=("start",),
    threshold=1.0,
    direction="less",
    nulls={"zero_update": ZERO_UPDATE, "untrained": UNTRAINED},
    draw=draw_of(
        "distance at the last site / initial distance",
        "Convergence requires a ratio below 1 and below the untrained network.",
    ),
).register()
READOUT = Claim(
    id="C8-readout",
    statement=(
        "The layers reduce the effect of a displacement in the plane of two principal components "
        "on the next-token distribution."
    ),
    statistic=(
        "KL(unperturbed || perturbed) of the next-token distribution over the KL of zero update "
        "(the displacement added to the last site unchanged); geometric mean over texts and over "
        "injections in the middle half of the layers (1)"
    ),
    source="ours; arXiv 2502.12131 shows trajectories only",
    perturbation="perturbation.recovery",
    profile=readout_profile,
    summary=summary,
    dims=("start",),
    threshold=1.0,
    direction="less",
    nulls={"untrained": UNTRAINED},
    note=readout_note,
    draw=draw_of(
        "KL / KL of zero update",
        "A reduction requires a ratio below 1, the value of zero update, and below the untrained "
        "network.",
    ),
).register()

"""C8-end and C8-readout: a displacement at the end of the network, in the stream and in tokens.

C8-end is the ratio of C8 at the last site, and C8-readout the KL divergence of the next-token
distribution over the KL that the displacement would have if it arrived unchanged. Both are
geometric means over texts and over injections in the middle half of the layers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from transformer_dynamics.claims.c8_recovery import SOURCE, ZERO_UPDATE, log_ratios
from transformer_dynamics.claims.claim import UNTRAINED, Claim
from transformer_dynamics.claims.figures import null_name, statistic_intervals
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.stats.bootstrap import uniform_weights

KIND = "random"
READOUT_KIND = "shift"


def end_profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Mean log ratio at the last site by the layer of injection, `(draw, start)`."""
    return weights @ log_ratios(result, KIND, "end")


def readout_profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Mean log of KL over that of zero update by the layer of injection, `(draw, start)`."""
    return weights @ _log_readout(result, READOUT_KIND)


def _log_readout(result: xr.Dataset, kind: str) -> Floats:
    chosen = result["kl_ratio"].sel(kind=kind).transpose("sample", "start").values
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: Floats = np.log(chosen)
    return logs


def summary(profile: Floats) -> Floats:
    """Geometric mean ratio over injections in the middle half of the layers, `(draw)`."""
    n_starts = profile.shape[-1]
    middle = profile[..., n_starts // 4 : n_starts - n_starts // 4]
    mean: Floats = np.exp(middle.mean(axis=-1))
    return mean


def coords(result: xr.Dataset) -> dict[str, object]:
    """Layers of injection."""
    return {"start": result["start"].values}


def readout_note(result: xr.Dataset, evidence: xr.Dataset) -> str:
    """The same for the other kinds of displacement."""
    one = uniform_weights(result.sizes["sample"])
    others = [
        f"{kind} {float(summary(one @ _log_readout(result, str(kind)))[0]):.3g}"
        for kind in result["kind"].values
        if kind != READOUT_KIND
    ]
    return f"For the other kinds of displacement the ratio is: {', '.join(others)}."


def draw_of(what: str, interpretation: str) -> Callable[[xr.Dataset], list[Drawing]]:
    """The ratio by layer of injection beside its nulls, and the statistic."""

    def draw(evidence: xr.Dataset) -> list[Drawing]:
        starts = [str(start) for start in evidence["start"].values]
        bands = {"model": ("profile", "profile_low", "profile_high")}
        bands |= {
            str(name): ("null_profile", "null_low", "null_high") for name in evidence["null"].values
        }
        lines = []
        for name, parts in bands.items():
            chosen = evidence if name == "model" else evidence.sel(null=name)
            middle, low, high = (np.exp(chosen[part].values) for part in parts)
            lines.append(
                Series(
                    name=name if name == "model" else null_name(name),
                    x=np.arange(len(starts)),
                    y=middle,
                    low=low,
                    high=high,
                    labels=starts,
                    role="model" if name == "model" else "null",
                )
            )
        return [
            Lines(
                title=f"{what[0].upper()}{what[1:]}, by layer of injection",
                x_label="layer of injection (index)",
                y_label=f"{what} (1)",
                series=lines,
                y_scale="log",
                caption="Geometric mean over texts with 95 % over texts (untrained: over seeds).",
                interpretation=interpretation,
            ),
            statistic_intervals(evidence, f"{what}, middle half of the layers (1)"),
        ]

    return draw


END = Claim(
    id="C8-end",
    statement="At the end of the network a displacement is smaller than where it was made.",
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
    coords=coords,
    threshold=1.0,
    direction="less",
    nulls={"zero_update": ZERO_UPDATE, "untrained": UNTRAINED},
    draw=draw_of(
        "distance at the last site / initial distance",
        "The ratio would have to lie below 1 and below the untrained network.",
    ),
).register()
READOUT = Claim(
    id="C8-readout",
    statement=(
        "In the prediction of the next token a displacement within the plane of two principal "
        "components is reduced."
    ),
    statistic=(
        "KL divergence of the unperturbed next-token distribution from the perturbed one, over "
        "that of zero update (the displacement added to the last site unchanged); geometric mean "
        "over texts and over injections in the middle half of the layers (1)"
    ),
    source="ours; arXiv 2502.12131 shows trajectories only",
    perturbation="perturbation.recovery",
    profile=readout_profile,
    summary=summary,
    dims=("start",),
    coords=coords,
    threshold=1.0,
    direction="less",
    nulls={"untrained": UNTRAINED},
    note=readout_note,
    draw=draw_of(
        "KL / KL of zero update",
        "The ratio would have to lie below 1, the value of zero update, and below the untrained "
        "network.",
    ),
).register()

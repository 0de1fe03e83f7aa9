"""C10: the layers together are a low-rank bottleneck.

Statistic: entropy effective rank of the product of all layers' Jacobians over the number of units
(arXiv 2605.14258). Products of random matrices lose rank as well. Two findings are kept apart: the
low rank of each layer's own update, which updates of the same singular values in random bases have
as well, and the alignment of layers with each other, which these lack. The claim is the second.
"""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.claims.claim import UNTRAINED, Claim
from transformer_dynamics.claims.figures import null_name, profile_lines, statistic_intervals
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing, Lines, Series


def profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Effective rank of the product of layers so far, over the units, `(draw, step)`."""
    ranks = result["effective_rank"].transpose("sample", "step").values
    share: Floats = weights @ ranks / result.sizes["exponent"]
    return share


def summary(profile: Floats) -> Floats:
    """Effective rank of all layers together over the number of units, `(draw)`."""
    whole: Floats = profile[..., -1]
    return whole


def illustration(result: xr.Dataset) -> Floats:
    """Singular values of the whole product over the largest, mean over texts, `(rank)`."""
    values: Floats = result["composed_singular_value"].mean("sample").values
    return values


def note(result: xr.Dataset, evidence: xr.Dataset) -> str:
    """Beside it the ranks that weigh large singular values more."""
    last = result.isel(step=-1).mean("sample")
    return (
        f"In dimensions of {result.sizes['exponent']}: effective rank "
        f"{float(last['effective_rank']):.3g}, participation ratio "
        f"{float(last['participation_ratio']):.3g}, stable rank {float(last['stable_rank']):.3g}. "
        f"{_parts(evidence)}"
    )


def _parts(evidence: xr.Dataset) -> str:
    """Split the narrowing into the low rank of each layer and the alignment of layers."""
    names = {str(name) for name in evidence["null"].values}
    if not {"random_updates", "spectrum_matched_updates"} <= names:
        return ""
    value = float(evidence["statistic"])
    random, matched = (
        float(evidence["null_mean"].sel(null=name))
        for name in ("random_updates", "spectrum_matched_updates")
    )
    return (
        f"Random updates of the same size give {random:.3g}; with each layer's own singular values "
        f"in random bases {matched:.3g}; the recording has {value:.3g}. So the low rank of each "
        f"layer accounts for {random - matched:.3g} and the alignment between layers for "
        f"{matched - value:.3g} of the narrowing."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Rank by depth, and the spectrum of the whole product, beside the nulls."""
    spectra = {"recording": evidence["illustration"].values}
    for name in evidence["null"].values:
        spectra[null_name(name)] = evidence["null_illustration"].sel(null=name).values
    return [
        profile_lines(
            evidence,
            title="Effective rank of the product of the layers so far",
            y_label="effective rank / units (1)",
            caption="Over how many directions small deviations still differ after so many layers.",
            interpretation=(
                "The model would have to fall below updates with the same singular values in "
                "random bases, whose products lose rank as well."
            ),
        ),
        Lines(
            title="Singular values of the product of all layers, mean over texts",
            x_label="rank (index, largest first)",
            y_label="singular value / largest (1)",
            y_scale="log",
            series=[
                Series(
                    name=name.replace("recording", "model"),
                    x=evidence["rank"].values,
                    y=values,
                    role="model" if name == "recording" else "null",
                )
                for name, values in spectra.items()
            ],
            caption="How unequal the directions are that all layers together let through.",
            interpretation="A bottleneck would show as a knee that random products do not have.",
        ),
        statistic_intervals(evidence, "effective rank of all layers together / units (1)"),
    ]


CLAIM = Claim(
    id="C10",
    statement=(
        "Composed over depth the layers are a low-rank bottleneck, by the alignment of layers and "
        "not only by the low rank of each."
    ),
    statistic=(
        "entropy effective rank of the product of all layers' Jacobians at the last token, over "
        "the number of units (1), mean over texts"
    ),
    source="arXiv 2605.14258: cumulative Jacobians collapse to few directions",
    perturbation="perturbation.jacobians",
    profile=profile,
    summary=summary,
    dims=("step",),
    coords=lambda result: {
        "step": result["step"].values,
        "rank": range(1, result.sizes["exponent"] + 1),
    },
    threshold=0.5,
    direction="less",
    nulls={
        "spectrum_matched_updates": (
            "it has the singular values of every update, and layers that are not aligned"
        ),
        "untrained": UNTRAINED,
    },
    shown={
        "random_updates": "it lacks the low rank of each layer, so it cannot tell of alignment",
    },
    illustration=illustration,
    illustration_dims=("rank",),
    note=note,
    draw=draw,
).register()

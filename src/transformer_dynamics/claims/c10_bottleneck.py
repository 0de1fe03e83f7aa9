"""C10: layers align into a low-rank bottleneck.

Statistic: entropy effective rank of the product of all layers' Jacobians over the number of units.
Updates with the same singular values in random bases keep the low rank of each layer and lack the
alignment between layers, which is the claim. Products of random matrices lose rank as well.
Source: arXiv 2605.14258.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import UNTRAINED, Claim
from transformer_dynamics.claims.curves import Curve, standard_figures
from transformer_dynamics.claims.figures import null_series
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing, Lines, Series

CURVE = Curve(
    title="Effective rank of the product of the layers up to each depth",
    y_label="effective rank / units (1)",
    statistic="effective rank of all layers together / units (1)",
    caption="Effective rank of the product of layer Jacobians by depth, mean over texts.",
    interpretation=(
        "A bottleneck by alignment requires a lower rank than updates with the same singular "
        "values in random bases, whose products lose rank as well."
    ),
)


def profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Effective rank of the product of the layers up to each, over the units, `(draw, step)`."""
    ranks = result["effective_rank"].transpose("sample", "step").values
    share: Floats = weights @ ranks / result.sizes["exponent"]
    return share


def summary(profile: Floats) -> Floats:
    """Effective rank of all layers together over the number of units, `(draw)`."""
    whole: Floats = profile[..., -1]
    return whole


def illustration(result: xr.Dataset) -> xr.DataArray:
    """Singular values of the whole product over the largest, mean over texts, `(rank)`."""
    values = result["composed_singular_value"].mean("sample").values
    return xr.DataArray(values, dims=("rank",), coords={"rank": np.arange(1, values.size + 1)})


def note(result: xr.Dataset, evidence: xr.Dataset) -> str:
    """Give other ranks, which weight large singular values more, and the two parts."""
    last = result.isel(step=-1).mean("sample")
    return (
        f"Of {result.sizes['exponent']} dimensions the effective rank is "
        f"{float(last['effective_rank']):.3g}, the participation ratio "
        f"{float(last['participation_ratio']):.3g} and the stable rank "
        f"{float(last['stable_rank']):.3g}. {_parts(evidence)}"
    )


def _parts(evidence: xr.Dataset) -> str:
    """Attribute the loss of rank to the low rank of each layer and to the alignment of layers."""
    names = {str(name) for name in evidence["null"].values}
    if not {"random_updates", "spectrum_matched_updates"} <= names:
        return ""
    value = float(evidence["statistic"])
    random, matched = (
        float(evidence["null_mean"].sel(null=name))
        for name in ("random_updates", "spectrum_matched_updates")
    )
    return (
        f"The statistic is {random:.3g} for random updates of the same size, {matched:.3g} with "
        f"each layer's singular values in random bases and {value:.3g} for the model. The low rank "
        f"of each layer accounts for {random - matched:.3g} of the difference and the alignment "
        f"between layers for {matched - value:.3g}."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Rank by depth, spectrum of the whole product, and the statistic, with the nulls."""
    ranks = evidence["rank"].values
    model = Series(name="model", x=ranks, y=evidence["illustration"].values, role="model")
    spectrum = Lines(
        title="Singular values of the product of all layers, mean over texts",
        x_label="rank (index, largest first)",
        y_label="singular value / largest (1)",
        y_scale="log",
        series=[model, *null_series(evidence, ranks, ("null_illustration",))],
        caption="Singular values of the product in descending order, mean over texts.",
        interpretation="A bottleneck is a knee that products of unaligned layers do not show.",
    )
    lines, intervals = standard_figures(evidence, CURVE)
    return [lines, spectrum, intervals]


CLAIM = Claim(
    id="C10",
    statement=(
        "Layers align into a low-rank bottleneck, beyond the low rank of each layer's update."
    ),
    statistic=(
        "entropy effective rank of the product of all layers' Jacobians at the last token, over "
        "the number of units (1), mean over texts"
    ),
    source="arXiv 2605.14258: cumulative Jacobians collapse to few directions",
    perturbation="perturbation.jacobians",
    profile=profile,
    summary=summary,
    threshold=0.5,
    direction="less",
    nulls={
        "spectrum_matched_updates": (
            "keeps the singular values of every update and removes the alignment between layers"
        ),
        "untrained": UNTRAINED,
    },
    shown={
        "random_updates": "lacks the low rank of each layer, so it cannot test the alignment",
    },
    illustration=illustration,
    note=note,
    draw=draw,
).register()

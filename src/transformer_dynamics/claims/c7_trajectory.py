"""C7: the mean trajectory keeps its direction from layer to layer and curves over many layers.

Statistic: mean cosine between steps of the mean path one layer apart, each step from one half of
the texts and its successor from the other half. A random walk has 0, a straight line 1.
Condition: total turning of the mean path, smoothed over four layers, in the plane of two principal
components of the other half of the texts, above pi/4 rad (ours: an eighth of a turn). A straight
line has 0, a circle 2 pi. Turning alone does not decide: a walk turns most.
Source: arXiv 2502.12131. Cost: one PCA of the first half of the texts per draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim, Condition
from transformer_dynamics.claims.curves import Curve, standard_figures
from transformer_dynamics.claims.drawn_nulls import draws_of
from transformer_dynamics.claims.figures import null_name
from transformer_dynamics.claims.half_paths import half_path_cosines
from transformer_dynamics.claims.turning import (
    half_means,
    halves,
    plane_path,
    smoothed_path,
    sublayers_per_layer,
    total_turning,
)
from transformer_dynamics.measures.paths.polygons import tortuosity
from transformer_dynamics.nulls.increment_surrogates import permuted_layers
from transformer_dynamics.nulls.random_walk import matched_walk
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.blocks import axes_of
from transformer_dynamics.plots.backend import Drawing, Path, Paths
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import uniform_weights

CURVE = Curve(
    title="Cosine of the mean path's steps one layer apart, across halves of the texts",
    y_label="cosine (1)",
    statistic="mean cosine of steps one layer apart (1)",
    caption="Cosine between a step of the mean path and the step one layer later.",
    interpretation=(
        "A trajectory requires values above layers in random order, which keep the directions of "
        "the steps but not their sequence."
    ),
)


def profile(recording: Recording, weights: Floats) -> Floats:
    """Cosine of the mean path's steps one layer apart, across halves of the texts, `(draw, step)`.

    NaN for a draw that holds no text of one half.
    """
    return half_path_cosines(recording, weights, sublayers_per_layer(recording))


def illustration(recording: Recording) -> xr.DataArray:
    """The mean path of one half of the texts in the axes of the other, `(site, component)`."""
    path = plane_path(recording, uniform_weights(recording.shape[0]))[0]
    components = {"component": np.arange(1, path.shape[1] + 1)}
    return xr.DataArray(path, dims=("site", "component"), coords=recording.site_coords | components)


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Give the length of the path and the explained variance, which few units may carry."""
    axes = axes_of(recording, min(3, recording.shape[2]))
    shares = ", ".join(f"{share:.2f}" for share in axes.variance / axes.total_variance)
    top = np.sort(np.abs(axes.components[0]) ** 2)[::-1][:3].sum()
    length = float(tortuosity(evidence["illustration"].values[..., :2]))
    return (
        f"In the plane of the first two components the mean path is {length:.3g} times as long as "
        f"the distance between its ends. The first components explain {shares} of the variance "
        f"about the mean of all sublayers (random walk in high dimension: 0.61, 0.15, 0.07); three "
        f"units carry {top:.0%} of the first component."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Cosine by step, mean paths in the plane and in space, and the statistic with its nulls."""
    lines, intervals = standard_figures(evidence, CURVE)
    flat = _paths(evidence)
    if evidence["illustration"].shape[-1] > 2:
        return [lines, flat, replace(flat, z_label="PC3 (stream units)"), intervals]
    return [lines, flat, intervals]


def _paths(evidence: xr.Dataset) -> Paths:
    labels = [str(label) for label in evidence["site"].values]
    paths = [Path(name="recording", points=evidence["illustration"].values, labels=labels)]
    paths += [
        Path(
            name=null_name(name) + " (one draw)",
            points=evidence["null_illustration"].sel(null=name).values,
            labels=labels,
            role="null",
        )
        for name in evidence["null"].values
    ]
    return Paths(
        title="Mean trajectory over depth in principal components; each path in its own axes",
        x_label="PC1 (stream units)",
        y_label="PC2 (stream units)",
        paths=paths,
        caption="Mean path over texts in the directions of largest variance.",
        interpretation=(
            "A smooth curve is no evidence, since the components of a random walk are smooth as "
            "well; the steps must keep their direction from layer to layer."
        ),
    )


def coords(recording: Recording) -> dict[str, object]:
    """Steps that have a successor one layer later."""
    return {"step": recording.step_coords["step"][1][: -sublayers_per_layer(recording)]}


def walk_of_halves(recording: Recording) -> Callable[[int], Recording]:
    """Mean paths of the two halves under the random walk: `seed -> recording` of two samples."""
    means = half_means(recording)
    sizes = [len(half) for half in halves(recording)]
    walk = matched_walk(recording, means.values[:, 0], sizes=sizes)
    return lambda seed: means.with_values(walk.draw(seed), null="random_walk", seed=seed)


CLAIM = Claim(
    id="C7",
    statement="In reduced dimensions the mean stream follows a curved trajectory.",
    statistic=(
        "mean cosine between steps of the mean path one layer apart, each from one half of the "
        "texts and its successor from the other half (1); and total turning of the mean path "
        "smoothed over four layers, at least pi/4 rad"
    ),
    source="arXiv 2502.12131: curved trajectory in PCA of all sublayers together",
    profile=profile,
    coords=coords,
    threshold=0.0,
    nulls={
        "permuted_layers": "keeps all updates and permutes their order, so it turns at random",
        "random_walk": "keeps the recording's step sizes and makes the directions independent",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    conditions=(
        Condition(
            name="total turning of the smoothed mean path (rad)",
            profile=smoothed_path,
            summary=total_turning,
            threshold=np.pi / 4,
        ),
    ),
    quick_draws={
        "permuted_layers": partial(draws_of, permuted_layers, half_means),
        "random_walk": walk_of_halves,
    },
    illustration=illustration,
    note=note,
    curve=CURVE,
    draw=draw,
).register()

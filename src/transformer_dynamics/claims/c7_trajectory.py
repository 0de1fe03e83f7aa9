"""C7: in reduced dimensions the stream follows a curved trajectory.

A path that curves keeps its direction from one layer to the next, and turns over many. Two numbers:

Statistic: mean cosine between the mean path's steps one layer apart, each step from one half of the
texts and its successor from the other half, so that noise of the mean does not count. A walk has 0,
a straight line 1, a circle the cosine of the angle between steps.

Condition: total turning of the mean path smoothed over four layers, in radians, in the plane of the
first two principal components of the other half of the texts. A straight line has 0, a circle 2 pi.
The threshold pi/4 (ours) is an eighth of a turn.

Turning alone does not decide: a walk turns most of all, and its principal components draw smooth
curves whatever it does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim, Condition, mean_path
from transformer_dynamics.claims.figures import null_name, profile_lines, statistic_intervals
from transformer_dynamics.measures.paths.geometry import tortuosity
from transformer_dynamics.model.labels import parse
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.principal_axes import principal_axes
from transformer_dynamics.plots.backend import Drawing, Path, Paths
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import uniform_weights

# Pieces of equal length in which a path is walked.
N_PIECES = 16
# Layers that the path is averaged over before its turning is measured.
N_SMOOTHED = 4


def halves(recording: Recording) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Samples of every second text (or group), and of the others; of one, every second sample."""
    places = np.unique(recording.groups, return_inverse=True)[1]
    if places.max() == 0:
        places = np.arange(places.size)
    return np.flatnonzero(places % 2 == 0), np.flatnonzero(places % 2 == 1)


def sublayers_per_layer(recording: Recording) -> int:
    """Sites in a layer: two where attention and MLP are summed in turn, one in parallel blocks."""
    n_layers = len({parse(site)[0] for site in recording.sites})
    return max(1, round(len(recording.sites) / n_layers))


def profile(recording: Recording, weights: Floats) -> Floats:
    """Cosine of the mean path's steps one layer apart, across halves of the texts, `(draw, step)`.

    NaN for a draw that holds no text of one half.
    """
    lag = sublayers_per_layer(recording)
    first, second = (
        np.diff(_half_path(recording, weights, half), axis=1) for half in halves(recording)
    )
    across = [
        _cosine(before[:, :-lag], after[:, lag:])
        for before, after in ((first, second), (second, first))
    ]
    mean: Floats = (across[0] + across[1]) / 2
    return mean


def _half_path(recording: Recording, weights: Floats, half: NDArray[np.int64]) -> Floats:
    """Mean path over one half of the texts, `(draw, site, unit)`."""
    own = weights[:, half]
    with np.errstate(invalid="ignore"):
        own = own / own.sum(axis=1, keepdims=True)
    return mean_path(recording.isel(sample=half), own)


def _cosine(before: Floats, after: Floats) -> Floats:
    products = np.einsum("...u,...u->...", before, after)
    sizes = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
    return ratio(products, sizes)


def summary(profile: Floats) -> Floats:
    """Mean over steps, `(draw)`."""
    mean: Floats = profile.mean(axis=-1)
    return mean


def plane_path(recording: Recording, weights: Floats) -> Floats:
    """The mean path of one half of the texts in the axes of the other, `(draw, site, component)`.

    NaN for a draw that holds no text of the first.
    """
    scored, fitted = halves(recording)
    axes = principal_axes(recording.values[fitted], min(3, recording.shape[2]))
    path = _half_path(recording, weights, scored)
    return np.asarray(axes.project(path), dtype=np.float64)


def smoothed_path(recording: Recording, weights: Floats) -> Floats:
    """The path in the plane, averaged over four layers, `(draw, place, component)`."""
    path = plane_path(recording, weights)[..., :2]
    n_sites = path.shape[1]
    width = max(1, min(N_SMOOTHED * sublayers_per_layer(recording), n_sites // 4))
    sums = np.cumsum(np.concatenate([np.zeros_like(path[:, :1]), path], axis=1), axis=1)
    smoothed: Floats = (sums[:, width:] - sums[:, :-width]) / width
    return smoothed


def total_turning(paths: Floats) -> Floats:
    """Sum of the angles between consecutive pieces of equal length, `(..., point, axis)` in rad.

    NaN where a path has no length, or is not finite.

    >>> angles = np.linspace(0, np.pi, 200)
    >>> half_circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    >>> float((total_turning(half_circle) / np.pi).round(2))
    0.94
    """
    flat = paths.reshape(-1, *paths.shape[-2:])
    found: Floats = np.array([_turning(path) for path in flat]).reshape(paths.shape[:-2])
    return found


def _turning(path: Floats) -> float:
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    if not np.isfinite(along[-1]) or along[-1] == 0:
        return float("nan")
    places = np.linspace(0.0, along[-1], N_PIECES + 1)
    pieces = np.diff([np.interp(places, along, axis) for axis in path.T], axis=1).T
    before, after = pieces[:-1], pieces[1:]
    crossed = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return float(np.abs(np.arctan2(crossed, (before * after).sum(axis=1))).sum())


def illustration(recording: Recording) -> Floats:
    """The mean path of one half of the texts in the axes of the other, `(site, component)`."""
    path: Floats = plane_path(recording, uniform_weights(recording.shape[0]))[0]
    return path


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Give the length of the path and the explained variance, which few units may carry."""
    axes = principal_axes(recording.values, min(3, recording.shape[2]))
    shares = ", ".join(f"{share:.2f}" for share in axes.variance / axes.total_variance)
    top = np.sort(np.abs(axes.components[0]) ** 2)[::-1][:3].sum()
    length = float(tortuosity(evidence["illustration"].values[..., :2]))
    return (
        f"In the plane of the first two components the mean path is {length:.3g} times as long as "
        f"the distance between its ends. The first components explain {shares} of the variance "
        f"about the mean of all sublayers (random walk in high dimension: 0.61, 0.15, 0.07); three "
        f"units carry {top:.0%} of the first."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Cosine by step, mean paths in the plane and in space, and the statistic with its nulls."""
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
    names = [f"PC{place} (stream units)" for place in (1, 2, 3)]
    flat = Paths(
        title="Mean trajectory over depth in principal components; each path in its own axes",
        x_label=names[0],
        y_label=names[1],
        paths=paths,
        caption="The mean path over texts, along the directions in which states vary most.",
        interpretation=(
            "A smooth curve is no evidence, since the components of a walk draw one as well; the "
            "steps would have to keep their direction from layer to layer."
        ),
    )
    drawings: list[Drawing] = [
        profile_lines(
            evidence,
            title="Cosine of the mean path's steps one layer apart, across halves of the texts",
            y_label="cosine (1)",
            along="step",
            caption="Whether the mean path goes on in the direction of the layer before.",
            interpretation=(
                "The cosine would have to lie above that of layers in random order, which keep "
                "the directions of the steps and not their sequence."
            ),
        ),
        flat,
    ]
    if evidence["illustration"].shape[-1] > 2:
        drawings.append(replace(flat, z_label=names[2]))
    return [*drawings, statistic_intervals(evidence, "mean cosine of steps one layer apart (1)")]


def coords(recording: Recording) -> dict[str, object]:
    """Steps that have a successor one layer on; sites and components of the path."""
    n_components, lag = min(3, recording.shape[2]), sublayers_per_layer(recording)
    return {
        "step": recording.step_coords["step"][1][:-lag],
        **recording.site_coords,
        "component": np.arange(1, n_components + 1),
    }


CLAIM = Claim(
    id="C7",
    statement="In reduced dimensions the stream follows a curved trajectory.",
    statistic=(
        "mean cosine between steps of the mean path one layer apart, each from one half of the "
        "texts and its successor from the other half (1); and total turning of the mean path "
        "smoothed over four layers, at least pi/4 rad"
    ),
    source="arXiv 2502.12131: curved trajectory in PCA of all sublayers together",
    profile=profile,
    summary=summary,
    dims=("step",),
    coords=coords,
    threshold=0.0,
    nulls={
        "permuted_layers": "it has the same layers in another order, which turn at random",
        "random_walk": "it has the recording's step sizes and unrelated directions",
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
    illustration=illustration,
    illustration_dims=("site", "component"),
    note=note,
    draw=draw,
).register()

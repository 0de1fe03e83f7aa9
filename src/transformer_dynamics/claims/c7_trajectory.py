"""C7: in reduced dimensions the stream follows a curved trajectory, beyond that of a walk.

Statistic: total turning of the mean path, in radians: the plane of the first two principal
components is fitted to one half of the texts, and the mean path over the other half, projected into
it, is walked in pieces of equal length; the angles between consecutive pieces add up. Jitter of
steps that are short beside the whole path adds nothing, and noise that the plane was fitted to is
not there in the other half. A straight path has 0, half a circle pi, a path that turns back pi. The
threshold of pi/4 (ours) asks for an eighth of a turn. PCA of a high-dimensional walk is curved
too, so that the number means something only beside its nulls.

The plane is fitted once; bootstrap draws move the mean path in it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import Claim, Floats, mean_path
from transformer_dynamics.claims.figures import null_name, statistic_intervals
from transformer_dynamics.drawing import Drawing, Path, Paths
from transformer_dynamics.population.axes import principal_axes
from transformer_dynamics.population.geometry import tortuosity
from transformer_dynamics.recording.recording import Recording

# Pieces of equal length in which a path is walked.
N_PIECES = 16


def halves(recording: Recording) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Samples of every second text, and of the others; of one text, every second sample."""
    places = np.unique(recording.text_index, return_inverse=True)[1]
    if places.max() == 0:
        places = np.arange(places.size)
    return np.flatnonzero(places % 2 == 0), np.flatnonzero(places % 2 == 1)


def profile(recording: Recording, weights: Floats) -> Floats:
    """The mean path of one half of the texts in the axes of the other, `(draw, site, component)`.

    NaN for a draw that holds no text of the first.
    """
    n_components = min(3, recording.shape[2])
    scored, fitted = halves(recording)
    axes = principal_axes(recording.values[fitted], n_components)
    own = weights[:, scored]
    with np.errstate(invalid="ignore"):
        own = own / own.sum(axis=1, keepdims=True)
    path = mean_path(recording.select(samples=scored), own)
    return np.asarray(axes.project(path), dtype=np.float64)


def summary(profile: Floats) -> Floats:
    """Total turning in the first two components, `(draw)`, in radians."""
    return total_turning(profile[..., :2])


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


def remark(recording: Recording, evidence: xr.Dataset) -> str:
    """The explained variance that the paper quotes, and how few units may carry it."""
    axes = principal_axes(recording.values, min(3, recording.shape[2]))
    shares = ", ".join(f"{share:.2f}" for share in axes.variance / axes.total_variance)
    top = np.sort(np.abs(axes.components[0]) ** 2)[::-1][:3].sum()
    length = float(tortuosity(evidence["profile"].values[..., :2]))
    return (
        f"The path is {length:.3g} times as long as its ends are apart. "
        f"The first components explain {shares} of the variance about the global mean (walk in "
        f"high dimension: 0.61, 0.15, 0.07); three units carry {top:.0%} of the first."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Mean paths in the plane and in space, and the statistic against its nulls."""
    labels = [str(label) for label in evidence["site"].values]
    paths = [Path(name="recording", points=evidence["profile"].values, labels=labels)]
    paths += [
        Path(
            name=null_name(name) + " (one draw)",
            points=evidence["null_example"].sel(null=name).values,
            labels=labels,
            role="null",
        )
        for name in evidence["null"].values
    ]
    names = [f"PC{place} (stream units)" for place in (1, 2, 3)]
    title = "Mean trajectory over depth in principal components; each path in its own axes"
    flat = Paths(
        title=title,
        x_label=names[0],
        y_label=names[1],
        paths=paths,
        shows="The mean path over texts, seen along the directions in which states vary most.",
        requires=(
            "Its bends would have to be more than those of a walk, whose path in its own first "
            "components is a smooth curve without any dynamics."
        ),
    )
    drawings: list[Drawing] = [flat]
    if evidence["profile"].shape[-1] > 2:
        drawings.append(replace(flat, z_label=names[2]))
    return [
        *drawings,
        statistic_intervals(evidence, "total turning in the plane of PC1 and PC2 (rad)"),
    ]


def coords(recording: Recording) -> dict[str, object]:
    """Sites and components."""
    n_components = min(3, recording.shape[2])
    return {**recording.site_coords, "component": np.arange(1, n_components + 1)}


CLAIM = Claim(
    id="C7",
    statement=(
        "In reduced dimensions the stream follows a curved trajectory, more curved than that of a "
        "walk with the same steps."
    ),
    statistic=(
        "total turning of the mean path over half of the texts, in pieces of equal length, in the "
        "plane of the first two principal components of all sublayers of the other half (rad)"
    ),
    source="arXiv 2502.12131: curved trajectory in PCA of all sublayers together",
    profile=profile,
    summary=summary,
    dims=("site", "component"),
    coords=coords,
    threshold=np.pi / 4,
    nulls=("random_walk", "permuted_increments", "untrained"),
    remark=remark,
    draw=draw,
).register()

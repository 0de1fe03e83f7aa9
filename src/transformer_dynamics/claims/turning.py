"""Turning of the mean path over depth, in the plane of two principal components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.model.labels import parse
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.blocks import axes_of, block_means, per_sample
from transformer_dynamics.numerics.weighting import SampleWeights
from transformer_dynamics.recording.recording import Recording

# Pieces of equal length into which a path is divided.
N_PIECES = 16
# Layers over which the path is averaged before its turning is measured.
N_SMOOTHED = 4


def halves(recording: Recording) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Samples of every second text (or group), and of the others; of one, every second sample."""
    number = np.unique(recording.groups, return_inverse=True)[1]
    if number.max() == 0:
        number = np.arange(number.size)
    return np.flatnonzero(number % 2 == 0), np.flatnonzero(number % 2 == 1)


def sublayers_per_layer(recording: Recording) -> int:
    """Number of sites per layer: two for attention and MLP in turn, one for parallel blocks."""
    n_layers = len({parse(site)[0] for site in recording.sites})
    return max(1, round(len(recording.sites) / n_layers))


def half_means(recording: Recording) -> Recording:
    """The mean paths of the two halves of the texts, as a recording of two samples."""
    if recording.in_memory:
        path = np.empty((2, *recording.shape[1:]))
        for row, half in enumerate(halves(recording)):
            path[row] = recording.values[half].mean(axis=0, dtype=np.float64)
    else:
        path = block_means(recording, half_weights(recording))
    return Recording.from_array(path, sites=recording.sites, provenance=recording.provenance)


def half_weights(recording: Recording) -> Floats:
    """Equal weights of the samples of each half of the texts, `(half, sample)`."""
    weights = np.zeros((2, recording.shape[0]))
    for row, half in zip(weights, halves(recording), strict=True):
        row[half] = 1 / len(half)
    return weights


def within_half(weights: Floats, half: NDArray[np.int64]) -> Floats:
    """Weights within one half of the texts; NaN for a draw that holds none of its texts."""
    own = weights[:, half]
    with np.errstate(invalid="ignore"):
        shares: Floats = own / own.sum(axis=1, keepdims=True)
    return shares


def plane_path(recording: Recording, weights: Floats) -> Floats:
    """The mean path of one half of the texts in the axes of the other, `(draw, site, component)`.

    NaN for a draw that holds no text of the first half.
    """
    scored, fitted = halves(recording)
    axes = axes_of(recording.isel(sample=fitted), min(3, recording.shape[2]))
    scores = per_sample(recording.isel(sample=scored), axes.project)
    path = SampleWeights(within_half(weights, scored)).means(scores.reshape(len(scores), -1))
    return path.reshape(-1, *scores.shape[1:])


def smoothed_path(recording: Recording, weights: Floats) -> Floats:
    """The path in the plane, averaged over four layers, `(draw, point, component)`."""
    path = plane_path(recording, weights)[..., :2]
    n_sites = path.shape[1]
    width = max(1, min(N_SMOOTHED * sublayers_per_layer(recording), n_sites // 4))
    sums = np.cumsum(np.concatenate([np.zeros_like(path[:, :1]), path], axis=1), axis=1)
    smoothed: Floats = (sums[:, width:] - sums[:, :-width]) / width
    return smoothed


def total_turning(paths: Floats) -> Floats:
    """Sum of the angles between consecutive pieces of equal length, `(..., point, axis)` in rad.

    NaN where a path has no length or is not finite.

    >>> angles = np.linspace(0, np.pi, 200)
    >>> half_circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    >>> float((total_turning(half_circle) / np.pi).round(2))
    0.94
    """
    flat = paths.reshape(-1, *paths.shape[-2:])
    angles: Floats = np.array([_turning(path) for path in flat]).reshape(paths.shape[:-2])
    return angles


def _turning(path: Floats) -> float:
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    if not np.isfinite(along[-1]) or along[-1] == 0:
        return float("nan")
    marks = np.linspace(0.0, along[-1], N_PIECES + 1)
    pieces = np.diff([np.interp(marks, along, axis) for axis in path.T], axis=1).T
    before, after = pieces[:-1], pieces[1:]
    crossed = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return float(np.abs(np.arctan2(crossed, (before * after).sum(axis=1))).sum())

"""Perturbed states: a grid in the plane, shifts within it, random directions, other texts.

    grid       x = z V^T + mu: the part off the plane is erased, so that all starts share mu
    shift      x = c + (z - z_c) V^T: the clean state c moved within the plane, the rest kept
    random     x = c + |z - z_c| g / |g|, g normal: a random direction, as far as the shift
    towards    x = c + |z - z_c| (o - c) / |o - c|: towards another text's state o at this site

z are the points of a grid over the range of the first two principal components at the site, V their
loadings. Source: arXiv 2502.12131 for the grid; the other kinds: ours.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.recording.recording import Recording

KINDS = ("grid", "shift", "random", "towards")
# A text whose state differs from the clean one by a smaller share of its norm has no direction.
TOLERANCE = 1e-6


def plane_of(recording: Recording) -> PrincipalAxes:
    """Plane of the first two principal components, all samples and sublayers together.

    The final site is left out, as in arXiv 2502.12131.
    """
    return first_plane(pca(recording.sublayers, n_components=2))


def first_plane(components: xr.Dataset) -> PrincipalAxes:
    """Plane of the first two components of a result of `dimension.pca`."""
    loading = components["loading"].values[:2]
    return PrincipalAxes(components["mean"].values, loading, np.full(2, np.nan), float("nan"))


def grid_scores(scores: Floats, n: int) -> Floats:
    """An n x n grid over the range of scores in a plane.

    Args:
        scores: `(sample, component)`, two components.
        n: points a side, at least 2.

    Returns:
        `(point, component)`, the first component varying slowest.

    Raises:
        InputError: n is below 2, or there are not two components.

    >>> grid_scores(np.array([[0.0, 5.0], [1.0, 9.0]]), 2).tolist()
    [[0.0, 5.0], [0.0, 9.0], [1.0, 5.0], [1.0, 9.0]]
    """
    if n < 2 or scores.ndim != 2 or scores.shape[1] != 2:
        raise InputError(
            f"got n={n} and scores of shape {scores.shape}; a grid has at least 2 points a side in "
            "a plane of two components: grid_scores(scores, 10)"
        )
    sides = [
        np.linspace(low, high, n) for low, high in zip(scores.min(0), scores.max(0), strict=True)
    ]
    return np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)


def square_corners(half_range: float) -> Floats:
    """Two corners of a square about the origin of the plane, for `grid_scores`.

    >>> grid_scores(square_corners(15.0), 2).tolist()
    [[-15.0, -15.0], [-15.0, 15.0], [15.0, -15.0], [15.0, 15.0]]
    """
    return np.array([[-half_range] * 2, [half_range] * 2])


def displaced(
    kind: str,
    clean: Floats,
    grid: Floats,
    axes: PrincipalAxes,
    others: Floats,
    generator: np.random.Generator,
) -> Floats:
    """Perturbed states of one kind, `(state, unit)`, one per point of the grid.

    Args:
        kind: one of `KINDS`.
        clean: clean state at the site, `(unit)`.
        grid: points in the plane, `(point, component)`.
        axes: the plane.
        others: states of other texts at the site, `(sample, unit)`.
        generator: random numbers for the directions.

    Raises:
        InputError: no such kind; or no other text has a different state.
    """
    if kind not in KINDS:
        raise InputError(f"got kind {kind!r}; it is one of {', '.join(KINDS)}: kinds=('grid',)")
    if kind == "grid":
        return on_plane(grid, axes)
    shifted = in_plane(clean, grid, axes)
    if kind == "shift":
        return shifted
    sizes = np.linalg.norm(shifted - clean, axis=1, keepdims=True)
    if kind == "random":
        directions = generator.standard_normal((len(grid), clean.size))
    else:
        directions = towards_others(clean, others, len(grid), generator)
    states: Floats = clean + sizes * unit_vectors(directions)
    return states


def towards_others(
    clean: Floats,
    others: Floats,
    n: int,
    generator: np.random.Generator,
    *,
    tolerance: float = TOLERANCE,
) -> Floats:
    """Differences of n states of other texts from the clean state, `(state, unit)`.

    Raises:
        InputError: all states are the clean one, up to the tolerance times its norm.
    """
    differences = others - clean
    lengths = np.linalg.norm(differences, axis=1)
    differences = differences[lengths > tolerance * np.linalg.norm(clean)]
    if not len(differences):
        raise InputError(
            "got other texts whose states at this site all equal the clean one, so that there is "
            "no direction towards them; give more texts, or leave the kind out: kinds=('grid',)"
        )
    chosen: Floats = differences[
        generator.choice(len(differences), n, replace=len(differences) < n)
    ]
    return chosen


def on_plane(scores: Floats, axes: PrincipalAxes) -> Floats:
    """States in the plane with these scores, `(state, unit)`."""
    states: Floats = scores @ axes.components + axes.mean
    return states


def in_plane(clean: Floats, scores: Floats, axes: PrincipalAxes) -> Floats:
    """Clean state moved within the plane to these scores, the rest kept, `(state, unit)`."""
    moved: Floats = clean + (scores - axes.project(clean)) @ axes.components
    return moved


def unit_vectors(vectors: Floats) -> Floats:
    """Vectors scaled to length one, `(vector, unit)`."""
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def states_at(recording: Recording, site: str) -> Floats:
    """States of all samples at one site, `(sample, unit)`, float64."""
    states: Floats = recording.activation.sel(site=site).values.astype(np.float64)
    return states


def spread_of(states: Floats) -> float:
    """Root mean square distance of states from their mean; the denominator is their number."""
    deviations = states - states.mean(axis=0)
    return float(np.sqrt((deviations**2).sum(axis=1).mean()))

"""Perturbed states: a grid in the plane, shifts within it, random directions, other texts.

    grid       x = z V^T + mu: everything off the plane is erased, so that all starts share mu
    shift      x = c + (z - z_c) V^T: the clean state c moved within the plane, the rest kept
    random     x = c + |z - z_c| g / |g|, g normal: any direction, as far as the shift
    towards    x = c + |z - z_c| (o - c) / |o - c|: towards another text's state o at this site

z are the points of a grid over the range of the first two principal components at the site, V their
loadings. The grid is that of arXiv 2502.12131; the others are ours.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.recording.recording import Recording

KINDS = ("grid", "shift", "random", "towards")


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


def displaced(
    kind: str,
    clean: Floats,
    grid: Floats,
    axes: PrincipalAxes,
    others: Floats,
    generator: np.random.Generator,
) -> Floats:
    """States to start from, `(state, unit)`, one per point of the grid.

    Args:
        kind: one of `KINDS`.
        clean: the clean state at the site, `(unit)`.
        grid: points in the plane, `(point, component)`.
        axes: the plane.
        others: states of other texts at the site, `(sample, unit)`.
        generator: of directions.

    Raises:
        InputError: no such kind; or no other text has another state there.
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
        aims = unit_vectors(generator.standard_normal((len(grid), clean.size)))
    else:
        aims = unit_vectors(_apart(clean, others, len(grid), generator))
    put: Floats = clean + sizes * aims
    return put


def _apart(clean: Floats, others: Floats, n: int, generator: np.random.Generator) -> Floats:
    """From the clean state to n others that are not the same."""
    apart = others - clean
    apart = apart[np.linalg.norm(apart, axis=1) > 1e-6 * np.linalg.norm(clean)]
    if not len(apart):
        raise InputError(
            "no other text has another state at this site, so that none lies in any direction; "
            "give more texts, or leave out the kind 'towards'"
        )
    chosen: Floats = apart[generator.choice(len(apart), n, replace=len(apart) < n)]
    return chosen


def on_plane(scores: Floats, axes: PrincipalAxes) -> Floats:
    """The states in the plane that have these scores, `(state, unit)`."""
    states: Floats = scores @ axes.components + axes.mean
    return states


def in_plane(clean: Floats, scores: Floats, axes: PrincipalAxes) -> Floats:
    """The clean state moved within the plane to these scores, the rest kept, `(state, unit)`."""
    moved: Floats = clean + (scores - axes.project(clean)) @ axes.components
    return moved


def unit_vectors(vectors: Floats) -> Floats:
    """Vectors of length one, `(vector, unit)`."""
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def states_at(recording: Recording, site: str) -> Floats:
    """States of all samples at one site, `(sample, unit)`, float64."""
    states: Floats = recording.activation.sel(site=site).values.astype(np.float64)
    return states

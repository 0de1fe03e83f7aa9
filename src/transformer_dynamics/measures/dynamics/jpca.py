"""jPCA: share of the motion explained by one linear map, and by one pure rotation.

With midpoints y = (x[s] + x[s+1])/2 and steps dx = x[s+1] - x[s] of all paths, least squares of

    dx = M y,     R^2 = 1 - sum |dx - M y|^2 / sum |dx|^2

for any M, and for M skew-symmetric (M^T = -M), a pure rotation. Each pair of eigenvalues +-i w of
the skew M is a plane that turns by 2 arctan(w/2) per step. With midpoints both fits are exact for
steps of any size. Source: Churchland et al. 2012, with x[s] in place of midpoints there. Cost:
T K^2 for T steps in K axes. Not handled: maps that change from step to step, and noise, which
lowers both R^2. Closed forms: docs/measures/dynamics.rotation.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats

# Directions with less than this share of the largest variance are rounding; so are squared steps
# below its square over the squared states.
ROUNDING = 1e-13
# Paths whose steps are held together.
BLOCK_PATHS = 128


@dataclass(frozen=True)
class RotationFit:
    """Free and skew-symmetric map fitted to the steps of paths.

    Attributes:
        free: M of the free fit, `(axis, axis)`, per step; rows are axes of the step, columns
            axes of the state.
        skew: M of the skew-symmetric fit, `(axis, axis)`, per step.
        r2_free: share of the sum of squared steps explained by the free fit; NaN if nothing moves.
        r2_skew: share explained by the skew-symmetric fit.
        r2_skew_by_step: the same share of each step, over the paths, `(step)`; negative where the
            prediction is worse than no motion.
        frequency: rotation of each plane in radians per step, descending, `(plane)`.
        planes: two orthonormal vectors that span each plane, ordered in the sense of rotation, the
            first along most of the variance, `(plane, 2, axis)`.
    """

    free: Floats
    skew: Floats
    r2_free: float
    r2_skew: float
    r2_skew_by_step: Floats
    frequency: Floats
    planes: Floats

    @property
    def r2_ratio(self) -> float:
        """R^2 of the skew-symmetric fit over R^2 of the free fit; NaN where the latter is 0."""
        return self.r2_skew / self.r2_free if self.r2_free > 0 else np.nan


def jpca(paths: NDArray[Any]) -> RotationFit:
    """Fit one map to the steps of all paths, which are neither centered nor reduced here.

    Args:
        paths: `(path, point, axis)`, finite, at least two points and two axes.

    Raises:
        InputError: `paths` has another number of axes, too few points or axes, or is not finite.

    >>> angle = np.arange(6) * 0.5
    >>> fit = jpca(np.stack([np.cos(angle), np.sin(angle)], axis=-1)[np.newaxis])
    >>> round(fit.r2_ratio, 6), fit.frequency.round(6)
    (1.0, array([0.5]))
    """
    paths = np.asarray(paths, dtype=np.float64)
    if paths.ndim != 3 or paths.shape[1] < 2 or paths.shape[2] < 2 or not len(paths):
        raise InputError(
            f"got paths of shape {paths.shape}; jPCA takes (path, point, axis) with at least two "
            "points and two axes, as in jpca(values - values.mean(axis=0))"
        )
    if not np.isfinite(paths).all():
        raise InputError(
            "got paths that are not finite; jPCA needs finite ones: "
            "jpca(paths[np.isfinite(paths).all(axis=(1, 2))])"
        )
    n_axes = paths.shape[2]
    covariance, crossed = np.zeros((2, n_axes, n_axes))
    per_step, unexplained = np.zeros((2, paths.shape[1] - 1))
    for steps, midpoints in _motion(paths):
        flat_steps, flat_midpoints = steps.reshape(-1, n_axes), midpoints.reshape(-1, n_axes)
        covariance += flat_midpoints.T @ flat_midpoints
        crossed += flat_steps.T @ flat_midpoints
        per_step += np.einsum("nsa,nsa->s", steps, steps)
    free, skew = _solve(covariance, crossed)
    for steps, midpoints in _motion(paths):
        residual = steps - midpoints @ skew.T
        unexplained += np.einsum("nsa,nsa->s", residual, residual)
    total = float(per_step.sum())
    if total <= ROUNDING**2 * np.trace(covariance):
        per_step, total = np.full_like(per_step, np.nan), np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        by_step = np.where(per_step == 0, np.nan, 1 - unexplained / per_step)
    frequency, planes = _planes(skew, covariance)
    return RotationFit(
        free=free,
        skew=skew,
        # At a least-squares solution the explained part is <M, B>, nonnegative up to rounding.
        r2_free=_share(np.vdot(free, crossed), total),
        r2_skew=_share(np.vdot(skew, crossed), total),
        r2_skew_by_step=by_step,
        frequency=frequency,
        planes=planes,
    )


def _motion(paths: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Iterate over blocks of paths: their steps and midpoints, `(path, step, axis)`."""
    for start in range(0, len(paths), BLOCK_PATHS):
        block = paths[start : start + BLOCK_PATHS]
        yield np.diff(block, axis=1), (block[:, 1:] + block[:, :-1]) / 2


def _share(part: np.floating[Any], whole: float) -> float:
    """Ratio within 0 and 1."""
    return float(np.clip(part / whole, 0.0, 1.0))


def _solve(covariance: Floats, crossed: Floats) -> tuple[Floats, Floats]:
    """Solve the free and the skew-symmetric least squares in the eigenvectors of the covariance.

    Both maps are zero along directions without variance.
    """
    values, vectors = linalg.eigh(covariance)
    values = np.where(values > ROUNDING * values[-1], values, 0.0)
    turned = vectors.T @ crossed @ vectors
    sums = values[:, np.newaxis] + values
    free = np.divide(turned, values, out=np.zeros_like(turned), where=values > 0)
    skew = np.divide(turned - turned.T, sums, out=np.zeros_like(turned), where=sums > 0)
    skew = vectors @ skew @ vectors.T
    return vectors @ free @ vectors.T, (skew - skew.T) / 2


def _planes(skew: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Rotation per step and planes of a skew-symmetric map, fastest first."""
    # The axes of a real Schur form are orthonormal also within the null space.
    blocks, axes = linalg.schur(skew, output="real")
    below = np.abs(np.diag(blocks, -1))
    pairs: list[int] = []
    still: list[int] = []
    axis = 0
    while axis < len(skew):
        is_turning = axis < len(below) and below[axis] > 0
        (pairs if is_turning else still).append(axis)
        axis += 2 if is_turning else 1
    spans = [(below[axis], axes[:, [axis, axis + 1]].T) for axis in pairs]
    spans += [(0.0, axes[:, two].T) for two in zip(still[::2], still[1::2], strict=False)]
    spans.sort(key=lambda span: -span[0])
    planes = np.stack([_oriented(span, skew, covariance) for _, span in spans])
    return 2 * np.arctan(np.array([speed for speed, _ in spans]) / 2), planes


def _oriented(span: Floats, skew: Floats, covariance: Floats) -> Floats:
    """Orient a plane `(2, axis)`: most variance along the first vector, rotation to the second."""
    _, axes = linalg.eigh(span @ covariance @ span.T)
    first, second = axes.T[::-1] @ span
    first = first * np.sign(first[np.abs(first).argmax()])
    if second @ skew @ first < 0:
        second = -second
    return np.stack([first, second])

"""jPCA: how much of the motion one linear map, and one pure rotation, explain.

With midpoints y = (x[s] + x[s+1])/2 and steps dx = x[s+1] - x[s] of all paths, least squares of

    dx = M y,     R^2 = 1 - sum |dx - M y|^2 / sum |dx|^2

for any M, and for M skew-symmetric (M^T = -M), which turns and does nothing else. Both have closed
forms: with C = sum y y^T and B = sum dx y^T,

    free   M = B C^-1,         skew   M C + C M = B - B^T,

the second solved in the eigenvectors of C, M_ij = (B - B^T)_ij / (c_i + c_j). Each pair of
eigenvalues +-i w of the skew M is a plane that turns by 2 arctan(w/2) per step.

With midpoints the known answers are exact for steps of any size: a rotation by theta is
dx = 2 tan(theta/2) J y, so R^2 of the skew map is 1, and a decay by f is
dx = -2 (1 - f)/(1 + f) y, so it is 0. With dx regressed on x[s] instead, rotation would be part
decay, and so would noise.

Source: Churchland et al. 2012, with x[s] in place of midpoints there.

Cost: T K^2 for T steps in K axes.

Not handled: maps that change from step to step, and noise, which lowers both R^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats

# Directions with less than this share of the largest variance are rounding, and steps shorter than
# the square of it over the states have no direction.
ROUNDING = 1e-13


@dataclass(frozen=True)
class RotationFit:
    """The free and the skew-symmetric map that fit the steps of some paths.

    Attributes:
        free: M of the free fit, `(axis, axis)`: row is the step's axis, column the state's; per
            step.
        skew: M of the skew-symmetric fit, `(axis, axis)`, per step.
        r2_free: share of the sum of squared steps that the free fit explains; NaN if there is none.
        r2_skew: the same of the skew-symmetric fit.
        r2_skew_by_step: the same, step by step over the paths, `(step)`; below zero where it is
            worse than no motion.
        frequency: angle that each plane turns by, radians per step, falling, `(plane)`.
        planes: two unit vectors that span each plane, in the sense of its turning, the first along
            most of the variance, `(plane, 2, axis)`.
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
        """R^2 of the skew-symmetric fit over that of the free one; NaN where the latter is 0."""
        return self.r2_skew / self.r2_free if self.r2_free > 0 else np.nan


def jpca(paths: NDArray[Any]) -> RotationFit:
    """Fit one map to the steps of all paths, as they are: center and reduce them before.

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
    steps = np.diff(paths, axis=1)
    middles = (paths[:, 1:] + paths[:, :-1]) / 2
    flat_steps, flat_middles = (array.reshape(-1, paths.shape[2]) for array in (steps, middles))
    covariance = flat_middles.T @ flat_middles
    crossed = flat_steps.T @ flat_middles
    free, skew = _solve(covariance, crossed)
    per_step = np.einsum("nsa,nsa->s", steps, steps)
    total = float(per_step.sum())
    if total <= ROUNDING**2 * np.trace(covariance):
        per_step, total = np.full_like(per_step, np.nan), np.nan
    missed = steps - middles @ skew.T
    left = np.einsum("nsa,nsa->s", missed, missed)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_step = np.where(per_step == 0, np.nan, 1 - left / per_step)
    frequency, planes = _planes(skew, covariance)
    return RotationFit(
        free=free,
        skew=skew,
        # At a least-squares solution the explained part is <M, B>, at least zero but for rounding.
        r2_free=_share(np.vdot(free, crossed), total),
        r2_skew=_share(np.vdot(skew, crossed), total),
        r2_skew_by_step=by_step,
        frequency=frequency,
        planes=planes,
    )


def _share(part: np.floating[Any], whole: float) -> float:
    return float(np.clip(part / whole, 0.0, 1.0))


def _solve(covariance: Floats, crossed: Floats) -> tuple[Floats, Floats]:
    """The free and the skew-symmetric least squares, in the eigenvectors of the covariance.

    Directions in which there is no variance are not moved along.
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
    """Turning per step and the planes of a skew-symmetric map, fastest first."""
    # A real Schur form keeps the axes orthonormal where nothing turns as well.
    blocks, axes = linalg.schur(skew, output="real")
    below = np.abs(np.diag(blocks, -1))
    pairs: list[int] = []
    still: list[int] = []
    place = 0
    while place < len(skew):
        turns = place < len(below) and below[place] > 0
        (pairs if turns else still).append(place)
        place += 2 if turns else 1
    spans = [(below[place], axes[:, [place, place + 1]].T) for place in pairs]
    spans += [(0.0, axes[:, two].T) for two in zip(still[::2], still[1::2], strict=False)]
    spans.sort(key=lambda span: -span[0])
    planes = np.stack([_oriented(span, skew, covariance) for _, span in spans])
    return 2 * np.arctan(np.array([speed for speed, _ in spans]) / 2), planes


def _oriented(span: Floats, skew: Floats, covariance: Floats) -> Floats:
    """The same plane `(2, axis)`: most variance along the first, turning from it to the second."""
    _, axes = linalg.eigh(span @ covariance @ span.T)
    first, second = axes.T[::-1] @ span
    first = first * np.sign(first[np.abs(first).argmax()])
    if second @ skew @ first < 0:
        second = -second
    return np.stack([first, second])

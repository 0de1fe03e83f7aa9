"""CKA and Procrustes distance of two sets of states of the same samples.

With X `(sample, unit)` and Y centered over samples, K = X X^T and L = Y Y^T:

    CKA         HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))
    Procrustes  min over orthogonal R of |X R / |X| - Y / |Y||, Frobenius norms

`scipy.spatial.procrustes` needs as many units in both sets and rescales X once more, hence ours.
Sources: arXiv 1905.00414, 2010.15327, 2110.14739. Cost: n^2 D and min(n, D)^3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.similarity.cka_procrustes import cka_of_pairs
from transformer_dynamics.measures.similarity.state_sets import FEWEST_SAMPLES, u_centered
from transformer_dynamics.numerics.arrays import Floats, unit_frobenius, warn_undefined


def cka(x: NDArray[np.floating], y: NDArray[np.floating], *, debiased: bool = True) -> float:
    """Linear centered kernel alignment of two sets of states of the same samples.

    Args:
        x: `(sample, unit)`.
        y: `(sample, unit)`, the same samples; the number of units may differ.
        debiased: whether to use the unbiased HSIC (about 0 for unrelated sets, at times slightly
            negative) or the plug-in one (from 0 to 1, and well above 0 for unrelated sets of many
            units).

    Returns:
        CKA, dimensionless, at most 1; NaN, with one `UndefinedWarning`, where a set does not vary,
        varies in one sample alone (debiased), or is not finite.

    Raises:
        InputError: the shapes do not fit, or there are fewer than 4 samples (2 if biased): the
            unbiased HSIC is an average over four distinct samples.

    >>> x = np.array([[0.0], [1.0], [2.0], [4.0], [8.0]])
    >>> round(cka(x, np.hstack([3 - 2 * x, 0 * x])), 12)
    1.0
    """
    _require_pair(x, y, FEWEST_SAMPLES if debiased else 2, "cka")
    grams = [states @ states.T for states in (unit_frobenius(x), unit_frobenius(y))]
    if debiased:
        grams = [u_centered(gram) for gram in grams]
    value = cka_of_pairs(grams[0][np.newaxis], grams[1][np.newaxis])
    warn_undefined({"cka": value}, "a set of states does not vary", stacklevel=2)
    return float(value[0])


def procrustes_distance(
    x: NDArray[np.floating], y: NDArray[np.floating], *, angular: bool = False
) -> float:
    """Distance of two sets of states after centering, scaling and the best rotation.

    Args:
        x: `(sample, unit)`.
        y: `(sample, unit)`, the same samples. The set of fewer units is padded with zero units, and
            both are compared in the larger space.
        angular: whether to return the angle 2 arcsin(distance / 2) in radians instead.

    Returns:
        |X R - Y| of the sets centered and scaled to unit Frobenius norm, R the best orthogonal
        matrix (reflections allowed), from 0 to sqrt(2); or the angle, from 0 to pi/2. NaN, with one
        `UndefinedWarning`, where a set does not vary or is not finite. `scipy.spatial.procrustes`,
        which scales X as well, has the disparity 1 - (1 - distance^2 / 2)^2.

    Raises:
        InputError: the shapes do not fit, or there are fewer than two samples.

    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]])
    >>> procrustes_distance(x, 5 * x[:, ::-1]) < 1e-12
    True
    """
    _require_pair(x, y, 2, "procrustes_distance")
    fewer, more = _compact(unit_frobenius(x)), _compact(unit_frobenius(y))
    if fewer.shape[1] > more.shape[1]:
        fewer, more = more, fewer
    distance = np.nan
    if np.isfinite(fewer).all() and np.isfinite(more).all():
        left, _, right = np.linalg.svd(fewer.T @ more, full_matrices=False)
        distance = min(float(np.linalg.norm(fewer @ (left @ right) - more)), np.sqrt(2.0))
    name = "angle" if angular else "distance"
    warn_undefined({name: np.array([distance])}, "a set of states does not vary", stacklevel=2)
    return float(2 * np.arcsin(distance / 2)) if angular else distance


def _compact(states: Floats) -> Floats:
    """Rotate states into at most as many units as samples; distances between samples stay."""
    n_samples, n_units = states.shape
    if n_units <= n_samples or not np.isfinite(states).all():
        return states
    triangle: Floats = np.linalg.qr(states.T, mode="reduced").R
    return triangle.T


def _require_pair(x: NDArray[np.floating], y: NDArray[np.floating], fewest: int, call: str) -> None:
    shapes = np.shape(x), np.shape(y)
    if any(len(shape) != 2 or shape[1] < 1 or shape[0] < fewest for shape in shapes) or (
        shapes[0][0] != shapes[1][0]
    ):
        raise InputError(
            f"got sets of shapes {shapes[0]} and {shapes[1]}; both are (sample, unit), the same "
            f"samples in both and at least {fewest}: {call}(recording.values[:, 0], "
            "recording.values[:, -1])"
        )

"""Ridge regression on training texts with a cross-validated penalty.

With inputs z (sample, input) and targets y (sample, output), both about their training means,

    W = (Z'Z + c n v I)^-1 Z'Y,   v the mean variance of the inputs, n the number of samples

Folds are of whole texts. Ours and not sklearn's `Ridge` with `GroupKFold`, since all 13 penalties
are scored from one eigendecomposition per fold in place of 13 fits. Source: textbook ridge
regression. Cost: per fit and fold one eigendecomposition of (input, input) and two products with
the targets. Not handled: penalties that differ between inputs or outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.numerics.arrays import Floats

PENALTIES = tuple(float(penalty) for penalty in np.geomspace(1e-8, 1e4, 13))


@dataclass(frozen=True)
class AffineMap:
    """Affine map y = offset + (z - center) matrix.

    Attributes:
        center: training mean of the inputs, `(input)`.
        matrix: `(input, output)`.
        offset: training mean of the targets, `(output)`.
    """

    center: Floats
    matrix: Floats
    offset: Floats

    def __call__(self, inputs: Floats) -> Floats:
        """Predictions `(sample, output)`."""
        predicted: Floats = self.offset + (inputs - self.center) @ self.matrix
        return predicted


def ridge(inputs: Floats, targets: Floats, penalty: float) -> AffineMap:
    """Fit the ridge map from `(sample, input)` to `(sample, output)` with an unpenalized offset.

    Args:
        inputs: training inputs.
        targets: training targets.
        penalty: penalty relative to the mean variance of the inputs, dimensionless.

    >>> fitted = ridge(np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]]), 0.0)
    >>> fitted(np.array([[3.0]]))
    array([[7.]])
    """
    spectrum = _Spectrum.of(inputs, targets)
    matrix = spectrum.vectors @ (spectrum.shrinkage(penalty)[:, np.newaxis] * spectrum.products)
    return AffineMap(inputs.mean(axis=0), matrix, targets.mean(axis=0))


def cross_validated_ridge(
    inputs: Floats,
    targets: Floats,
    folds: NDArray[np.int64],
    *,
    penalties: ArrayLike = PENALTIES,
) -> tuple[AffineMap, float]:
    """Fit the ridge map with the penalty that predicts best across folds.

    Args:
        inputs: training inputs, `(sample, input)`.
        targets: training targets, `(sample, output)`.
        folds: fold of each training sample, `(sample)`; with one fold the largest penalty is
            used, since no sample can be held out.
        penalties: candidate penalties.

    Returns:
        The map fitted on all samples, and its penalty, the largest of equally good ones.
    """
    candidates = np.sort(np.asarray(penalties, dtype=np.float64))[::-1]
    errors = np.zeros(candidates.size)
    for fold in np.unique(folds) if np.unique(folds).size > 1 else ():
        held_out = folds == fold
        errors += _held_out_errors(inputs, targets, held_out, candidates)
    penalty = float(candidates[np.argmin(errors)])
    return ridge(inputs, targets, penalty), penalty


@dataclass(frozen=True)
class _Spectrum:
    """Eigenvalues and eigenvectors of the training inputs, and their products with targets."""

    values: Floats
    vectors: Floats
    products: Floats

    @classmethod
    def of(cls, inputs: Floats, targets: Floats) -> _Spectrum:
        centered = inputs - inputs.mean(axis=0)
        values, vectors = np.linalg.eigh(centered.T @ centered)
        products = vectors.T @ (centered.T @ (targets - targets.mean(axis=0)))
        return cls(np.maximum(values, 0.0), vectors, products)

    def shrinkage(self, penalty: float) -> Floats:
        """1 / (eigenvalue + penalty), 0 along directions in which the inputs do not vary."""
        is_varying = self.values > self.values.size * np.finfo(np.float64).eps * self.values.max()
        total = self.values + penalty * self.values.mean()
        shrunk: Floats = np.where(is_varying, 1 / np.where(is_varying, total, 1.0), 0.0)
        return shrunk


def _held_out_errors(
    inputs: Floats, targets: Floats, held_out: NDArray[np.bool_], penalties: Floats
) -> Floats:
    """Squared error on the held-out samples for each penalty, up to a common constant.

    With E the centered targets, |E - G diag(s) H|^2 = |E|^2 - 2 s . rowsum((G'E) * H)
    + s' ((G'G) * (HH')) s: the error is a quadratic form of the shrinkage s, and |E|^2 is dropped.
    """
    spectrum = _Spectrum.of(inputs[~held_out], targets[~held_out])
    turned = (inputs[held_out] - inputs[~held_out].mean(axis=0)) @ spectrum.vectors
    centered = targets[held_out] - targets[~held_out].mean(axis=0)
    linear = ((turned.T @ centered) * spectrum.products).sum(axis=1)
    square = (turned.T @ turned) * (spectrum.products @ spectrum.products.T)
    shrunk = np.stack([spectrum.shrinkage(penalty) for penalty in penalties])
    errors: Floats = ((shrunk @ square) * shrunk).sum(axis=1) - 2 * shrunk @ linear
    return errors

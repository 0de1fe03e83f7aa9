"""Ridge regression on training texts with a cross-validated penalty.

With inputs z (sample, input) and targets y (sample, output), both about their training means,

    W = (Z'Z + c n v I)^-1 Z'Y,   v the mean variance of the inputs, n the number of samples

Folds are of whole texts. Ours and not sklearn's `Ridge` with `GroupKFold`, since all 13 penalties
are scored from one eigendecomposition per fold in place of 13 fits, and the samples are needed only
for the sums Z'Z and Z'Y of each fold. Source: textbook ridge regression. Cost: N K (K + D) for the
sums of N samples, K inputs and D outputs, and per fold one eigendecomposition of (input, input).
Not handled: penalties that differ between inputs or outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

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
        predicted: Floats = (inputs - self.center) @ self.matrix
        predicted += self.offset
        return predicted


def cross_validated_ridge(
    inputs: Floats,
    targets: Floats,
    folds: NDArray[Any],
    *,
    penalties: ArrayLike = PENALTIES,
) -> tuple[AffineMap, float]:
    """Fit the ridge map, with an unpenalized offset, whose penalty predicts best across folds.

    Args:
        inputs: training inputs, `(sample, input)`.
        targets: training targets, `(sample, output)`.
        folds: fold of each training sample, `(sample)`; with one fold the largest penalty is
            used, since no sample can be held out.
        penalties: candidate penalties relative to the mean variance of the inputs, dimensionless.

    Returns:
        The map fitted on all samples, and its penalty, the largest of equally good ones.

    >>> inputs, targets = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])
    >>> fitted, _ = cross_validated_ridge(inputs, targets, np.zeros(2), penalties=[0.0])
    >>> fitted(np.array([[3.0]]))
    array([[7.]])
    """
    candidates = np.sort(np.asarray(penalties, dtype=np.float64))[::-1]
    center, offset = inputs.mean(axis=0), targets.mean(axis=0)
    # About the mean of all samples, so that sums of parts lose no digits.
    parts = [
        _Part.of(inputs[folds == fold] - center, targets[folds == fold] - offset)
        for fold in np.unique(folds)
    ]
    errors = np.zeros(candidates.size)
    for held_out in range(len(parts) if len(parts) > 1 else 0):
        spectrum = _Spectrum.of(parts[:held_out] + parts[held_out + 1 :])
        errors += spectrum.errors(parts[held_out], candidates)
    penalty = float(candidates[np.argmin(errors)])
    fitted = _Spectrum.of(parts).ridge(penalty)
    return AffineMap(fitted.center + center, fitted.matrix, fitted.offset + offset), penalty


@dataclass(frozen=True)
class _Part:
    """Sums over some samples: their number, and sums and products of inputs and targets."""

    count: int
    inputs: Floats
    targets: Floats
    squares: Floats
    products: Floats

    @classmethod
    def of(cls, inputs: Floats, targets: Floats) -> _Part:
        return cls(
            len(inputs),
            inputs.sum(axis=0),
            targets.sum(axis=0),
            inputs.T @ inputs,
            inputs.T @ targets,
        )

    def about(self, center: Floats, offset: Floats) -> tuple[Floats, Floats]:
        """Products of inputs, and of inputs and targets, about given centers."""
        shifted = self.inputs - self.count * center
        squares: Floats = self.squares - np.outer(center, self.inputs) - np.outer(shifted, center)
        products: Floats = self.products - np.outer(center, self.targets)
        products -= np.outer(shifted, offset)
        return squares, products


@dataclass(frozen=True)
class _Spectrum:
    """Eigenvalues and eigenvectors of the training inputs, and their products with targets."""

    center: Floats
    offset: Floats
    values: Floats
    vectors: Floats
    products: Floats

    @classmethod
    def of(cls, parts: Sequence[_Part]) -> _Spectrum:
        count, inputs, targets, squares, products = (
            sum(getattr(part, field.name) for part in parts) for field in fields(_Part)
        )
        whole = _Part(count, inputs, targets, squares, products)
        center, offset = inputs / count, targets / count
        squares, products = whole.about(center, offset)
        values, vectors = np.linalg.eigh(squares)
        return cls(center, offset, np.maximum(values, 0.0), vectors, vectors.T @ products)

    def ridge(self, penalty: float) -> AffineMap:
        shrunk = self.shrinkage(penalty)[:, np.newaxis] * self.products
        return AffineMap(self.center, self.vectors @ shrunk, self.offset)

    def shrinkage(self, penalty: float) -> Floats:
        """1 / (eigenvalue + penalty), 0 along directions in which the inputs do not vary."""
        is_varying = self.values > self.values.size * np.finfo(np.float64).eps * self.values.max()
        total = self.values + penalty * self.values.mean()
        shrunk: Floats = np.where(is_varying, 1 / np.where(is_varying, total, 1.0), 0.0)
        return shrunk

    def errors(self, held_out: _Part, penalties: Floats) -> Floats:
        """Squared error on held-out samples for each penalty, up to a common constant.

        With E the centered targets, |E - G diag(s) H|^2 = |E|^2 - 2 s . rowsum((G'E) * H)
        + s' ((G'G) * (HH')) s: the error is a quadratic form of the shrinkage s; |E|^2 is dropped.
        """
        squares, products = held_out.about(self.center, self.offset)
        linear = ((self.vectors.T @ products) * self.products).sum(axis=1)
        square = (self.vectors.T @ squares @ self.vectors) * (self.products @ self.products.T)
        shrunk = np.stack([self.shrinkage(penalty) for penalty in penalties])
        errors: Floats = ((shrunk @ square) * shrunk).sum(axis=1) - 2 * shrunk @ linear
        return errors

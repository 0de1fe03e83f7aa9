"""Symmetry and normality of matrices: departures from symmetric and from normal maps.

A is a step Jacobian J or its update U = J - I, |A| the Frobenius norm, lambda the eigenvalues:

    henrici            sqrt(|A|^2 - sum |lambda|^2) / |A|    0: normal; 0.707 for a Gaussian matrix
    symmetric energy   |(A + A^T)/2|^2 / |A|^2               1: symmetric; (1 + 1/n)/2 for Gaussian
    traceless          the same of U - (tr U / n) I          without the common factor
    commutator norm    |A A^T - A^T A| / |A|^2               0: normal
    numerical abscissa largest eigenvalue of (A + A^T)/2     the fastest initial growth of |x|
    complex share      share of eigenvalues that are complex, 1 - sqrt(2/(pi n)) for Gaussian
    imaginary weight   sum |Im lambda| / sum |lambda|
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.linalg.lapack import schur, top_eigvalsh
from transformer_dynamics.numerics.parallel import map_in_threads

Complex = NDArray[np.complex128]

# Relative size below which an imaginary part, or a deviation from a multiple of the identity, is a
# rounding error.
ROUNDING = 1e-9


def symmetric_energy(matrices: Floats) -> Floats:
    """Share of the squared Frobenius norm in the symmetric part, `(...)`.

    >>> float(symmetric_energy(np.array([[0.0, 1.0], [-1.0, 0.0]])))
    0.0
    """
    return _of_each(_symmetric_share, matrices)


def _symmetric_share(matrix: Floats) -> float:
    whole = (matrix**2).sum()
    return float(ratio((((matrix + matrix.T) / 2) ** 2).sum(), whole))


def frobenius_norm(matrices: Floats) -> Floats:
    """Frobenius norm, `(...)`."""
    return _of_each(lambda each: float(np.linalg.norm(each)), matrices)


def _of_each(function: Callable[[Floats], float], matrices: Floats) -> Floats:
    """A number of every matrix `(..., unit, unit)`, `(...)`: one at a time stays in the caches."""
    stack = np.asarray(matrices)
    if stack.ndim == 2:
        return np.float64(function(stack))  # type: ignore[return-value]
    shape, flat = stack.shape[:-2], stack.reshape(-1, *stack.shape[-2:])
    values: Floats = np.array(map_in_threads(function, flat), dtype=np.float64).reshape(shape)[()]
    return values


def traceless_symmetric_energy(updates: Floats) -> Floats:
    """Symmetric energy of matrices minus their mean diagonal, `(...)`.

    A matrix of independent Gaussian numbers has about 0.5, also with any multiple of the identity
    added. NaN if a matrix is a multiple of the identity, up to rounding.

    >>> float(traceless_symmetric_energy(np.array([[7.0, 2.0], [0.0, 7.0]])))
    0.5
    >>> float(traceless_symmetric_energy(3 * np.eye(2)))
    nan
    """
    return _of_each(_traceless_symmetric_share, updates)


def _traceless_symmetric_share(update: Floats) -> float:
    traceless = update - update.trace() / len(update) * np.eye(len(update))
    is_zero = np.linalg.norm(traceless) <= ROUNDING * np.linalg.norm(update)
    return float("nan") if is_zero else _symmetric_share(traceless)


def numerical_abscissa(matrices: Floats) -> Floats:
    """Largest eigenvalue of the symmetric part, `(...)`."""
    return _of_each(lambda each: float(top_eigvalsh((each + each.T) / 2, 1)[0]), matrices)


def henrici(matrices: Floats, eigenvalues: Complex) -> Floats:
    """Departure from normality, `(...)`, between 0 and 1.

    >>> shear = np.array([[1.0, 2.0], [0.0, 1.0]])
    >>> float(henrici(shear, np.linalg.eigvals(shear)).round(6)) == round(2 / 6**0.5, 6)
    True
    """
    whole = frobenius_norm(matrices) ** 2
    normal = (np.abs(eigenvalues) ** 2).sum(axis=-1)
    return ratio(np.sqrt(np.maximum(whole - normal, 0.0)), np.sqrt(whole))


def complex_share(eigenvalues: Complex) -> Floats:
    """Share of the eigenvalues that are not real, `(...)`."""
    scale = np.abs(eigenvalues).max(axis=-1, keepdims=True)
    share: Floats = (np.abs(eigenvalues.imag) > ROUNDING * scale).mean(axis=-1)
    return share


def random_complex_share(n: int) -> float:
    """Complex share of a large Gaussian n x n matrix, 1 - sqrt(2/(pi n))."""
    return float(1 - np.sqrt(2 / (np.pi * n)))


def imaginary_weight(eigenvalues: Complex) -> Floats:
    """Sum of |Im lambda| over sum of |lambda|, `(...)`."""
    return ratio(np.abs(eigenvalues.imag).sum(axis=-1), np.abs(eigenvalues).sum(axis=-1))


def schur_surrogate(matrix: Floats) -> Floats:
    """Normal matrix with the same eigenvalues and Schur vectors, `(unit, unit)`.

    It is A without the entries above the diagonal of its Schur form.

    >>> schur_surrogate(np.array([[1.0, 5.0], [0.0, 3.0]])).round(6).tolist()
    [[1.0, 0.0], [0.0, 3.0]]
    """
    return normal_part(matrix)[0]


def normal_part(matrix: Floats) -> tuple[Floats, Complex]:
    """Schur surrogate and eigenvalues of a matrix."""
    triangle, vectors = schur(matrix)
    normal = np.diag(np.diag(triangle))
    eigenvalues = np.diag(triangle).astype(np.complex128)
    for at in np.flatnonzero(np.diag(triangle, -1)):
        # A pair a +- ib has the block [[a, p], [-q, a]] with pq = b^2: as a rotation it is normal.
        imaginary = np.sqrt(-triangle[at, at + 1] * triangle[at + 1, at])
        normal[at, at + 1], normal[at + 1, at] = imaginary, -imaginary
        eigenvalues[at : at + 2] += [1j * imaginary, -1j * imaginary]
    return vectors @ normal @ vectors.T, eigenvalues

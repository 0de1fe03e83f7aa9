"""Quantities of the Jacobians that carry small displacements from one site to another.

For a step J = dF(s -> t)/dx, and its update U = J - I, what the layers add to a deviation; A is
either of the two, |A| the Frobenius norm, lambda the eigenvalues, sigma the singular values:

    henrici            sqrt(|A|^2 - sum |lambda|^2) / |A|    0: normal; 0.707 for a Gaussian matrix
    symmetric energy   |(A + A^T)/2|^2 / |A|^2               1: symmetric; (1 + 1/n)/2 for Gaussian
    traceless          the same of U - (tr U / n) I          a common factor does not count
    commutator norm    |A A^T - A^T A| / |A|^2               0: normal
    numerical abscissa largest eigenvalue of (A + A^T)/2     the fastest growth of |x| at once
    complex share      share of eigenvalues that are complex, beside 1 - sqrt(2/(pi n)) at random
    imaginary weight   sum |Im lambda| / sum |lambda|

and of the product of all steps, by its singular values with p = sigma / sum sigma:

    effective rank     exp(-sum p ln p)                      (Roy and Vetterli 2007)
    participation      (sum sigma^2)^2 / sum sigma^4
    stable rank        sum sigma^2 / max sigma^2

A step is nearly the identity, hence nearly symmetric, as soon as updates are small beside the
stream: what is read off steps must be compared with `random_updates`, which has updates of the same
size, and is best read off the update. Products of any matrices collapse in rank, at random too.

The Schur surrogate is A without what is above its Schur form's diagonal: the normal matrix with the
same eigenvalues and Schur vectors.

Cost: eigenvalues about 25 D^3. Source: arXiv 2605.14258 for the quantities; of the update: ours.
Not handled: pseudospectra.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.parallel import map_in_threads

Complex = NDArray[np.complex128]

READINGS = ("step", "update")
# An eigenvalue counts as complex where its imaginary part is beyond rounding; so does a matrix as
# more than a multiple of the identity.
ROUNDING = 1e-9
MEANINGS = {
    "norm": ("Frobenius norm (1)", "|A|"),
    "symmetric_energy": ("symmetric share of the squared norm (1)", "|(A + A^T)/2|^2 / |A|^2"),
    "traceless_symmetric_energy": (
        "symmetric share of the squared norm of the traceless update (1)",
        "|(T + T^T)/2|^2 / |T|^2, T = U - (tr U / n) I, U = J - I; NaN where T is zero",
    ),
    "commutator_norm": ("commutator norm (1)", "|A A^T - A^T A| / |A|^2"),
    "numerical_abscissa": ("numerical abscissa (1)", "largest eigenvalue of (A + A^T)/2"),
    "henrici": ("Henrici departure (1)", "sqrt(|A|^2 - sum |lambda|^2) / |A|"),
    "spectral_radius": ("spectral radius (1)", "largest |lambda|"),
    "spectral_norm": ("spectral norm (1)", "largest singular value"),
    "complex_share": ("share of complex eigenvalues (1)", "of all eigenvalues"),
    "imaginary_weight": ("imaginary weight (1)", "sum |Im lambda| / sum |lambda|"),
    "effective_rank": ("effective rank (dimensions)", "exp of the entropy of sigma / sum sigma"),
    "participation_ratio": ("participation ratio (dimensions)", "(sum s^2)^2 / sum s^4"),
    "stable_rank": ("stable rank (dimensions)", "sum s^2 / max s^2"),
}


def symmetric_energy(matrices: Floats) -> Floats:
    """Share of the squared Frobenius norm that the symmetric part holds, `(...)`.

    >>> float(symmetric_energy(np.array([[0.0, 1.0], [-1.0, 0.0]])))
    0.0
    """
    turned = np.swapaxes(matrices, -1, -2)
    whole = (matrices**2).sum(axis=(-1, -2))
    return _over((((matrices + turned) / 2) ** 2).sum(axis=(-1, -2)), whole)


def traceless_symmetric_energy(updates: Floats) -> Floats:
    """Symmetric energy of matrices less their mean diagonal, `(...)`.

    A matrix of independent Gaussian numbers has about 0.5, whatever multiple of the identity is
    added to it. NaN where a matrix is a multiple of the identity, up to rounding.

    >>> float(traceless_symmetric_energy(np.array([[7.0, 2.0], [0.0, 7.0]])))
    0.5
    >>> float(traceless_symmetric_energy(3 * np.eye(2)))
    nan
    """
    n_units = updates.shape[-1]
    means = np.trace(updates, axis1=-2, axis2=-1) / n_units
    traceless = updates - means[..., np.newaxis, np.newaxis] * np.eye(n_units)
    sizes, wholes = (np.linalg.norm(each, axis=(-2, -1)) for each in (traceless, updates))
    return np.where(sizes > ROUNDING * wholes, symmetric_energy(traceless), np.nan)[()]


def commutator_norm(matrices: Floats) -> Floats:
    """|A A^T - A^T A| / |A|^2, `(...)`; zero for normal matrices."""
    turned = np.swapaxes(matrices, -1, -2)
    apart = np.linalg.norm(matrices @ turned - turned @ matrices, axis=(-1, -2))
    return _over(apart, (matrices**2).sum(axis=(-1, -2)))


def numerical_abscissa(matrices: Floats) -> Floats:
    """The largest eigenvalue of the symmetric part, `(step)`."""
    last = [matrices.shape[-1] - 1] * 2
    return np.array(
        map_in_threads(
            lambda matrix: scipy.linalg.eigvalsh((matrix + matrix.T) / 2, subset_by_index=last)[0],
            matrices,
        )
    )


def henrici(matrices: Floats, eigenvalues: Complex) -> Floats:
    """Departure from normality, `(...)`, between 0 and 1.

    >>> shear = np.array([[1.0, 2.0], [0.0, 1.0]])
    >>> float(henrici(shear, np.linalg.eigvals(shear)).round(6)) == round(2 / 6**0.5, 6)
    True
    """
    whole = (matrices**2).sum(axis=(-1, -2))
    normal = (np.abs(eigenvalues) ** 2).sum(axis=-1)
    return _over(np.sqrt(np.maximum(whole - normal, 0.0)), np.sqrt(whole))


def complex_share(eigenvalues: Complex) -> Floats:
    """Share of the eigenvalues that are not real, `(...)`."""
    scale = np.abs(eigenvalues).max(axis=-1, keepdims=True)
    share: Floats = (np.abs(eigenvalues.imag) > ROUNDING * scale).mean(axis=-1)
    return share


def random_complex_share(n: int) -> float:
    """The complex share of a large Gaussian n x n matrix, 1 - sqrt(2/(pi n))."""
    return float(1 - np.sqrt(2 / (np.pi * n)))


def imaginary_weight(eigenvalues: Complex) -> Floats:
    """Sum of |Im lambda| over sum of |lambda|, `(...)`."""
    return _over(np.abs(eigenvalues.imag).sum(axis=-1), np.abs(eigenvalues).sum(axis=-1))


def spectrum(matrices: Floats) -> xr.Dataset:
    """Everything at the head of this module of the steps and of their updates.

    Args:
        matrices: step Jacobians `(step, unit, unit)`.

    Returns:
        `eigenvalue_real`, `eigenvalue_imaginary` `(step, eigenvalue)` of the step, by falling
        modulus; `singular_value` `(reading, step, eigenvalue)`; every other quantity `(reading,
        step)`, the readings being `step` and `update` = step - I. NaN where a matrix is zero.

    Raises:
        InputError: the matrices are not square.
    """
    given = _square(matrices)
    return spectrum_from(given, np.stack(map_in_threads(np.linalg.eigvals, given)))


def spectrum_from(given: Floats, eigenvalues: Complex) -> xr.Dataset:
    """Compute the result of `spectrum` for steps whose eigenvalues are known."""
    identity = np.eye(given.shape[-1])
    eigenvalues = np.take_along_axis(eigenvalues, np.argsort(-np.abs(eigenvalues), axis=-1), -1)
    parts = []
    for matrix, values in ((given, eigenvalues), (given - identity, eigenvalues - 1)):
        singular = np.stack(map_in_threads(scipy.linalg.svdvals, matrix))
        quantities = {
            "norm": np.linalg.norm(matrix, axis=(-1, -2)),
            "symmetric_energy": symmetric_energy(matrix),
            "commutator_norm": commutator_norm(matrix),
            "numerical_abscissa": numerical_abscissa(matrix),
            "henrici": henrici(matrix, values),
            "spectral_radius": np.abs(values).max(axis=-1),
            "spectral_norm": singular[:, 0],
            "complex_share": complex_share(eigenvalues),
            "imaginary_weight": imaginary_weight(values),
        }
        part = labeled(quantities, ("step",))
        part["singular_value"] = (("step", "eigenvalue"), singular)
        parts.append(part)
    names = xr.DataArray(list(READINGS), dims="reading", name="reading")
    result: xr.Dataset = xr.concat(parts, names)
    result["eigenvalue_real"] = (("step", "eigenvalue"), eigenvalues.real)
    result["eigenvalue_imaginary"] = (("step", "eigenvalue"), eigenvalues.imag)
    return result.assign_attrs(random_complex_share=random_complex_share(given.shape[-1]))


def effective_rank(singular_values: Floats) -> dict[str, Floats]:
    """The three ranks of matrices with these singular values, `(..., value)` to `(...)`.

    >>> {name: float(rank) for name, rank in effective_rank(np.ones(4)).items()}
    {'effective_rank': 4.0, 'participation_ratio': 4.0, 'stable_rank': 4.0}
    """
    shares = _over(singular_values, singular_values.sum(axis=-1, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(shares > 0, shares * np.log(shares), shares).sum(axis=-1)
    squares = singular_values**2
    return {
        "effective_rank": np.exp(entropy),
        "participation_ratio": _over(squares.sum(axis=-1) ** 2, (squares**2).sum(axis=-1)),
        "stable_rank": _over(squares.sum(axis=-1), squares.max(axis=-1)),
    }


def composed_ranks(matrices: Floats) -> tuple[dict[str, Floats], Floats]:
    """Ranks of the product of the first 1, 2, ... steps, and the last one's singular values.

    Args:
        matrices: `(step, unit, unit)`, the first step first.

    Returns:
        The three ranks by name, `(step)`; singular values of the whole product over the largest,
        `(unit)`.
    """
    products = np.empty_like(matrices, dtype=np.float64)
    product = np.eye(matrices.shape[-1])
    for step, matrix in enumerate(matrices):
        product = matrix @ product
        product /= max(np.abs(product).max(), np.finfo(np.float64).tiny)  # ranks have no scale
        products[step] = product
    values = np.stack(map_in_threads(_singular_values, products))
    values[-1] = scipy.linalg.svdvals(products[-1])
    return effective_rank(values), _over(values[-1], values[-1].max())


def _singular_values(matrix: Floats) -> Floats:
    """Singular values, falling, in half the time and to half the digits.

    What is lost, values below about 1e-8 of the largest, adds nothing to a rank.
    """
    squares = scipy.linalg.eigvalsh(matrix.T @ matrix)
    values: Floats = np.sqrt(np.maximum(squares[::-1], 0.0))
    return values


def schur_surrogate(matrix: Floats) -> Floats:
    """The normal matrix with the same eigenvalues and Schur vectors, `(unit, unit)`.

    >>> schur_surrogate(np.array([[1.0, 5.0], [0.0, 3.0]])).round(6).tolist()
    [[1.0, 0.0], [0.0, 3.0]]
    """
    return normal_part(matrix)[0]


def normal_part(matrix: Floats) -> tuple[Floats, Complex]:
    """The Schur surrogate and the eigenvalues."""
    triangle, vectors = scipy.linalg.schur(matrix, output="real")
    normal = np.diag(np.diag(triangle))
    eigenvalues = np.diag(triangle).astype(np.complex128)
    for at in np.flatnonzero(np.diag(triangle, -1)):
        # A pair a +- ib stands as [[a, p], [-q, a]] with pq = b^2: as a rotation it is normal.
        turn = np.sqrt(-triangle[at, at + 1] * triangle[at + 1, at])
        normal[at, at + 1], normal[at + 1, at] = turn, -turn
        eigenvalues[at : at + 2] += [1j * turn, -1j * turn]
    return vectors @ normal @ vectors.T, eigenvalues


def labeled(quantities: dict[str, Floats], dims: tuple[str, ...]) -> xr.Dataset:
    """Quantities as variables with their meaning."""
    return xr.Dataset(
        {
            name: (dims, values, {"units": MEANINGS[name][0], "definition": MEANINGS[name][1]})
            for name, values in quantities.items()
        }
    )


def _square(matrices: Floats) -> Floats:
    given = np.asarray(matrices, dtype=np.float64)
    if given.ndim != 3 or given.shape[1] != given.shape[2] or 0 in given.shape:
        raise InputError(
            f"got matrices of shape {given.shape}; they are (step, unit, unit): "
            "spectrum(step_jacobians(flow))"
        )
    return given


def _over(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole == 0, np.nan, part / np.where(whole == 0, 1, whole))[()]

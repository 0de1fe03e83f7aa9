"""Spectra of step Jacobians J = dF(s -> t)/dx and of their updates U = J - I.

The quantities are those of `normality`, with spectral radius and norm. A step is nearly the
identity, hence nearly symmetric, as soon as its update is small relative to the stream: steps must
be compared with `random_updates`, whose updates have the same size, and the update is the better
reading.

Cost: eigenvalues, about 25 D^3 per step. Source: arXiv 2605.14258; quantities of the update: ours.
Limit: no pseudospectra.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.parallel import map_in_threads
from transformer_dynamics.perturbation.driver import stacked
from transformer_dynamics.perturbation.jacobians.normality import (
    Complex,
    complex_share,
    frobenius_norm,
    henrici,
    imaginary_weight,
    numerical_abscissa,
    random_complex_share,
    symmetric_energy,
)
from transformer_dynamics.perturbation.jacobians.ranks import singular_values_of_gram

READINGS = ("step", "update")
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


def spectrum(matrices: Floats) -> xr.Dataset:
    """Spectra, symmetry and normality of the steps and of their updates.

    Args:
        matrices: step Jacobians `(step, unit, unit)`.

    Returns:
        `eigenvalue_real`, `eigenvalue_imaginary` `(step, eigenvalue)` of the step, in descending
        order of modulus; `singular_value` `(reading, step, eigenvalue)`; every other quantity
        `(reading, step)`, with the readings `step` and `update` = step - I. NaN if a matrix is
        zero.

    Raises:
        InputError: the matrices are not square.
    """
    given = _square(matrices)
    return spectrum_from(given, np.stack(map_in_threads(np.linalg.eigvals, given)))


def spectrum_from(given: Floats, eigenvalues: Complex) -> xr.Dataset:
    """Compute the result of `spectrum` from steps and their eigenvalues."""
    eigenvalues = np.take_along_axis(eigenvalues, np.argsort(-np.abs(eigenvalues), axis=-1), -1)
    of_steps = map_in_threads(_quantities, zip(given, eigenvalues, strict=True))
    readings = []
    for of_reading in zip(*of_steps, strict=True):
        names = of_reading[0].keys() - {"singular_value"}
        reading = labeled(
            {
                name: np.array([each[name] for each in of_reading])
                for name in MEANINGS
                if name in names
            },
            ("step",),
        )
        singular = np.stack([each["singular_value"] for each in of_reading])
        reading["singular_value"] = (("step", "eigenvalue"), singular)
        readings.append(reading)
    result = stacked(dict(zip(READINGS, readings, strict=True)), "reading")
    result["eigenvalue_real"] = (("step", "eigenvalue"), eigenvalues.real)
    result["eigenvalue_imaginary"] = (("step", "eigenvalue"), eigenvalues.imag)
    return result.assign_attrs(random_complex_share=random_complex_share(given.shape[-1]))


def _quantities(step: tuple[Floats, Complex]) -> list[dict[str, Any]]:
    """Quantities of one step and of its update, from the step and its eigenvalues."""
    matrix, eigenvalues = step
    identity = np.eye(len(matrix))
    update = matrix - identity
    gram, outer = update.T @ update, update @ update.T
    # The identity does not change the commutator, and moves the abscissa by one.
    of_commutator, abscissa = frobenius_norm(outer - gram), numerical_abscissa(update)
    of_step = identity + update + update.T + gram
    readings = []
    for each, product, values, shift in (
        (matrix, of_step, eigenvalues, 1),
        (update, gram, eigenvalues - 1, 0),
    ):
        singular, norm = singular_values_of_gram(product), frobenius_norm(each)
        readings.append(
            {
                "norm": norm,
                "symmetric_energy": symmetric_energy(each),
                "commutator_norm": ratio(of_commutator, norm**2),
                "numerical_abscissa": abscissa + shift,
                "henrici": henrici(each, values),
                "spectral_radius": np.abs(values).max(),
                "spectral_norm": singular[0],
                "complex_share": complex_share(eigenvalues),
                "imaginary_weight": imaginary_weight(values),
                "singular_value": singular,
            }
        )
    return readings


def labeled(quantities: dict[str, Floats], dims: tuple[str, ...]) -> xr.Dataset:
    """Quantities as variables with units and definition."""
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

"""Helpers for arrays of states `(sample, site, unit)`: centering, ratios, undefined values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, UndefinedWarning

Floats = NDArray[np.float64]

# Rows that are copied to float64 at a time, where statistics are added up piece by piece.
PIECE_ROWS = 256


def check_weights(weights: Floats | None, n_samples: int) -> Floats:
    """Check bootstrap weights `(draw, sample)` and convert them to float64.

    Args:
        weights: weights whose rows sum to one, or None for one row of 1/N.
        n_samples: number of samples N.

    Raises:
        InputError: the shape is wrong, or a row does not sum to one.
    """
    if weights is None:
        return np.full((1, n_samples), 1 / n_samples)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != n_samples:
        raise InputError(
            f"got weights of shape {weights.shape} for {n_samples} samples; their shape is "
            "(draw, sample): np.full((1, n_samples), 1 / n_samples) gives the plain mean"
        )
    sums = weights.sum(axis=1)
    if not np.allclose(sums, 1, rtol=0, atol=1e-6):
        worst = float(sums[np.argmax(np.abs(sums - 1))])
        raise InputError(
            f"got a row of weights that sums to {worst:.6g}; each must sum to one: "
            "weights / weights.sum(axis=1, keepdims=True)"
        )
    return weights


def centered(columns: NDArray[Any]) -> Floats:
    """Subtract the mean of each unit from a float64 copy of `(sample, unit)`.

    The first sample is subtracted before the mean, so that a constant unit becomes exactly zero
    instead of the rounding error of its mean.
    """
    result = columns.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        result -= result[0].copy()
        result -= result.mean(axis=0)
    return result


def defined_mean(values: NDArray[Any]) -> Floats:
    """Average over the last axis without NaN, in float64; NaN where no value is defined.

    `np.nanmean` would add float32 values in float32 and warn where no value is defined.
    """
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        total = np.sum(values, axis=-1, dtype=np.float64, where=defined)
        return np.asarray(total / defined.sum(axis=-1))


def band(values: NDArray[Any]) -> tuple[Floats, Floats]:
    """Compute the 5 % and 95 % quantiles over the last axis without NaN; NaN where all are NaN."""
    low, high = np.full((2, *values.shape[:-1]), np.nan)
    defined = ~np.isnan(values).all(axis=-1)
    if defined.any():
        with np.errstate(invalid="ignore"):
            low[defined], high[defined] = np.nanquantile(values[defined], [0.05, 0.95], axis=-1)
    return low, high


def unit_frobenius(states: NDArray[Any]) -> Floats:
    """Center states over samples and scale them to unit Frobenius norm.

    Args:
        states: `(sample, unit)`.

    Returns:
        `(sample, unit)`, float64, dimensionless; NaN where all samples are equal.
    """
    states = states.astype(np.float64)
    # Subtracting the first sample first makes equal samples exactly zero.
    with np.errstate(invalid="ignore"):
        states -= states[0].copy()
        states -= states.mean(axis=0)
        return ratio(states, np.asarray(np.linalg.norm(states)))


def require_sites(values: NDArray[Any], at_least: int) -> None:
    """Check that states have the axes `(sample, site, unit)` and enough sites.

    Raises:
        InputError: `values` does not have three axes, or has fewer than `at_least` sites.
    """
    if values.ndim != 3 or values.shape[1] < at_least:
        raise InputError(
            f"got states of shape {values.shape}; this needs (sample, site, unit) with at least "
            f"{at_least} sites, as in Recording.from_array(values) of the whole stream"
        )


def site_states(values: NDArray[Any]) -> Iterator[Floats]:
    """Iterate over sites: the states `(sample, unit)` of each as a contiguous float64 copy."""
    for site in range(values.shape[1]):
        yield values[:, site, :].astype(np.float64, order="C")


def row_pieces(n_rows: int, size: int = PIECE_ROWS) -> Iterator[slice]:
    """Iterate over slices of at most `size` rows.

    >>> list(row_pieces(300))
    [slice(0, 256, None), slice(256, 300, None)]
    """
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def site_pieces(values: NDArray[Any]) -> Iterator[tuple[int, slice, Floats]]:
    """Iterate over sites and their samples in pieces: site, samples and float64 copies.

    Args:
        values: states `(sample, site, unit)`; a piece is `(sample, unit)`.
    """
    for site in range(values.shape[1]):
        for rows in row_pieces(len(values)):
            yield site, rows, values[rows, site].astype(np.float64, order="C")


def add_rows(total: Floats, rows: Floats) -> None:
    """Add rows `(row, unit)` to a total `(unit)` in place, one after the other.

    The total of several pieces has the bits of one sum over all rows. The first row is overwritten.
    """
    rows[0] += total
    rows.sum(axis=0, out=total)


def lengths(vectors: Floats) -> Floats:
    """Compute the Euclidean length `(sample)` of each row of `(sample, unit)`."""
    squares: Floats = np.einsum("nu,nu->n", vectors, vectors)
    return np.sqrt(squares)


def ratio(part: Floats, whole: Floats) -> Floats:
    """Divide `part` by `whole`; NaN where `whole` is zero."""
    with np.errstate(invalid="ignore", over="ignore"):
        return part / np.where(whole == 0, np.nan, whole)


def warn_undefined(results: Mapping[str, NDArray[Any]], reason: str, *, stacklevel: int) -> None:
    """Count the NaN of each named result in one `UndefinedWarning`, if there are any.

    Args:
        results: arrays of any shape, by name.
        reason: cause of undefined values, a clause that follows "because".
        stacklevel: 2 to point at the caller of the function that calls this one, and so on up.
    """
    counts = {
        name: (int(np.count_nonzero(np.isnan(result))), result.size)
        for name, result in results.items()
    }
    warn_counts(counts, reason, stacklevel=stacklevel + 1)


def warn_counts(counts: Mapping[str, tuple[int, int]], reason: str, *, stacklevel: int) -> None:
    """Report the number of undefined values in one `UndefinedWarning`, if there are any.

    Args:
        counts: number of undefined values and of all values, by name.
        reason: see `warn_undefined`.
        stacklevel: see `warn_undefined`.
    """
    undefined = [
        f"{count} of {total} values of {name}" for name, (count, total) in counts.items() if count
    ]
    if undefined:
        warnings.warn(
            f"undefined (NaN): {', '.join(undefined)}, because {reason}, or states are not finite",
            UndefinedWarning,
            stacklevel=stacklevel + 1,
        )


def per_sample(units: str, definition: str) -> dict[str, str]:
    """Build the attrs of a variable that is not pooled over samples."""
    return {
        "units": units,
        "definition": definition,
        "pooling": "none: one value per sample",
        "vectors": "as recorded, neither normalized nor centered",
    }

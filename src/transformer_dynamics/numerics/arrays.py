"""Small helpers on arrays of states `(sample, site, unit)`: ratios, lengths, undefined values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, UndefinedWarning

Floats = NDArray[np.float64]


def check_weights(weights: Floats | None, n_samples: int) -> Floats:
    """Weights `(draw, sample)` in float64, refused unless they fit; without any, a row of 1/N."""
    if weights is None:
        return np.full((1, n_samples), 1 / n_samples)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != n_samples:
        raise InputError(
            f"got weights of shape {weights.shape} for {n_samples} samples; they are (draw, sample)"
            ": np.full((1, n_samples), 1 / n_samples) is the plain mean"
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
    """A float64 copy of `(sample, unit)` with the mean of each unit taken away.

    The first sample is subtracted before the mean, so that a constant unit becomes exactly zero
    and not the rounding error of its mean.
    """
    result = columns.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        result -= result[0].copy()
        result -= result.mean(axis=0)
    return result


def warn_where_undefined(result: NDArray[Any], noun: str, *, stacklevel: int) -> None:
    """One warning that counts the NaN of a result, if there are any."""
    undefined = int(np.count_nonzero(np.isnan(result)))
    if undefined:
        warnings.warn(
            f"{undefined} of {result.size} {noun} are undefined (NaN): the unit does not vary "
            "over the samples, or its states are not finite",
            UndefinedWarning,
            stacklevel=stacklevel + 1,
        )


def defined_mean(values: NDArray[Any]) -> Floats:
    """Mean over the last axis without NaN, in float64; NaN where nothing is defined."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        total = np.sum(values, axis=-1, dtype=np.float64, where=defined)
        return np.asarray(total / defined.sum(axis=-1))


def band(values: NDArray[Any]) -> tuple[Floats, Floats]:
    """5 % and 95 % quantile over the last axis without NaN; NaN where nothing is defined."""
    low, high = np.full((2, *values.shape[:-1]), np.nan)
    some = ~np.isnan(values).all(axis=-1)
    if some.any():
        with np.errstate(invalid="ignore"):
            low[some], high[some] = np.nanquantile(values[some], [0.05, 0.95], axis=-1)
    return low, high


def standardized(states: NDArray[Any]) -> Floats:
    """Centered over samples and of unit Frobenius norm; NaN where the samples agree."""
    states = states.astype(np.float64)
    # The first sample goes first: samples that agree become zero, not their mean's rounding error.
    with np.errstate(invalid="ignore"):
        states -= states[0].copy()
        states -= states.mean(axis=0)
        return ratio(states, np.asarray(np.linalg.norm(states)))


def require_sites(values: NDArray[Any], at_least: int) -> None:
    """Refuse what is not `(sample, site, unit)` with enough sites.

    Raises:
        InputError: `values` has another number of axes, or fewer than `at_least` sites.
    """
    if values.ndim != 3 or values.shape[1] < at_least:
        raise InputError(
            f"got states of shape {values.shape}; this needs (sample, site, unit) with at least "
            f"{at_least} sites, as in Recording.from_array(values) of the whole stream"
        )


def site_states(values: NDArray[Any]) -> Iterator[Floats]:
    """The states of one site after the other, `(sample, unit)`, as contiguous float64 copies."""
    for site in range(values.shape[1]):
        yield values[:, site, :].astype(np.float64, order="C")


def lengths(vectors: Floats) -> Floats:
    """Euclidean length of each row: `(sample, unit)` to `(sample)`."""
    squares: Floats = np.einsum("nu,nu->n", vectors, vectors)
    return np.sqrt(squares)


def ratio(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, NaN where `whole` is zero."""
    with np.errstate(invalid="ignore", over="ignore"):
        return part / np.where(whole == 0, np.nan, whole)


def warn_undefined(results: Mapping[str, Floats], reason: str, *, stacklevel: int) -> None:
    """One warning that counts the NaN of each named result, if there are any.

    Args:
        results: arrays of any shape by name.
        reason: when a value is undefined.
        stacklevel: 2 to point at the caller of the function that calls this one, and so on up.
    """
    counts = {name: int(np.count_nonzero(np.isnan(result))) for name, result in results.items()}
    undefined = [
        f"{count} of {results[name].size} values of {name}"
        for name, count in counts.items()
        if count
    ]
    if undefined:
        warnings.warn(
            f"undefined (NaN): {', '.join(undefined)}; that is where {reason}, or where the states "
            "are not finite",
            UndefinedWarning,
            stacklevel=stacklevel + 1,
        )


def per_sample(units: str, definition: str) -> dict[str, str]:
    """The attrs of a variable that is not pooled over samples."""
    return {
        "units": units,
        "definition": definition,
        "pooling": "none: one value per sample",
        "vectors": "as recorded, neither normalized nor centered",
    }

"""Norm, speed and cosine of paths: array kernels on states `(sample, site, unit)`.

Lengths are Euclidean, of the vectors as recorded. Cost: one pass over the states, one or two sites
in float64 at a time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import (
    Floats,
    lengths,
    ratio,
    require_sites,
    site_states,
    warn_undefined,
)


def norm(values: NDArray[Any]) -> Floats:
    """Euclidean norm of each state.

    Args:
        values: states `(sample, site, unit)`.

    Returns:
        `(sample, site)`, in stream units, float64.

    Raises:
        InputError: `values` has another number of axes, or no site.

    >>> norm(np.array([[[3.0, 4.0], [0.0, 2.0]]]))
    array([[5., 2.]])
    """
    require_sites(values, 1)
    return np.stack([lengths(states) for states in site_states(values)], axis=1)


def speed(values: NDArray[Any]) -> Floats:
    """Length of each step, |x[s+1] - x[s]|.

    Args:
        values: states `(sample, site, unit)`, at least two sites.

    Returns:
        `(sample, step)`, in stream units per step, float64.

    Raises:
        InputError: `values` has another number of axes, or fewer than two sites.

    >>> speed(np.array([[[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]]]))
    array([[5., 0.]])
    """
    require_sites(values, 2)
    with np.errstate(invalid="ignore"):
        steps = [lengths(after - before) for before, after in pairwise(site_states(values))]
    return np.stack(steps, axis=1)


def cosine(values: NDArray[Any]) -> Floats:
    """Cosine of the angle between consecutive states.

    Args:
        values: states `(sample, site, unit)`, at least two sites.

    Returns:
        `(sample, step)` in [-1, 1], float64; NaN, with one `UndefinedWarning`, where one of the two
        states has length zero.

    Raises:
        InputError: `values` has another number of axes, or fewer than two sites.

    >>> cosine(np.array([[[1.0, 0.0], [2.0, 0.0], [0.0, 5.0]]]))
    array([[1., 0.]])
    """
    require_sites(values, 2)
    pairs = pairwise(site_states(values))
    products = np.stack([_products(before, after) for before, after in pairs], axis=1)
    result = _cosine(norm(values), products)
    warn_undefined({"cosine": result}, "a state has length zero", stacklevel=2)
    return result


def step_quantities(values: NDArray[Any]) -> dict[str, Floats]:
    """Compute norm, speeds, acceleration, second difference and cosine in one pass.

    Args:
        values: paths `(sample, site, unit)`.

    Returns:
        `norm` `(sample, site)`; `speed`, `relative_speed`, `cosine` `(sample, step)`;
        `acceleration`, `second_difference` `(sample, turn)`.
    """
    n_samples, n_sites, _ = values.shape
    norms = np.empty((n_samples, n_sites))
    speeds, products = np.empty((2, n_samples, n_sites - 1))
    second_differences = np.empty((n_samples, max(0, n_sites - 2)))
    states = site_states(values)
    before = next(states)
    norms[:, 0] = lengths(before)
    last_step = before
    for step, after in enumerate(states):
        with np.errstate(invalid="ignore"):
            difference = after - before
            if step:
                second_differences[:, step - 1] = lengths(difference - last_step)
        norms[:, step + 1] = lengths(after)
        speeds[:, step] = lengths(difference)
        products[:, step] = _products(before, after)
        before, last_step = after, difference
    with np.errstate(invalid="ignore"):
        acceleration = np.diff(speeds, axis=1)
    return {
        "norm": norms,
        "speed": speeds,
        "relative_speed": ratio(speeds, norms[:, :-1]),
        "acceleration": acceleration,
        "second_difference": second_differences,
        "cosine": _cosine(norms, products),
    }


def _products(before: Floats, after: Floats) -> Floats:
    products: Floats = np.einsum("nu,nu->n", before, after)
    return products


def _cosine(norms: Floats, products: Floats) -> Floats:
    # Two divisions, since the product of two tiny norms could underflow to zero.
    return np.clip(ratio(ratio(products, norms[:, :-1]), norms[:, 1:]), -1.0, 1.0)

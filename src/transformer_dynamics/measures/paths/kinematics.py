"""Kinematics of the stream over depth: how far it moves per step, how evenly, and how it turns.

With the step d[n, s] = x[n, s+1] - x[n, s] of sample n,

    norm              |x[s]|
    speed             |d[s]|
    relative speed    |d[s]| / |x[s]|
    acceleration      |d[s+1]| - |d[s]|
    second difference |d[s+1] - d[s]|
    cosine            x[s] . x[s+1] / (|x[s]| |x[s+1]|)

all Euclidean, of the vectors as recorded: nothing is normalized or centered, and nothing is pooled
over samples (arXiv 2606.09287 mixes normalized and raw vectors, which is why it is said here). A
plain random walk over depth has constant speed and a cosine of sqrt(s/(s+1)) between its s-th
state and the next, s = 1, 2, ..., so a cosine that rises over depth shows no learning by itself.

With `axis="token"` the same is measured along the tokens of each text within a site, s counting
tokens instead of sites (see `token_axis`).

Source: arXiv 2502.12131 (speed, cosine). Acceleration is the change of speed, the quantity behind
the claim that the stream accelerates; the second difference also counts turning.

Cost: one pass over the states, one or two sites in float64 at a time.

Not handled: movement relative to the other samples (a shift common to all counts as movement), and
the metric of the stream: massive activations dominate every length.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.measures.paths.token_axis import (
    DEPTH_DIMS,
    Axis,
    Quantity,
    along_tokens,
    require_axis,
)
from transformer_dynamics.numerics.arrays import (
    Floats,
    lengths,
    per_sample,
    ratio,
    require_sites,
    site_states,
    warn_undefined,
)
from transformer_dynamics.recording.labels import turn_coords
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.storage.attributes import STREAM, STREAM_PER_STEP

TOO_SHORT = "a text has too few tokens"
QUANTITIES = {
    "norm": Quantity("state", STREAM, "|x[s]|"),
    "speed": Quantity("step", STREAM_PER_STEP, "|x[s+1] - x[s]|"),
    "relative_speed": Quantity(
        "step", "1 per step", "speed / norm of the state where the step starts"
    ),
    "acceleration": Quantity(
        "turn", f"{STREAM_PER_STEP}^2", "speed of a step - speed of the step before"
    ),
    "second_difference": Quantity("turn", f"{STREAM_PER_STEP}^2", "|x[s+1] - 2 x[s] + x[s-1]|"),
    "cosine": Quantity("step", "1", "x[s] . x[s+1] / (|x[s]| |x[s+1]|)"),
}


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
    """Distance that each sample moves per step, |x[s+1] - x[s]|.

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


def _products(before: Floats, after: Floats) -> Floats:
    products: Floats = np.einsum("nu,nu->n", before, after)
    return products


def _cosine(norms: Floats, products: Floats) -> Floats:
    # One division after the other: the product of two tiny norms could underflow to zero.
    return np.clip(ratio(ratio(products, norms[:, :-1]), norms[:, 1:]), -1.0, 1.0)


def _one_pass(values: NDArray[Any]) -> tuple[Floats, Floats, Floats, Floats]:
    """Norm, speed, product of consecutive states and second difference, in one pass.

    Returns:
        Arrays `(sample, site)`, `(sample, step)`, `(sample, step)` and `(sample, turn)`.
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
    return norms, speeds, products, second_differences


def _quantities(values: NDArray[Any]) -> dict[str, Floats]:
    """Everything in `QUANTITIES` of paths `(sample, site, unit)`."""
    norms, speeds, products, second_differences = _one_pass(values)
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


@measure(
    "paths.kinematics",
    title="Speed, acceleration and cosine over depth",
    source="arXiv 2502.12131",
    per_sample=True,
)
def kinematics(recording: Recording, *, axis: Axis = "depth", seed: int = 0) -> xr.Dataset:
    """Norm, speed, acceleration and cosine of every sample over depth, or along tokens.

    Args:
        recording: states `(sample, site, unit)`.
        axis: `"depth"`, or `"token"`: along the tokens of each text within a site, for a recording
            of consecutive positions of a text.
        seed: of the random orders of tokens that `"token"` compares with.

    Returns:
        Over depth `norm` `(sample, site)`; `speed`, `relative_speed`, `cosine` `(sample, step)`;
        `acceleration`, `second_difference` `(sample, turn)`, a turn being named after its middle
        site. Along tokens the same along `(token, site)`, `(token_step, site)` and
        `(token_turn, site)`, texts one after the other; their means per text `mean_...`
        `(text, site)`, beside those of each text's tokens in random order, `mean_..._permuted`;
        and `n_tokens` `(text)`. Units are in each variable's attrs. Nothing is pooled over samples,
        no vector is normalized. `cosine` and `relative_speed` are NaN, with one `UndefinedWarning`
        for both, where a state has length zero, and a text's means where it has too few tokens.

    Raises:
        InputError: the recording has one site only; along tokens, no text has two tokens, or the
            positions of one have a gap.

    >>> line = Recording.from_array(np.array([[[1.0, 0.0], [3.0, 0.0], [3.0, 4.0]]]))
    >>> result = kinematics(line)
    >>> result["speed"].values, result["acceleration"].values, result["cosine"].values
    (array([[2., 4.]]), array([[2.]]), array([[1. , 0.6]]))
    """
    require_axis(axis)
    if axis == "token":
        result = along_tokens(recording, _quantities, QUANTITIES, at_least=2, seed=seed)
        arrays = {str(name): result[name].values for name in result.data_vars}
        warn_undefined(arrays, f"a state has length zero, or {TOO_SHORT}", stacklevel=3)
        return result
    require_sites(recording.values, 2)
    arrays = _quantities(recording.values)
    uncertain = {name: arrays[name] for name in ("cosine", "relative_speed")}
    warn_undefined(uncertain, "a state has length zero", stacklevel=3)
    return xr.Dataset(
        {
            name: (
                DEPTH_DIMS[quantity.along],
                arrays[name],
                per_sample(quantity.units, quantity.definition),
            )
            for name, quantity in QUANTITIES.items()
        },
        coords={**recording.site_coords, **recording.step_coords, **turn_coords(recording)},
    )

"""Kinematics of the stream over depth: how far it moves per step, how evenly, and how it turns.

With the step d[n, s] = x[n, s+1] - x[n, s] of sample n,

    norm              |x[s]|
    speed             |d[s]|
    relative speed    |d[s]| / |x[s]|
    acceleration      |d[s+1]| - |d[s]|
    second difference |d[s+1] - d[s]|
    cosine            x[s] . x[s+1] / (|x[s]| |x[s+1]|)

all Euclidean, of the vectors as recorded: nothing is normalised or centred, and nothing is pooled
over samples (arXiv 2606.09287 mixes normalised and raw vectors, which is why it is said here). A
plain random walk over depth has constant speed and a cosine of sqrt(s/(s+1)) between its s-th
state and the next, s = 1, 2, ..., so a cosine that rises over depth shows no learning by itself.

Source: arXiv 2502.12131 (speed, cosine). Acceleration is the change of speed, the quantity behind
the claim that the stream accelerates; the second difference also counts turning.

Cost: one pass over the states, one or two sites in float64 at a time.

Not handled: movement relative to the other samples (a shift common to all counts as movement), and
the metric of the stream: massive activations dominate every length.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.drawing import Drawing, Lines, Series
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

Floats = NDArray[np.float64]

STREAM = "stream units"
STREAM_PER_STEP = "stream units per step"
STEP_LABEL = "step (index of the site it starts from)"
KIND_NAMES = {
    "attention": "attention steps (within a layer)",
    "mlp": "MLP steps (across layers)",
}


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
        "vectors": "as recorded, neither normalised nor centred",
    }


def turn_coords(recording: Recording) -> dict[str, Any]:
    """Coordinates for a result along `turn`, the middle one of three neighbouring sites."""
    return {"turn": ("turn", np.array(recording.sites[1:-1], dtype=object))}


def mean_with_band(name: str, values: Floats, *, labels: Sequence[str], first: int = 0) -> Series:
    """A line of the mean over samples with its 5-95 % band; NaN are left out.

    Args:
        name: what is averaged; the legend says that it is a mean.
        values: `(sample, point)`.
        labels: what each point is called.
        first: position of the first point on the axis of depth.
    """
    mean, low, high = np.full((3, values.shape[1]), np.nan)
    some = ~np.isnan(values).all(axis=0)
    if some.any():
        with np.errstate(invalid="ignore"):
            mean[some] = np.nanmean(values[:, some], axis=0)
            low[some], high[some] = np.nanquantile(values[:, some], [0.05, 0.95], axis=0)
    return Series(
        name=f"{name}, mean over samples (5-95 %)",
        x=np.arange(first, first + mean.size),
        y=mean,
        low=low,
        high=high,
        labels=labels,
    )


def by_step_kind(line: Series, kinds: NDArray[Any]) -> list[Series]:
    """A line over steps, and its attention and MLP steps as points where there are any."""
    series = [line]
    for kind, name in KIND_NAMES.items():
        chosen = np.flatnonzero(kinds == kind)
        if chosen.size:
            names = [line.labels[int(step)] for step in chosen]
            series.append(
                Series(
                    name=name,
                    x=line.x[chosen],
                    y=line.y[chosen],
                    labels=names,
                    role="detail",
                    markers=True,
                )
            )
    return series


def _steps(
    result: xr.Dataset, name: str, y_label: str, *, scale: Literal["linear", "log"] = "linear"
) -> Lines:
    noun = name.replace("_", " ")
    labels = [str(label) for label in result["step"].values]
    line = mean_with_band(noun, result[name].values, labels=labels)
    return Lines(
        title=f"{noun.capitalize()} over depth",
        x_label=STEP_LABEL,
        y_label=y_label,
        series=by_step_kind(line, result["step_kind"].values),
        y_scale=scale,
    )


def _cosine_lines(result: xr.Dataset) -> Lines:
    lines = _steps(result, "cosine", "cosine of consecutive states (1)")
    states = np.arange(1, result.sizes["step"] + 1)
    walk = Series(
        name="plain random walk, sqrt(s/(s+1))",
        x=states - 1,
        y=np.sqrt(states / (states + 1)),
        role="reference",
    )
    return Lines(
        title="Cosine of consecutive states over depth",
        x_label=lines.x_label,
        y_label=lines.y_label,
        series=[*lines.series, walk],
    )


def draw_kinematics(result: xr.Dataset) -> list[Drawing]:
    """Speed, relative speed, cosine with the walk's curve, norm and acceleration over depth."""
    sites = [str(label) for label in result["site"].values]
    turns = [str(label) for label in result["turn"].values]
    return [
        _steps(result, "speed", f"speed ({STREAM_PER_STEP})", scale="log"),
        _steps(result, "relative_speed", "speed / norm at the step's start (1 per step)"),
        _cosine_lines(result),
        Lines(
            title="Norm over depth",
            x_label="site (index)",
            y_label=f"norm ({STREAM})",
            series=[mean_with_band("norm", result["norm"].values, labels=sites)],
            y_scale="log",
        ),
        Lines(
            title="Acceleration over depth",
            x_label="turn (index of its middle site)",
            y_label=f"change of speed ({STREAM_PER_STEP}²)",
            series=[
                mean_with_band("acceleration", result["acceleration"].values, labels=turns, first=1)
            ],
        ),
    ]


def _one_pass(values: NDArray[Any]) -> tuple[Floats, Floats, Floats, Floats]:
    """Norm, speed, product of consecutive states and second difference, in one pass.

    Returns:
        Arrays `(sample, site)`, `(sample, step)`, `(sample, step)` and `(sample, turn)`.
    """
    n_samples, n_sites, _ = values.shape
    norms = np.empty((n_samples, n_sites))
    speeds, products = np.empty((2, n_samples, n_sites - 1))
    second_differences = np.empty((n_samples, n_sites - 2))
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


@measure(
    "population.kinematics",
    title="Speed, acceleration and cosine over depth",
    source="arXiv 2502.12131",
    draw=draw_kinematics,
    per_sample=True,
)
def kinematics(recording: Recording) -> xr.Dataset:
    """Norm, speed, acceleration and cosine of every sample over depth.

    Returns:
        `norm` `(sample, site)`; `speed`, `relative_speed`, `cosine` `(sample, step)`;
        `acceleration`, `second_difference` `(sample, turn)`, a turn being named after its middle
        site. Units are in each variable's attrs. Nothing is pooled over samples, no vector is
        normalised. `cosine` and `relative_speed` are NaN, with one `UndefinedWarning` for both,
        where a state has length zero.

    Raises:
        InputError: the recording has one site only.

    >>> line = Recording.from_array(np.array([[[1.0, 0.0], [3.0, 0.0], [3.0, 4.0]]]))
    >>> result = kinematics(line)
    >>> result["speed"].values, result["acceleration"].values, result["cosine"].values
    (array([[2., 4.]]), array([[2.]]), array([[1. , 0.6]]))
    """
    require_sites(recording.values, 2)
    norms, speeds, products, second_differences = _one_pass(recording.values)
    relative = ratio(speeds, norms[:, :-1])
    cosines = _cosine(norms, products)
    warn_undefined(
        {"cosine": cosines, "relative_speed": relative}, "a state has length zero", stacklevel=3
    )
    site, step, turn = ("sample", "site"), ("sample", "step"), ("sample", "turn")
    squared = f"{STREAM_PER_STEP}^2"
    with np.errstate(invalid="ignore"):
        acceleration = np.diff(speeds, axis=1)
    return xr.Dataset(
        {
            "norm": (site, norms, per_sample(STREAM, "|x[s]|")),
            "speed": (step, speeds, per_sample(STREAM_PER_STEP, "|x[s+1] - x[s]|")),
            "relative_speed": (
                step,
                relative,
                per_sample("1 per step", "speed / norm of the state where the step starts"),
            ),
            "acceleration": (
                turn,
                acceleration,
                per_sample(squared, "speed of a step - speed of the step before"),
            ),
            "second_difference": (
                turn,
                second_differences,
                per_sample(squared, "|x[s+1] - 2 x[s] + x[s-1]|"),
            ),
            "cosine": (
                step,
                cosines,
                per_sample("1", "x[s] . x[s+1] / (|x[s]| |x[s+1]|)"),
            ),
        },
        coords={**recording.site_coords, **recording.step_coords, **turn_coords(recording)},
    )

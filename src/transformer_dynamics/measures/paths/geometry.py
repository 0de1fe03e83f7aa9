"""Shape of the path over depth: its length, how straight it is, and how it turns.

With the step d[n, s] = x[n, s+1] - x[n, s] of sample n,

    path length   sum over s of |d[s]|
    displacement  |x[S-1] - x[0]|, end to end
    tortuosity    path length / displacement, 1 for a straight line
    turning angle arccos of d[s] . d[s+1] / (|d[s]| |d[s+1]|), 0 straight on, pi straight back

The angle is computed as 2 atan2(|u - v|, |u + v|) of the unit vectors u and v of the two steps:
arccos loses half of the digits near 0 and pi, where straight and reversing paths lie.

In many dimensions a random walk turns by pi/2 at every step and independent states by 2 pi/3, so
neither angle shows structure by itself; the drawings carry both.

With `axis="token"` the same is measured along the tokens of each text within a site, s counting
tokens instead of sites (see `token_axis`): arXiv 2311.04930 reports that those paths curve less in
later layers.

Source: the elementary geometry of polygonal paths; compare arXiv 2606.09287. Vectors are as
recorded, neither normalized nor centered, and nothing is pooled over samples (that paper mixes
normalized and raw vectors, which is why it is said).

Cost: one pass over the states, a few sites in float64 at a time.

Not handled: curvature per unit of length (the angle is per step, whatever the steps' lengths), and
the metric of the stream: massive activations dominate every length and angle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.paths.kinematics import TOO_SHORT
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
from transformer_dynamics.storage.attributes import STREAM

QUANTITIES = {
    "path_length": Quantity("path", STREAM, "sum of |x[s+1] - x[s]| over all steps"),
    "displacement": Quantity("path", STREAM, "|x[last site] - x[first site]|"),
    "tortuosity": Quantity("path", "1", "path_length / displacement"),
    "turning_angle": Quantity(
        "turn", "rad", "arccos of the cosine between x[s] - x[s-1] and x[s+1] - x[s]"
    ),
    "path_length_to": Quantity(
        "state",
        STREAM,
        "sum of |x[s+1] - x[s]| over the steps before the site",
        averaged=False,
    ),
}


def tortuosity(points: NDArray[Any]) -> Floats:
    """Length of paths over their end-to-end distance.

    Args:
        points: `(..., point, axis)`, at least two points to a path.

    Returns:
        `(...)`, dimensionless, at least 1, float64; NaN, with one `UndefinedWarning`, for a path
        that ends where it began.

    Raises:
        InputError: `points` has fewer than two axes, or a path fewer than two points.

    >>> tortuosity(np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]))
    array(1.4)
    """
    points = np.asarray(points)
    if points.ndim < 2 or points.shape[-2] < 2:
        raise InputError(
            f"got points of shape {points.shape}; a path is (..., point, axis) with at least two "
            "points, as in tortuosity(recording.values.mean(axis=0))"
        )
    with np.errstate(invalid="ignore"):
        steps = np.diff(points.astype(np.float64), axis=-2)
        displacement = np.linalg.norm(
            points[..., -1, :] - points[..., 0, :].astype(np.float64), axis=-1
        )
    result = np.asarray(ratio(np.linalg.norm(steps, axis=-1).sum(axis=-1), displacement))
    warn_undefined({"tortuosity": result}, "a path ends where it began", stacklevel=2)
    return result


def turning_angle(values: NDArray[Any]) -> Floats:
    """Angle between consecutive steps of each sample.

    Args:
        values: states `(sample, site, unit)`, at least three sites.

    Returns:
        `(sample, turn)` in radians from 0 to pi, float64; NaN, with one `UndefinedWarning`, where
        one of the two steps has length zero.

    Raises:
        InputError: `values` has another number of axes, or fewer than three sites.

    >>> turning_angle(np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 0.0]]])) / np.pi
    array([[0.5, 1. ]])
    """
    require_sites(values, 3)
    _, _, angles = _one_pass(values)
    warn_undefined({"turning_angle": angles}, "a step has length zero", stacklevel=2)
    return angles


def _one_pass(values: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Length of each step, end-to-end distance and turning angle, in one pass.

    Returns:
        Arrays `(sample, step)`, `(sample)` and `(sample, turn)`.
    """
    n_samples, n_sites, _ = values.shape
    step_lengths = np.empty((n_samples, n_sites - 1))
    angles = np.empty((n_samples, max(0, n_sites - 2)))
    states = site_states(values)
    first = before = next(states)
    last_direction = first
    with np.errstate(invalid="ignore"):
        for step, after in enumerate(states):
            direction = after - before
            step_lengths[:, step] = lengths(direction)
            direction /= np.where(step_lengths[:, step] == 0, np.nan, step_lengths[:, step])[
                :, None
            ]
            if step:
                angles[:, step - 1] = _angle(last_direction, direction)
            before, last_direction = after, direction
        displacement = lengths(before - first)
    return step_lengths, displacement, angles


def _angle(first: Floats, second: Floats) -> Floats:
    """Angle between unit vectors `(sample, unit)`, accurate near 0 and pi too."""
    return 2 * np.arctan2(lengths(first - second), lengths(first + second))


def _quantities(values: NDArray[Any]) -> dict[str, Floats]:
    """Everything in `QUANTITIES` of paths `(sample, site, unit)`."""
    step_lengths, displacement, angles = _one_pass(values)
    length_to = np.zeros(values.shape[:2])
    np.cumsum(step_lengths, axis=1, out=length_to[:, 1:])
    # A copy, or the result would keep the whole table alive through a view.
    path_length = length_to[:, -1].copy()
    return {
        "path_length": path_length,
        "displacement": displacement,
        "tortuosity": ratio(path_length, displacement),
        "turning_angle": angles,
        "path_length_to": length_to,
    }


@measure(
    "paths.path_geometry",
    title="Path length, tortuosity and turning angle",
    source="geometry of polygonal paths; compare arXiv 2606.09287; along tokens arXiv 2311.04930",
    per_sample=True,
)
def path_geometry(recording: Recording, *, axis: Axis = "depth", seed: int = 0) -> xr.Dataset:
    """Length, straightness and turning of every sample's path over depth, or along tokens.

    Args:
        recording: states `(sample, site, unit)`.
        axis: `"depth"`, or `"token"`: along the tokens of each text within a site, for a recording
            of consecutive positions of a text.
        seed: of the random orders of tokens that `"token"` compares with.

    Returns:
        Over depth `path_length`, `displacement`, `tortuosity` `(sample)`; `turning_angle`
        `(sample, turn)` in radians, a turn being named after its middle site; `path_length_to`
        `(sample, site)`, the length covered up to each site, 0 at the first. Along tokens
        `(text, site)`, `(token_turn, site)` and `(token, site)` instead, texts one after the
        other, with `mean_turning_angle` and `n_tokens` per text; beside what the order of a text's
        tokens can change stands that of a random order, `..._permuted`. Nothing is pooled over
        samples, no vector is normalized. `tortuosity` is NaN where a path ends where it began and
        `turning_angle` where a step has length zero, with one `UndefinedWarning` for both, and a
        text's mean where it has too few tokens.

    Raises:
        InputError: the recording has fewer than three sites; along tokens, no text has three
            tokens, or the positions of one have a gap.

    >>> corner = Recording.from_array(np.array([[[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]]))
    >>> result = path_geometry(corner)
    >>> float(result["tortuosity"][0]), (result["turning_angle"].values / np.pi).round(3)
    (1.4, array([[0.5]]))
    """
    require_axis(axis)
    reason = "a path ends where it began (tortuosity) or a step has length zero (turning_angle)"
    if axis == "token":
        result = along_tokens(recording, _quantities, QUANTITIES, at_least=3, seed=seed)
        arrays = {str(name): result[name].values for name in result.data_vars}
        warn_undefined(arrays, f"{reason}, or {TOO_SHORT}", stacklevel=3)
        return result
    require_sites(recording.values, 3)
    arrays = _quantities(recording.values)
    uncertain = {name: arrays[name] for name in ("tortuosity", "turning_angle")}
    warn_undefined(uncertain, reason, stacklevel=3)
    return xr.Dataset(
        {
            name: (
                DEPTH_DIMS[quantity.along],
                arrays[name],
                per_sample(quantity.units, quantity.definition),
            )
            for name, quantity in QUANTITIES.items()
        },
        coords={**recording.site_coords, **turn_coords(recording)},
    )

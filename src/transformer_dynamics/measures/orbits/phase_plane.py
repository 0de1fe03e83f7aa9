"""Phase plane of single units: the path of activation and gradient over depth, and its turns.

See `rotation` for the formulas, and docs/measures/orbits.rotation_counts.md for known answers: a
count near 11 turns is what a trace without dynamics has. A rotation count does not tell whether an
orbit is periodic or unstable; see `periodic_orbits`.

Source: arXiv 2502.12131, which applies the count to traces averaged over samples, and leaves out
the final site (`recording.sublayers`). Cost: 1000 x 61 x 576 states take a second or two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.measures.orbits.rotation import (
    CONSTANT,
    RANDOM_WALK_TURNS,
    phase_gradient,
)
from transformer_dynamics.measures.orbits.turns import centroid_turns, over_traces, tangent_turns
from transformer_dynamics.numerics.arrays import Floats, warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

SOURCE = "arXiv 2502.12131"


@measure("orbits.rotation_counts", title="Rotation counts of units", source=SOURCE)
def rotation_counts(recording: Recording) -> xr.Dataset:
    """Rotation count of each unit over depth, in the plane of activation and gradient.

    Returns:
        `rotation_count` and `winding` `(unit)`, of the trace averaged over samples;
        `rotation_count_per_sample` `(sample, unit)`, float32; all signed, in turns, negative for
        clockwise. `random_walk_count`, the mean count of a Gaussian random walk with the same
        number of sites. NaN, with one `UndefinedWarning`, for traces that are constant or not
        finite.

    Raises:
        InputError: the recording has fewer than four sites.

    >>> steps = np.random.default_rng(0).standard_normal((200, 64, 50))
    >>> result = rotation_counts(Recording.from_array(steps.cumsum(axis=1)))
    >>> result["rotation_count_per_sample"].mean().item(), result["random_walk_count"].item()
    (-10.9..., -10.94...)
    """
    n_samples, n_sites, n_units = recording.shape
    mean_traces = _mean_traces(recording).T
    counts = np.empty((n_samples, n_units), dtype=np.float32)
    for rows, states in recording.blocks():
        counts[rows] = over_traces(tangent_turns, states.swapaxes(1, 2))
    count, winding = (
        over_traces(kernel, mean_traces) for kernel in (tangent_turns, centroid_turns)
    )
    results: dict[str, Any] = {"rotation_count": count, "rotation_count_per_sample": counts}
    warn_undefined(results, CONSTANT, stacklevel=3)
    turns = {"units": "turns", "denominator": "none"}
    mean_attrs = {**turns, "trace": f"mean over {n_samples} samples"}
    walk = RANDOM_WALK_TURNS * (n_sites - 2)
    return xr.Dataset(
        {
            "rotation_count": ("unit", count, mean_attrs),
            "winding": ("unit", winding, mean_attrs),
            "rotation_count_per_sample": (("sample", "unit"), counts, {**turns, "trace": "single"}),
            "random_walk_count": ((), walk, turns),
        }
    )


@measure(
    "orbits.phase_portrait",
    title="Phase portraits of units",
    source=SOURCE,
)
def phase_portrait(recording: Recording) -> xr.Dataset:
    """Trace of each unit averaged over samples, and its gradient over depth.

    Returns:
        `activation` `(site, unit)`, in stream units, and `gradient` `(site, unit)`, in stream units
        per site.

    Raises:
        InputError: the recording has fewer than four sites.
    """
    activation = _mean_traces(recording)
    gradient = phase_gradient(activation.T).T
    trace = f"mean over {recording.shape[0]} samples"
    return xr.Dataset(
        {
            "activation": (("site", "unit"), activation, {"units": "stream units", "trace": trace}),
            "gradient": (
                ("site", "unit"),
                gradient,
                {"units": "stream units per site", "trace": trace},
            ),
        },
        coords=recording.site_coords,
    )


def _mean_traces(recording: Recording) -> Floats:
    """Average traces over samples, `(site, unit)`."""
    total = np.zeros(recording.shape[1:])
    with np.errstate(invalid="ignore"):
        for _, states in recording.blocks():
            total += states.sum(axis=0, dtype=np.float64)
        return total / recording.shape[0]

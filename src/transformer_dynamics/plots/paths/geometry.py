"""Figures of `paths.path_geometry`, over depth and along tokens."""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Group, Histogram, Lines
from transformer_dynamics.plots.backend.captions import (
    OVER_SAMPLES,
    caption,
    n_samples,
)
from transformer_dynamics.plots.backend.depth import (
    TURN_LABEL,
    mean_with_band,
    names_of,
)
from transformer_dynamics.plots.paths.token_axis import (
    angle_of_tokens,
    angle_references,
    tortuosity_of_tokens,
)
from transformer_dynamics.registry import figure


@figure("paths.path_geometry")
def draw_geometry(result: xr.Dataset) -> list[Drawing]:
    """Draw turning angle, with the angles of two null models, and tortuosity.

    Along tokens: both by site, with those of the tokens in random order.
    """
    if "token" in result.dims:
        return [angle_of_tokens(result), tortuosity_of_tokens(result)]
    return [_angle(result), _tortuosity(result)]


def _angle(result: xr.Dataset) -> Lines:
    values, labels = result["turning_angle"].values, names_of(result, "turn")
    angle = mean_with_band("turning angle", values, labels=labels, first=1)
    return Lines(
        title="Turning angle over depth",
        x_label=TURN_LABEL,
        y_label="turning angle (rad)",
        series=[angle, *angle_references(angle.x, "independent states, 2π/3")],
        caption=caption(
            "Angle between consecutive steps (0 straight on, π reversed), mean over samples",
            n=n_samples(result),
            interval=OVER_SAMPLES,
            null="random walk, independent states (both in closed form)",
        ),
        interpretation=(
            "Consecutive steps share a direction only where the angle is below π/2, the angle of "
            "unrelated steps."
        ),
    )


def _tortuosity(result: xr.Dataset) -> Histogram:
    return Histogram(
        title="Tortuosity of the samples' paths",
        x_label="path length / end-to-end distance (1)",
        groups=[Group(name="samples", values=result["tortuosity"].values)],
        y_label="share of samples per bin (1)",
        caption=caption(
            "Length of each sample's path over the distance between its ends", n=n_samples(result)
        ),
        interpretation=(
            "A path is straight only if its tortuosity is near 1; S unrelated steps of equal "
            "length have about the square root of S."
        ),
    )

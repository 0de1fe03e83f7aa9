"""Figures of `paths.path_geometry`, over depth and along tokens."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Group, Histogram, Lines, Series
from transformer_dynamics.plots.backend.captions import (
    OVER_SAMPLES,
    OVER_TEXTS_SPREAD,
    caption,
    n_samples,
)
from transformer_dynamics.plots.backend.depth import (
    SITE_LABEL,
    TURN_LABEL,
    by_site,
    level,
    mean_with_band,
    names_of,
)
from transformer_dynamics.plots.backend.style import Numbers
from transformer_dynamics.plots.paths.kinematics import TOKENS_NULL
from transformer_dynamics.registry import figure

RANDOM_WALK_ANGLE = np.pi / 2
INDEPENDENT_STATES_ANGLE = 2 * np.pi / 3


@figure("paths.path_geometry")
def draw_geometry(result: xr.Dataset) -> list[Drawing]:
    """Draw turning angle, with the angles of two null models, and tortuosity.

    Along tokens: both by site, with those of the tokens in random order.
    """
    if "token" in result.dims:
        return [_angle_of_tokens(result), _tortuosity_of_tokens(result)]
    return [_angle(result), _tortuosity(result)]


def _references(x: Numbers, independent: str) -> list[Series]:
    return [
        level("random walk in many dimensions, π/2", x, RANDOM_WALK_ANGLE),
        level(independent, x, INDEPENDENT_STATES_ANGLE),
    ]


def _angle(result: xr.Dataset) -> Lines:
    values, labels = result["turning_angle"].values, names_of(result, "turn")
    angle = mean_with_band("turning angle", values, labels=labels, first=1)
    return Lines(
        title="Turning angle over depth",
        x_label=TURN_LABEL,
        y_label="turning angle (rad)",
        series=[angle, *_references(angle.x, "independent states, 2π/3")],
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


def _angle_of_tokens(result: xr.Dataset) -> Lines:
    angle = by_site(result, "mean_turning_angle", "turning angle")
    permuted = "independent states, and any states in random order, 2π/3"
    return Lines(
        title="Turning angle along the tokens of a text, by site",
        x_label=SITE_LABEL,
        y_label="mean turning angle of a text (rad)",
        series=[*angle, *_references(angle[0].x, permuted)],
        caption=_caption_of_tokens(
            result,
            "mean_turning_angle",
            "Angle between consecutive token steps at each site (0 straight on, π reversed), mean "
            "over a text",
        ),
        interpretation=(
            "A model straightens the path of a text only if the angle falls with depth below the "
            "null model, and does not do so in an untrained network."
        ),
    )


def _tortuosity_of_tokens(result: xr.Dataset) -> Lines:
    return Lines(
        title="Tortuosity along the tokens of a text, by site",
        x_label=SITE_LABEL,
        y_label="path length / end-to-end distance (1)",
        series=by_site(result, "tortuosity", "tortuosity"),
        y_scale="log",
        caption=_caption_of_tokens(
            result,
            "tortuosity",
            "Length of the path from token to token over the distance between its ends",
        ),
        interpretation=(
            "A path has a direction only where it is straighter than the null model; longer texts "
            "are more tortuous, and an attention sink at either end hides the other tokens."
        ),
    )


def _caption_of_tokens(result: xr.Dataset, name: str, quantity: str) -> str:
    null = TOKENS_NULL if f"{name}_permuted" in result else "none"
    n = f"{result.sizes['text']} texts"
    return caption(quantity, n=n, interval=OVER_TEXTS_SPREAD, null=null)

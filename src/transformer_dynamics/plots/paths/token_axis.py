"""Figures of paths along the tokens of a text: kinematics and geometry by site."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Lines, Series
from transformer_dynamics.plots.backend.captions import OVER_TEXTS_SPREAD, caption
from transformer_dynamics.plots.backend.depth import SITE_LABEL, by_site, level
from transformer_dynamics.plots.backend.style import Numbers
from transformer_dynamics.storage.attributes import STREAM

TOKENS_NULL = "the same tokens in random order"
RANDOM_WALK_ANGLE = np.pi / 2
INDEPENDENT_STATES_ANGLE = 2 * np.pi / 3


def _by_site(result: xr.Dataset, name: str, noun: str, quantity: str, **texts: Any) -> Lines:
    null = TOKENS_NULL if f"{name}_permuted" in result else "none"
    n = f"{result.sizes['text']} texts"
    return Lines(
        x_label=SITE_LABEL,
        series=by_site(result, name, noun),
        caption=caption(quantity, n=n, interval=OVER_TEXTS_SPREAD, null=null),
        **texts,
    )


def speed_of_tokens(result: xr.Dataset) -> Lines:
    """Draw the distance between the states of neighboring tokens by site."""
    return _by_site(
        result,
        "mean_speed",
        "speed",
        "Distance between the states of neighboring tokens at each site, mean over a text",
        title="Speed along the tokens of a text, by site",
        y_label="mean speed of a text (stream units per token step)",
        y_scale="log",
        interpretation=(
            "Neighboring tokens have similar states only where the line lies below the null model, "
            "and only if no attention sink is among the tokens, since one dominates a text's mean."
        ),
    )


def cosine_of_tokens(result: xr.Dataset) -> Lines:
    """Draw the cosine of the states of neighboring tokens by site."""
    return _by_site(
        result,
        "mean_cosine",
        "cosine",
        "Cosine of the states of neighboring tokens at each site, mean over a text",
        title="Cosine of neighboring tokens, by site",
        y_label="mean cosine of a text (1)",
        interpretation=(
            "Neighboring tokens agree more than any two tokens of a text only where the line lies "
            "above the null model, which a direction common to all states raises as well."
        ),
    )


def norm_of_tokens(result: xr.Dataset) -> Lines:
    """Draw the norm of the tokens' states by site."""
    return _by_site(
        result,
        "mean_norm",
        "norm",
        "Norm of the states of the tokens at each site, mean over a text",
        title="Norm of the tokens' states, by site",
        y_label=f"mean norm of a text ({STREAM})",
        y_scale="log",
        interpretation=(
            "The mean describes most tokens only if no attention sink is among them, since one "
            "dominates a text's mean."
        ),
    )


def angle_references(x: Numbers, independent: str) -> list[Series]:
    """Turning angles of a random walk and of independent states, the latter with its name."""
    return [
        level("random walk in many dimensions, π/2", x, RANDOM_WALK_ANGLE),
        level(independent, x, INDEPENDENT_STATES_ANGLE),
    ]


def angle_of_tokens(result: xr.Dataset) -> Lines:
    """Draw the turning angle of the path from token to token by site."""
    lines = _by_site(
        result,
        "mean_turning_angle",
        "turning angle",
        "Angle between consecutive token steps at each site (0 straight on, π reversed), mean over "
        "a text",
        title="Turning angle along the tokens of a text, by site",
        y_label="mean turning angle of a text (rad)",
        interpretation=(
            "A model straightens the path of a text only if the angle falls with depth below the "
            "null model, and does not do so in an untrained network."
        ),
    )
    permuted = "independent states, and any states in random order, 2π/3"
    references = angle_references(lines.series[0].x, permuted)
    return replace(lines, series=[*lines.series, *references])


def tortuosity_of_tokens(result: xr.Dataset) -> Lines:
    """Draw the tortuosity of the path from token to token by site."""
    return _by_site(
        result,
        "tortuosity",
        "tortuosity",
        "Length of the path from token to token over the distance between its ends",
        title="Tortuosity along the tokens of a text, by site",
        y_label="path length / end-to-end distance (1)",
        y_scale="log",
        interpretation=(
            "A path has a direction only where it is straighter than the null model; longer texts "
            "are more tortuous, and an attention sink at either end hides the other tokens."
        ),
    )

"""Figures of the kinematics, over depth and along tokens, and the lines they share with others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.plots.backend import Drawing, Group, Histogram, Lines, Series
from transformer_dynamics.plots.backend.depth import (
    SITE_LABEL,
    STEP_LABEL,
    by_site,
    by_step_kind,
    mean_with_band,
)
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import STREAM, STREAM_PER_STEP

RANDOM_WALK_ANGLE = np.pi / 2
INDEPENDENT_STATES_ANGLE = 2 * np.pi / 3


def _steps(result: xr.Dataset, name: str, y_label: str, **said: Any) -> Lines:
    noun = name.replace("_", " ")
    labels = [str(label) for label in result["step"].values]
    line = mean_with_band(noun, result[name].values, labels=labels)
    return Lines(
        title=f"{noun.capitalize()} over depth",
        x_label=STEP_LABEL,
        y_label=y_label,
        series=by_step_kind(line, result["step_kind"].values),
        **said,
    )


def _cosine_lines(result: xr.Dataset) -> Lines:
    states = np.arange(1, result.sizes["step"] + 1)
    walk = Series(
        name="plain random walk, sqrt(s/(s+1))",
        x=states - 1,
        y=np.sqrt(states / (states + 1)),
        role="reference",
    )
    lines = _steps(
        result,
        "cosine",
        "cosine of consecutive states (1)",
        caption=(
            "How nearly a state points where the one before it pointed; 1 is the same direction."
        ),
        interpretation=(
            "Direction settles only where the cosine lies above the random walk's curve, which"
            " rises as well, since each step is small beside the sum of all before it."
        ),
    )
    return replace(
        lines,
        title="Cosine of consecutive states over depth",
        series=[*lines.series, walk],
    )


@figure("paths.kinematics")
def draw_kinematics(result: xr.Dataset) -> list[Drawing]:
    """Speed, relative speed, cosine with the walk's curve, norm and acceleration over depth.

    Along tokens: speed, cosine and norm by site, beside those of tokens in random order.
    """
    if "token" in result.dims:
        return _kinematics_along_tokens(result)
    sites = [str(label) for label in result["site"].values]
    turns = [str(label) for label in result["turn"].values]
    return [
        _steps(
            result,
            "speed",
            f"speed ({STREAM_PER_STEP})",
            y_scale="log",
            caption=(
                "How far a state moves at each step, and whether attention or MLP moves it more."
            ),
            interpretation=(
                "A rise is an acceleration only if it exceeds that of steps in random order"
                " and is not the work of a few massive units."
            ),
        ),
        _steps(
            result,
            "relative_speed",
            "speed / norm at the step's start (1 per step)",
            caption="How far a state moves at each step beside its own length.",
            interpretation=(
                "A fall means that updates grow less than the stream; a sum of equal steps"
                " falls too."
            ),
        ),
        _cosine_lines(result),
        Lines(
            title="Norm over depth",
            x_label=SITE_LABEL,
            y_label=f"norm ({STREAM})",
            series=[mean_with_band("norm", result["norm"].values, labels=sites)],
            y_scale="log",
            caption="How long the states are at each site.",
            interpretation=(
                "A rise is more than a sum of unrelated updates only where it exceeds the"
                " square root of the summed squares of the steps."
            ),
        ),
        Lines(
            title="Acceleration over depth",
            x_label="turn (index of its middle site)",
            y_label=f"change of speed ({STREAM_PER_STEP}²)",
            series=[
                mean_with_band("acceleration", result["acceleration"].values, labels=turns, first=1)
            ],
            caption="Where the speed rises (above zero) and falls from one step to the next.",
            interpretation=(
                "Attention and MLP steps differ in length, so an alternating sign says nothing"
                " of the trend; the trend must hold within each kind."
            ),
        ),
    ]


def _kinematics_along_tokens(result: xr.Dataset) -> list[Drawing]:
    sinks = " No attention sink may be among the tokens, since one decides a text's mean by itself."
    return [
        Lines(
            title="Speed along the tokens of a text, by site",
            x_label=SITE_LABEL,
            y_label="mean speed of a text (stream units per token step)",
            series=by_site(result, "mean_speed", "speed"),
            y_scale="log",
            caption="How far apart the states of neighboring tokens are at each site.",
            interpretation=(
                "Neighbors are alike only where the line lies below that of the same tokens"
                " in random order."
            )
            + sinks,
        ),
        Lines(
            title="Cosine of neighboring tokens, by site",
            x_label=SITE_LABEL,
            y_label="mean cosine of a text (1)",
            series=by_site(result, "mean_cosine", "cosine"),
            caption="How nearly the states of neighboring tokens point the same way at each site.",
            interpretation=(
                "Neighbors agree more than any two tokens of a text only where the line lies above"
                " that of tokens in random order, which a direction that all states share lifts as"
                " well."
            ),
        ),
        Lines(
            title="Norm of the tokens' states, by site",
            x_label=SITE_LABEL,
            y_label=f"mean norm of a text ({STREAM})",
            series=by_site(result, "mean_norm", "norm"),
            y_scale="log",
            caption="How long the states of a text's tokens are at each site.",
            interpretation="The mean stands for most tokens." + sinks,
        ),
    ]


def _references(x: NDArray[Any], independent: str) -> list[Series]:
    return [
        Series(name=name, x=x, y=np.full(x.size, value), role="reference")
        for name, value in (
            ("random walk in many dimensions, π/2", RANDOM_WALK_ANGLE),
            (independent, INDEPENDENT_STATES_ANGLE),
        )
    ]


@figure("paths.path_geometry")
def draw_geometry(result: xr.Dataset) -> list[Drawing]:
    """Turning angle over depth with the angles of the two trivial systems, and tortuosity.

    Along tokens: both by site, beside those of the tokens in random order.
    """
    if "token" in result.dims:
        return _geometry_along_tokens(result)
    turns = [str(label) for label in result["turn"].values]
    angle = mean_with_band("turning angle", result["turning_angle"].values, labels=turns, first=1)
    return [
        Lines(
            title="Turning angle over depth",
            x_label="turn (index of its middle site)",
            y_label="turning angle (rad)",
            series=[angle, *_references(angle.x, "independent states, 2π/3")],
            caption="How sharply the path turns at each site: 0 straight on, π straight back.",
            interpretation=(
                "Steps go on in a common direction only where the angle lies below π/2, the"
                " angle of unrelated steps."
            ),
        ),
        Histogram(
            title="Tortuosity of the samples' paths",
            x_label="path length / end-to-end distance (1)",
            groups=[Group(name="samples", values=result["tortuosity"].values)],
            y_label="share of samples per bin (1)",
            caption=(
                "How much longer a sample's path is than the way from its first to its last state."
            ),
            interpretation=(
                "A path is straight only if its tortuosity is near 1; S unrelated steps of"
                " equal length have the square root of S."
            ),
        ),
    ]


def _geometry_along_tokens(result: xr.Dataset) -> list[Drawing]:
    angle = by_site(result, "mean_turning_angle", "turning angle")
    permuted = "independent states, and any states in random order, 2π/3"
    return [
        Lines(
            title="Turning angle along the tokens of a text, by site",
            x_label=SITE_LABEL,
            y_label="mean turning angle of a text (rad)",
            series=[*angle, *_references(angle[0].x, permuted)],
            caption=(
                "How sharply the path from token to token turns at each site: 0 straight on, π"
                " straight back."
            ),
            interpretation=(
                "A model straightens the path of a text only if the angle falls with depth and lies"
                " below that of the same tokens in random order; an untrained model must not show"
                " the same."
            ),
        ),
        Lines(
            title="Tortuosity along the tokens of a text, by site",
            x_label=SITE_LABEL,
            y_label="path length / end-to-end distance (1)",
            series=by_site(result, "tortuosity", "tortuosity"),
            y_scale="log",
            caption=(
                "How much longer the way from token to token is than that from the first to the"
                " last."
            ),
            interpretation=(
                "A path leads somewhere only where it is straighter than the same tokens in random"
                " order; longer texts have more tortuous paths, and an attention sink at either end"
                " shortens none but hides the rest."
            ),
        ),
    ]

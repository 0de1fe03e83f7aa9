"""Figures of `paths.kinematics`, over depth and along tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.plots.backend.captions import (
    OVER_SAMPLES,
    caption,
    n_samples,
)
from transformer_dynamics.plots.backend.depth import (
    SITE_LABEL,
    STEP_LABEL,
    TURN_LABEL,
    by_step_kind,
    mean_with_band,
    names_of,
)
from transformer_dynamics.plots.paths.token_axis import (
    cosine_of_tokens,
    norm_of_tokens,
    speed_of_tokens,
)
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import STREAM, STREAM_PER_STEP


@figure("paths.kinematics")
def draw_kinematics(result: xr.Dataset) -> list[Drawing]:
    """Draw speed, relative speed, cosine, norm and acceleration over depth.

    Along tokens: speed, cosine and norm by site, with those of tokens in random order.
    """
    if "token" in result.dims:
        return [speed_of_tokens(result), cosine_of_tokens(result), norm_of_tokens(result)]
    return [_speed(result), _relative_speed(result), _cosine(result), _norm(result), _turns(result)]


def _steps(result: xr.Dataset, name: str, quantity: str, **texts: Any) -> Lines:
    noun = name.replace("_", " ")
    line = mean_with_band(noun, result[name].values, labels=names_of(result, "step"))
    return Lines(
        title=f"{noun.capitalize()} over depth",
        x_label=STEP_LABEL,
        series=by_step_kind(line, result["step_kind"].values),
        caption=caption(quantity, n=n_samples(result), interval=OVER_SAMPLES),
        **texts,
    )


def _speed(result: xr.Dataset) -> Lines:
    return _steps(
        result,
        "speed",
        "Distance that a state moves at each step, mean over samples",
        y_label=f"speed ({STREAM_PER_STEP})",
        y_scale="log",
        interpretation=(
            "A rise is an acceleration only if it exceeds the rise of steps in random order and "
            "does not come from a few massive units."
        ),
    )


def _relative_speed(result: xr.Dataset) -> Lines:
    return _steps(
        result,
        "relative_speed",
        "Speed over the norm of the state at the start of the step, mean over samples",
        y_label="relative speed (1 per step)",
        interpretation=(
            "A fall means that updates grow more slowly than the norm, which is also true of a sum "
            "of steps of equal size."
        ),
    )


def _cosine(result: xr.Dataset) -> Lines:
    lines = _steps(
        result,
        "cosine",
        "Cosine of the states before and after each step, mean over samples; dashed: random walk "
        "with steps of equal size, sqrt(s/(s+1)) for its s-th state",
        y_label="cosine of consecutive states (1)",
        interpretation=(
            "Direction stabilizes only where the cosine exceeds that of the random walk, which "
            "rises as well because each step is small relative to the sum of the earlier ones."
        ),
    )
    states = np.arange(1, result.sizes["step"] + 1)
    walk = Series(
        name="plain random walk, sqrt(s/(s+1))",
        x=states - 1,
        y=np.sqrt(states / (states + 1)),
        role="reference",
    )
    title = "Cosine of consecutive states over depth"
    return replace(lines, title=title, series=[*lines.series, walk])


def _norm(result: xr.Dataset) -> Lines:
    line = mean_with_band("norm", result["norm"].values, labels=names_of(result, "site"))
    return Lines(
        title="Norm over depth",
        x_label=SITE_LABEL,
        y_label=f"norm ({STREAM})",
        series=[line],
        y_scale="log",
        caption=caption(
            "Norm of the states at each site, mean over samples",
            n=n_samples(result),
            interval=OVER_SAMPLES,
        ),
        interpretation=(
            "The norm grows more than that of a sum of unrelated updates only where it exceeds the "
            "square root of the summed squares of the steps."
        ),
    )


def _turns(result: xr.Dataset) -> Lines:
    values, labels = result["acceleration"].values, names_of(result, "turn")
    return Lines(
        title="Acceleration over depth",
        x_label=TURN_LABEL,
        y_label=f"change of speed ({STREAM_PER_STEP}²)",
        series=[mean_with_band("acceleration", values, labels=labels, first=1)],
        caption=caption(
            "Difference in speed between consecutive steps, mean over samples",
            n=n_samples(result),
            interval=OVER_SAMPLES,
        ),
        interpretation=(
            "Attention and MLP steps differ in length, so the sign alternates; an acceleration "
            "must hold within each kind of step."
        ),
    )

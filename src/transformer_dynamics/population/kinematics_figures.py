"""Figures of the kinematics, over depth and along tokens, and the lines they share with others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.drawing import Drawing, Lines, Role, Series

Floats = NDArray[np.float64]

STREAM = "stream units"
STREAM_PER_STEP = "stream units per step"
STEP_LABEL = "step (index of the site it starts from)"
SITE_LABEL = "site (index)"
KIND_NAMES = {
    "attention": "attention steps (within a layer)",
    "mlp": "MLP steps (across layers)",
}


def mean_with_band(
    name: str,
    values: Floats,
    *,
    labels: Sequence[str],
    first: int = 0,
    over: str = "samples",
    role: Role = "model",
) -> Series:
    """A line of the mean over samples with its 5-95 % band; NaN are left out.

    Args:
        name: what is averaged; the legend says that it is a mean.
        values: `(sample, point)`.
        labels: what each point is called.
        first: position of the first point on the axis of depth.
        over: what the mean and the band are taken over.
        role: whether it is the model or a null.
    """
    mean, low, high = np.full((3, values.shape[1]), np.nan)
    some = ~np.isnan(values).all(axis=0)
    if some.any():
        with np.errstate(invalid="ignore"):
            mean[some] = np.nanmean(values[:, some], axis=0)
            low[some], high[some] = np.nanquantile(values[:, some], [0.05, 0.95], axis=0)
    return Series(
        name=f"{name}, mean over {over} (5-95 %)",
        x=np.arange(first, first + mean.size),
        y=mean,
        low=low,
        high=high,
        labels=labels,
        role=role,
    )


def by_site(result: xr.Dataset, variable: str, noun: str) -> list[Series]:
    """A result along tokens by site: mean over texts, and of permuted tokens where there is one."""
    labels = [str(label) for label in result["site"].values]
    model = mean_with_band(noun, result[variable].values, labels=labels, over="texts")
    null = f"{variable}_permuted"
    if null not in result:
        return [model]
    name = f"{noun}, tokens in random order"
    values = result[null].values
    return [model, mean_with_band(name, values, labels=labels, over="texts", role="null")]


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
        shows="How nearly a state points where the one before it pointed; 1 is the same direction.",
        requires="Direction settles only where the cosine lies above the random walk's curve, which"
        " rises as well, since each step is small beside the sum of all before it.",
    )
    return replace(
        lines,
        title="Cosine of consecutive states over depth",
        series=[*lines.series, walk],
    )


def draw_kinematics(result: xr.Dataset) -> list[Drawing]:
    """Speed, relative speed, cosine with the walk's curve, norm and acceleration over depth.

    Along tokens: speed, cosine and norm by site, beside those of tokens in random order.
    """
    if "token" in result.dims:
        return _draw_along_tokens(result)
    sites = [str(label) for label in result["site"].values]
    turns = [str(label) for label in result["turn"].values]
    return [
        _steps(
            result,
            "speed",
            f"speed ({STREAM_PER_STEP})",
            y_scale="log",
            shows="How far a state moves at each step, and whether attention or MLP moves it more.",
            requires="A rise is an acceleration only if it exceeds that of steps in random order"
            " and is not the work of a few massive units.",
        ),
        _steps(
            result,
            "relative_speed",
            "speed / norm at the step's start (1 per step)",
            shows="How far a state moves at each step beside its own length.",
            requires="A fall means that updates grow less than the stream; a sum of equal steps"
            " falls too.",
        ),
        _cosine_lines(result),
        Lines(
            title="Norm over depth",
            x_label=SITE_LABEL,
            y_label=f"norm ({STREAM})",
            series=[mean_with_band("norm", result["norm"].values, labels=sites)],
            y_scale="log",
            shows="How long the states are at each site.",
            requires="A rise is more than a sum of unrelated updates only where it exceeds the"
            " square root of the summed squares of the steps.",
        ),
        Lines(
            title="Acceleration over depth",
            x_label="turn (index of its middle site)",
            y_label=f"change of speed ({STREAM_PER_STEP}²)",
            series=[
                mean_with_band("acceleration", result["acceleration"].values, labels=turns, first=1)
            ],
            shows="Where the speed rises (above zero) and falls from one step to the next.",
            requires="Attention and MLP steps differ in length, so an alternating sign says nothing"
            " of the trend; the trend must hold within each kind.",
        ),
    ]


def _draw_along_tokens(result: xr.Dataset) -> list[Drawing]:
    sinks = " No attention sink may be among the tokens, since one decides a text's mean by itself."
    return [
        Lines(
            title="Speed along the tokens of a text, by site",
            x_label=SITE_LABEL,
            y_label="mean speed of a text (stream units per token step)",
            series=by_site(result, "mean_speed", "speed"),
            y_scale="log",
            shows="How far apart the states of neighbouring tokens are at each site.",
            requires="Neighbours are alike only where the line lies below that of the same tokens"
            " in random order." + sinks,
        ),
        Lines(
            title="Cosine of neighbouring tokens, by site",
            x_label=SITE_LABEL,
            y_label="mean cosine of a text (1)",
            series=by_site(result, "mean_cosine", "cosine"),
            shows="How nearly the states of neighbouring tokens point the same way at each site.",
            requires="Neighbours agree more than any two tokens of a text only where the line lies"
            " above that of tokens in random order, which a direction that all states share lifts"
            " as well.",
        ),
        Lines(
            title="Norm of the tokens' states, by site",
            x_label=SITE_LABEL,
            y_label=f"mean norm of a text ({STREAM})",
            series=by_site(result, "mean_norm", "norm"),
            y_scale="log",
            shows="How long the states of a text's tokens are at each site.",
            requires="The mean stands for most tokens." + sinks,
        ),
    ]

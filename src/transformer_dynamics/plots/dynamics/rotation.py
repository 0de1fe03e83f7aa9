"""Figures of `dynamics.rotation`: shares of rotation, rotation by step, jPC planes, tangling."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Interval, Intervals, Lines, Path, Paths
from transformer_dynamics.plots.backend.bands import draw_band, null_series
from transformer_dynamics.plots.backend.captions import OVER_SAMPLES, caption, n_samples
from transformer_dynamics.plots.backend.depth import (
    STEP_LABEL,
    by_step_kind,
    depth_series,
    mean_with_band,
    names_of,
)
from transformer_dynamics.registry import figure

N_PATHS = 6
# Ends of the spread of single surrogates.
PERCENTILES = (2.5, 97.5)
STATISTICS = {"r2_ratio": "R² ratio", "r2_skew": "R² of rotation"}


@figure("dynamics.rotation")
def draw_rotation(result: xr.Dataset) -> list[Drawing]:
    """Draw shares of rotation with their surrogates, the fit by step, both planes, and tangling."""
    return [
        _shares(result),
        _by_step(result),
        *(_plane(result, str(weighting)) for weighting in result["weighting"].values),
        _tangling(result),
    ]


def _null(result: xr.Dataset) -> str:
    return f"{result.sizes['draw']} surrogates"


def _shares(result: xr.Dataset) -> Intervals:
    rows = []
    for weighting in result["weighting"].values:
        chosen = result.sel(weighting=weighting)
        for name, noun in STATISTICS.items():
            value, title = float(chosen[name]), f"{noun}, {weighting}"
            draws = draw_band(chosen[f"null_{name}"].values[:, np.newaxis], PERCENTILES)
            mean, low, high = (float(end[0]) for end in draws)
            rows += [
                Interval(name=title, value=value, low=value, high=value),
                Interval(name=f"{title}: surrogates", value=mean, low=low, high=high, role="null"),
            ]
    return Intervals(
        title="Share of rotation in the steps",
        x_label="share of squared steps, or ratio of shares (1)",
        intervals=rows,
        caption=caption(
            "Share of the reduced steps that one rotation explains (R²), and its ratio to the "
            "share that one linear map explains",
            n=n_samples(result),
            interval="middle 95 % of surrogates",
            null=_null(result),
        ),
        interpretation=(
            "Rotation exceeds that of equally smooth data only if the model lies beyond the "
            "surrogates, and a large ratio of two small shares is still a small rotation."
        ),
    )


def _by_step(result: xr.Dataset) -> Lines:
    series = [
        depth_series(str(weighting), result["r2_skew_by_step"].sel(weighting=weighting))
        for weighting in result["weighting"].values
    ]
    points = by_step_kind(series[-1], result["step_kind"].values)[1:]
    return Lines(
        title="Rotation by step",
        x_label=STEP_LABEL,
        y_label="share of the step's squares explained (1)",
        series=[*series, *points],
        caption=caption(
            "Share of each step that one rotation, the same at all depths, explains; below 0 it is "
            "worse than no update",
            n=n_samples(result),
        ),
        interpretation=(
            "One rotation describes the stream only where the share is above zero over a range of "
            "depth, for attention and MLP steps alike."
        ),
    )


def _plane(result: xr.Dataset, weighting: str) -> Paths:
    chosen = result.sel(weighting=weighting)
    scores, labels = chosen["jpc_score"].values, names_of(result, "site")
    n_paths = min(N_PATHS, len(scores))
    samples = np.linspace(0, len(scores) - 1, n_paths).round().astype(int)
    share = 100 * float(chosen["jpc_share"])
    frequency = float(chosen["frequency"][0])
    unit = "stream units" if weighting == "as recorded" else "standard deviations of the site"
    return Paths(
        title=f"jPC plane, {weighting} ({frequency:.3f} rad per step)",
        x_label=f"jPC1 (the plane holds {share:.1f} % of variance; {unit})",
        y_label=f"jPC2 ({unit})",
        paths=[
            Path(name=f"sample {sample}", points=scores[sample], labels=labels, role="detail")
            for sample in samples
        ],
        caption=caption(
            f"Deviations of {n_paths} texts from the mean path, in the plane of fastest rotation",
            n=n_samples(result),
        ),
        interpretation=(
            "Texts must turn in the same direction at one speed, and even then the plane is chosen "
            "to show rotation, so surrogates rotate in theirs too."
        ),
    )


def _tangling(result: xr.Dataset) -> Lines:
    labels = names_of(result, "step")
    surrogates = draw_band(result["null_tangling"].values, PERCENTILES)
    name = "surrogates, mean over samples (2.5-97.5 % of surrogates)"
    return Lines(
        title="Tangling over depth",
        x_label=STEP_LABEL,
        y_label="tangling Q (1 per step²)",
        series=[
            mean_with_band("tangling", result["tangling"].values, labels=labels),
            depth_series("path averaged over samples", result["mean_path_tangling"], role="detail"),
            null_series(name, surrogates, labels=labels),
        ],
        caption=caption(
            "Tangling at each step, which is large where similar states have different updates",
            n=f"{result.sizes['tangled_sample']} samples",
            interval=f"{OVER_SAMPLES}; for the null model middle 95 % of surrogates",
            null=_null(result),
        ),
        interpretation=(
            "Paths follow one smooth flow field only if the model lies below the surrogates, "
            "although each layer has a field of its own."
        ),
    )

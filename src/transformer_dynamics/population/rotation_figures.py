"""Figures of `population.rotation`: the statistics beside their surrogates, planes, tangling."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.drawing import Drawing, Interval, Intervals, Lines, Path, Paths, Series
from transformer_dynamics.population.kinematics import (
    STEP_LABEL,
    Floats,
    by_step_kind,
    mean_with_band,
)

N_PATHS = 6
# What single surrogates spread over.
BAND = (2.5, 97.5)


def draw_rotation(result: xr.Dataset) -> list[Drawing]:
    """Shares of rotation with their surrogates, where the map fits, both planes, tangling."""
    return [
        _shares(result),
        _by_step(result),
        *(_plane(result, str(weighting)) for weighting in result["weighting"].values),
        _tangling(result),
    ]


def _shares(result: xr.Dataset) -> Intervals:
    rows = []
    for weighting in result["weighting"].values:
        chosen = result.sel(weighting=weighting)
        for name, noun in (("r2_ratio", "R² ratio"), ("r2_skew", "R² of rotation")):
            value, draws = float(chosen[name]), chosen[f"null_{name}"].values
            low, high = np.percentile(draws, BAND)
            title = f"{noun}, {weighting}"
            rows.append(Interval(name=title, value=value, low=value, high=value))
            rows.append(
                Interval(
                    name=f"{title}: surrogates",
                    value=float(draws.mean()),
                    low=float(low),
                    high=float(high),
                    role="null",
                )
            )
    return Intervals(
        title="Share of rotation in the steps",
        x_label="share of squared steps, or ratio of shares (1)",
        intervals=rows,
        shows="How much of the reduced steps is one rotation, alone and over what any one linear "
        "map explains; surrogates with their mean and middle 95 %.",
        requires="The model must lie beyond the surrogates, which are as smooth; a large ratio of "
        "two small shares is still a small rotation.",
    )


def _by_step(result: xr.Dataset) -> Lines:
    labels = [str(label) for label in result["step"].values]
    index = np.arange(len(labels))
    series = [
        Series(name=str(weighting), x=index, y=values, labels=labels)
        for weighting, values in zip(
            result["weighting"].values, result["r2_skew_by_step"].values, strict=True
        )
    ]
    marks = by_step_kind(series[-1], result["step_kind"].values)[1:]
    return Lines(
        title="Where in depth the one rotation fits",
        x_label=STEP_LABEL,
        y_label="share of the step's squares explained (1)",
        series=[*series, *marks],
        shows="How well one rotation, the same at all depths, tells each step of the texts; below "
        "zero it is worse than standing still.",
        requires="The share must be above zero over a range of depth, for attention and MLP steps "
        "alike, for one rotation to describe the stream.",
    )


def _plane(result: xr.Dataset, weighting: str) -> Paths:
    chosen = result.sel(weighting=weighting)
    scores: Floats = chosen["jpc_score"].values
    labels = result["site"].values.tolist()
    n_paths = min(N_PATHS, len(scores))
    samples = np.linspace(0, len(scores) - 1, n_paths).round().astype(int)
    share = 100 * float(chosen["jpc_share"])
    turned = float(chosen["frequency"][0])
    unit = "stream units" if weighting == "as recorded" else "deviations of the site"
    return Paths(
        title=f"jPC plane, {weighting} ({turned:.3f} rad per step)",
        x_label=f"jPC1 (the plane holds {share:.1f} % of variance; {unit})",
        y_label=f"jPC2 ({unit})",
        paths=[
            Path(name=f"sample {sample}", points=scores[sample], labels=labels, role="detail")
            for sample in samples
        ],
        shows="Deviations of single texts from the mean path, in the plane that turns fastest.",
        requires="Texts must turn in the same sense and at one speed; the plane is chosen to show "
        "turning, so that surrogates turn in theirs too.",
    )


def _tangling(result: xr.Dataset) -> Lines:
    labels = [str(label) for label in result["step"].values]
    drawn = result["null_tangling"].values
    index = np.arange(len(labels))
    low, high = np.percentile(drawn, BAND, axis=0)
    return Lines(
        title="Tangling over depth",
        x_label=STEP_LABEL,
        y_label="tangling Q (1 per step²)",
        series=[
            mean_with_band("tangling", result["tangling"].values, labels=labels),
            Series(
                name="path averaged over samples",
                x=index,
                y=result["mean_path_tangling"].values,
                labels=labels,
                role="detail",
            ),
            Series(
                name="surrogates, mean over samples (2.5-97.5 % of surrogates)",
                x=index,
                y=drawn.mean(axis=0),
                low=low,
                high=high,
                labels=labels,
                role="null",
            ),
        ],
        shows="Whether places that are close together are left in different directions.",
        requires="The model must lie below the surrogates for its paths to be those of one smooth "
        "field of flow; every layer has a field of its own.",
    )

"""Figures of C8: the log ratio over depth and horizon, and the ratio by layer with its nulls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from transformer_dynamics.claims.figures import null_name, null_series, statistic_intervals
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing, Heatmap, Lines, Series

# Kinds of displacement, in words.
KINDS = {
    "random": "in random directions",
    "grid": "to the paper's grid in the plane of two principal components",
    "shift": "within the plane of two principal components",
    "towards": "towards the states of other texts",
}
PARTS = ("profile", "profile_low", "profile_high", "null_profile", "null_low", "null_high")


def draw_of(kind: str) -> Callable[[xr.Dataset], list[Drawing]]:
    """Heat map of the log ratio, ratio by layer with its nulls, statistic."""

    def draw(evidence: xr.Dataset) -> list[Drawing]:
        return [
            depth_by_horizon(evidence, kind),
            ratio_by_layer(evidence, kind),
            statistic_intervals(evidence, "geometric mean ratio in the band (1)"),
        ]

    return draw


def ratio_by_layer(evidence: xr.Dataset, kind: str) -> Lines:
    """Ratio by layer of injection, of both halves of the texts and of each null."""
    starts = [str(start) for start in evidence["start"].values]
    layers = np.arange(len(starts))
    ratios = evidence.assign({name: np.exp(evidence[name]) for name in PARTS})
    series = []
    for half in evidence["half"].values.tolist():
        middle, low, high = (ratios[name].sel(half=half).values for name in PARTS[:3])
        series.append(
            Series(
                name=f"model, texts the band was {half}",
                x=layers,
                y=middle,
                low=low,
                high=high,
                labels=starts,
                role="model" if half == "measured on" else "detail",
            )
        )
    series += null_series(ratios.sel(half="measured on"), layers, labels=starts)
    return Lines(
        title=f"States perturbed {KINDS[kind]}: distance after the horizon",
        x_label="layer of injection (index)",
        y_label="distance / initial distance (1)",
        series=series,
        y_scale="log",
        caption=(
            "Distance to the unperturbed trajectory after the horizon, geometric mean over texts "
            "with 95 % over texts (untrained: over seeds)."
        ),
        interpretation=(
            "Convergence requires a ratio below 1 in the band, on texts that the band was not "
            "found on, and below the untrained network."
        ),
    )


def depth_by_horizon(evidence: xr.Dataset, kind: str) -> Heatmap:
    """Log ratio by layer of injection and horizon, of the model and of each null."""
    maps = {"model": evidence["illustration"].values}
    for name in evidence["null"].values:
        maps[null_name(name)] = evidence["null_illustration"].sel(null=name).values
    gap = np.full((1, evidence.sizes["start"]), np.nan)
    rows: list[Floats] = []
    ticks: list[tuple[float, str]] = []
    for name, values in maps.items():
        begin = sum(len(row) for row in rows)
        ticks += [
            (begin + index, f"{name}: {horizon}")
            for index, horizon in enumerate(evidence["horizon"].values)
        ]
        rows += [values.T, gap]
    starts = [str(start) for start in evidence["start"].values]
    return Heatmap(
        title=f"States perturbed {KINDS[kind]}: log ratio by layer of injection and horizon",
        x_label="layer of injection (site)",
        y_label="horizon (sublayers)",
        color_label="ln(distance / initial distance) (1)",
        values=np.concatenate(rows[:-1]),
        x_ticks=[(index, start) for index, start in enumerate(starts) if index % 3 == 0],
        y_ticks=ticks,
        own_rows=evidence.sizes["horizon"],
        caption="Log ratio, mean over texts: below 0 states converge, above 0 they diverge.",
        interpretation="A converging band is negative in the model and not in the nulls.",
    )

"""Figures of `perturbation.community_gain`: rank correlations over depth, gain by boundary."""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.drawing import Drawing, Lines, Series
from transformer_dynamics.drawing.style import Role
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.residual.flow_map import Floats


def draw_community_gain(result: xr.Dataset) -> list[Drawing]:
    """Rank correlations over depth with the band of permutations, and gain by boundary."""
    depth, labels = result["depth"].values, [str(label) for label in result["start"].values]
    drawings: list[Drawing] = [
        _over_depth(result.sel(horizon=horizon), horizon, depth, labels)
        for horizon in result["horizon"].values.tolist()
    ]
    middle = labels[len(labels) // 2]
    shown = result.sel(start=middle)
    for horizon in result["horizon"].values.tolist():
        drawings.append(
            Lines(
                title=f"Gain of units by their boundary position, {middle}, {horizon}",
                x_label="boundary position: share of edge weight to other communities (1)",
                y_label="gain |J e_u|, root mean square over texts (1)",
                y_scale="log",
                series=[
                    Series(
                        name=system.replace("_", " "),
                        x=shown["boundary"].sel(system=system).values,
                        y=shown["mean_gain"].sel(system=system, horizon=horizon).values,
                        role="model" if system == MODEL else "null",
                        markers=True,
                    )
                    for system in result["system"].values.tolist()
                ],
                shows="Gain of small changes of each unit against its place between communities.",
                requires="A dependence counts where it exceeds permuted units and the untrained "
                "network, and remains with variance and strength regressed out.",
            )
        )
    return drawings


def _over_depth(result: xr.Dataset, horizon: str, depth: Floats, labels: list[str]) -> Lines:
    series = []
    for system in result["system"].values.tolist():
        role: Role = "model" if system == MODEL else "null"
        for name, words in (("spearman", "Spearman"), ("partial_spearman", "partial")):
            values = result[name].sel(system=system).values
            title = f"{system.replace('_', ' ')}, {words}"
            series.append(Series(name=title, x=depth, y=values, labels=labels, role=role))
    null = result.sel(system=result["system"].values[0])
    series.append(
        Series(
            name="permuted units, middle 95 %",
            x=depth,
            y=0.0 * depth,
            low=null["spearman_null_low"].values,
            high=null["spearman_null_high"].values,
            role="reference",
        )
    )
    return Lines(
        title=f"Rank correlation of boundary position and gain over depth, {horizon}",
        x_label="site (index)",
        y_label="rank correlation over units (1)",
        series=series,
        shows="Whether units between communities are amplified more (above 0) or less; partial: "
        "log variance and strength regressed out.",
        requires="The model must lie outside the permuted units and away from the untrained "
        "network at the same depth.",
    )

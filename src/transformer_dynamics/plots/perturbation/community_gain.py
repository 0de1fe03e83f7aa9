"""Figures of `perturbation.community_gain`: rank correlations over depth, gain by boundary."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.plots.backend.bands import Band, band_series
from transformer_dynamics.plots.backend.captions import caption
from transformer_dynamics.plots.backend.depth import SITE_LABEL, names_of
from transformer_dynamics.plots.perturbation.systems import n_texts, role_of, system_caption
from transformer_dynamics.registry import figure

CORRELATIONS = {"spearman": "Spearman", "partial_spearman": "partial"}


@figure("perturbation.community_gain")
def draw_community_gain(result: xr.Dataset) -> list[Drawing]:
    """Draw rank correlations over depth with the band of permutations, and gain by boundary."""
    horizons = result["horizon"].values.tolist()
    return [
        *(_over_depth(result.sel(horizon=horizon), horizon) for horizon in horizons),
        *(_by_boundary(result.sel(horizon=horizon), horizon) for horizon in horizons),
    ]


def _by_boundary(result: xr.Dataset, horizon: str) -> Lines:
    starts = names_of(result, "start")
    middle = starts[len(starts) // 2]
    shown = result.sel(start=middle)
    return Lines(
        title=f"Gain of units by their boundary position, {middle}, {horizon}",
        x_label="boundary position: share of edge weight to other communities (1)",
        y_label="gain |J e_u|, root mean square over texts (1)",
        y_scale="log",
        series=[
            Series(
                name=system.replace("_", " "),
                x=shown["boundary"].sel(system=system).values,
                y=shown["mean_gain"].sel(system=system).values,
                role=role_of(system),
                markers=True,
            )
            for system in result["system"].values.tolist()
        ],
        caption=system_caption(
            result,
            "Gain of small changes of each unit by its position between communities of units",
            interval="none",
        ),
        interpretation=(
            "A dependence counts where it exceeds permuted units and the untrained network, and "
            "remains with variance and strength regressed out."
        ),
    )


def _over_depth(result: xr.Dataset, horizon: str) -> Lines:
    depth, labels = result["depth"].values, names_of(result, "start")
    systems = result["system"].values.tolist()
    series = [
        Series(
            name=f"{system.replace('_', ' ')}, {noun}",
            x=depth,
            y=result[name].sel(system=system).values,
            labels=labels,
            role=role_of(system),
        )
        for system in systems
        for name, noun in CORRELATIONS.items()
    ]
    low, high = (
        result[f"spearman_null_{end}"].sel(system=systems[0]).values for end in ("low", "high")
    )
    zero = Band(np.zeros(len(depth)), low, high)
    name = "permuted units, middle 95 %"
    permuted = band_series(name, zero, x=depth, labels=labels, role="reference")
    nulls = [system.replace("_", " ") for system in systems if role_of(system) == "null"]
    return Lines(
        title=f"Rank correlation of boundary position and gain, {horizon}",
        x_label=SITE_LABEL,
        y_label="rank correlation over units (1)",
        series=[*series, permuted],
        caption=caption(
            "Rank correlation over units of boundary position and gain, positive where units "
            "between communities are amplified more; partial: log variance and strength "
            "regressed out",
            n=n_texts(result),
            interval="middle 95 % of permutations",
            null=", ".join(["permuted units", *nulls]),
        ),
        interpretation=(
            "The dependence is learned where the model lies outside the permuted units and differs "
            "from the untrained network at the same depth."
        ),
    )

"""Figures of `perturbation.flow_field`, `perturbation.basin` and `perturbation.slow_points`."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Field, Lines
from transformer_dynamics.plots.backend.bands import text_series
from transformer_dynamics.plots.backend.captions import caption, words
from transformer_dynamics.plots.backend.depth import names_of
from transformer_dynamics.plots.perturbation.systems import STEP_LABEL, role_of, system_caption
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import STREAM


@figure("perturbation.flow_field")
def draw_flow_field(result: xr.Dataset) -> list[Drawing]:
    """Draw the model's field at every site, with a slider over depth."""
    shown = result.sel(system=MODEL) if MODEL in result["system"].values else result.isel(system=0)
    n_sites = result.attrs["n_sites"]
    return [
        Field(
            title=f"Mean displacement over the next {n_sites} sites",
            x_label=f"PC1 ({STREAM})",
            y_label=f"PC2 ({STREAM})",
            slider_label="site",
            labels=names_of(shown, "site"),
            points=shown["point_score"].values,
            arrows=shown["displacement"].values,
            caption=caption(
                f"Displacement over {n_sites} sites of states on a grid in the plane of two "
                "principal components, mean over texts",
                n=f"{result.attrs['n_texts']} texts",
            ),
            interpretation=(
                "An attractor has arrows that point inwards from all sides at the scale at which "
                "texts differ, and not only along the common drift."
            ),
        )
    ]


@figure("perturbation.basin")
def draw_basin(result: xr.Dataset) -> list[Drawing]:
    """Draw the inward share by radius for every system, one figure per depth."""
    return [_basin(result, start) for start in result["start"].values.tolist()]


def _basin(result: xr.Dataset, start: str) -> Lines:
    x = np.log(result["radius"].values)
    share = result["inward_share"].sel(start=start)
    return Lines(
        title=f"Displacement towards the unperturbed trajectory from {start}",
        x_label="ln of the distance from the unperturbed state over the spread of texts (1)",
        y_label="share displaced inwards (1)",
        series=[
            text_series(share.sel(system=system), words(system), x=x, role=role_of(system))
            for system in result["system"].values.tolist()
        ],
        caption=system_caption(
            result,
            "Share of perturbed states that the next layer moves towards the unperturbed "
            "trajectory, by distance from it, mean over texts",
        ),
        interpretation=(
            "A basin is a share above one half up to some radius, in the model and not in the "
            "untrained network."
        ),
    )


@figure("perturbation.slow_points")
def draw_slow_points(result: xr.Dataset) -> list[Drawing]:
    """Draw the speed of the slow points over that of the unperturbed state, by layer."""
    labels = names_of(result, "step")
    return [
        Lines(
            title="Speed of the slowest states",
            x_label=STEP_LABEL,
            y_label="|F(x) - x| of the slow point / of the unperturbed state (1)",
            y_scale="log",
            series=[
                text_series(
                    result["speed_ratio"].sel(system=system),
                    words(system),
                    labels=labels,
                    role=role_of(system),
                )
                for system in result["system"].values.tolist()
            ],
            caption=system_caption(
                result,
                "Speed of the slowest state found from the unperturbed state, over the speed of "
                "the unperturbed state, mean over texts",
            ),
            interpretation=(
                "A fixed point of a layer has speed 0, and a slow point is not a fixed point of "
                "the next layer, which has other weights."
            ),
        )
    ]

"""Experiment of panel 4D: states of one prompt replaced by a grid in the plane, and followed.

With z a point of the grid, V the loadings of the first two principal components of the sublayers
and mu their mean, x = z V^T + mu replaces the state of the prompt's last token. The readings are

    arrow           V (F(s -> s + 12) x - x)                        in the plane, stream units
    squared error   mean over points and units of (x_t - c_t)^2     c: the unperturbed trajectory

Source: arXiv 2502.12131. Limit: no interval, since there is one prompt; see `perturbation.teleport`
for many texts and for displacements within the plane.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.perturbation.depths import quarter_sites
from transformer_dynamics.perturbation.driver import stacked
from transformer_dynamics.perturbation.states.displacement import (
    first_plane,
    grid_scores,
    on_plane,
    square_corners,
    states_at,
)
from transformer_dynamics.perturbation.states.prompt import HALF_RANGE
from transformer_dynamics.perturbation.states.teleport import N_GRID
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import STREAM

PROMPT = "I'm sorry, Dave. I'm afraid I can't do that."
HORIZON = 12
FIXED, OWN = "fixed", "own"
SQUARED = {"units": f"{STREAM}^2", "denominator": "points of the grid times units"}


def teleport_prompt(flow: FlowMap, recording: Recording, plane: xr.Dataset) -> xr.Dataset:
    """Replace the state of one prompt by a grid in the plane at five depths, and follow it.

    Args:
        flow: flow map of the prompt.
        recording: states of many texts, which give the second range of the grid.
        plane: result of `dimension.pca` for the sublayers, with two components or more.

    Returns:
        For the range from -15 to 15 (`fixed`) and the range of the texts' scores at the site of the
        replacement (`own`): `point_score` and `displacement`
        `(range, start, point, component)`, in stream units; `squared_error` `(range, start, site)`,
        NaN before the replacement; `stop` `(start)`, the sites where arrows end.
    """
    axes = first_plane(plane)
    starts = quarter_sites(flow.sites)
    by_start = {}
    for start in starts:
        scores = {
            FIXED: square_corners(HALF_RANGE),
            OWN: axes.project(states_at(recording, start)),
        }
        by_range = {
            name: _followed(flow, grid_scores(each, N_GRID), start, axes)
            for name, each in scores.items()
        }
        by_start[start] = stacked(by_range, "range")
    result = stacked(by_start, "start").sel(site=list(flow.sites))
    stops = np.array([_stop(flow.sites, start) for start in starts], dtype=object)
    return result.assign_coords(stop=("start", stops))


def _stop(sites: tuple[str, ...], start: str) -> str:
    return sites[min(sites.index(start) + HORIZON, len(sites) - 1)]


def _followed(flow: FlowMap, grid: Floats, start: str, axes: PrincipalAxes) -> xr.Dataset:
    first = flow.sites.index(start)
    replaced = on_plane(grid, axes)
    carried = flow.advance(replaced, start, flow.sites[-1])
    ends = carried[:, flow.sites.index(_stop(flow.sites, start)) - first]
    error = ((carried - flow.clean[first:]) ** 2).mean(axis=(0, 2))
    before = np.full(first, np.nan)
    return xr.Dataset(
        {
            "point_score": (("point", "component"), grid, {"units": STREAM}),
            "displacement": (
                ("point", "component"),
                axes.project(ends) - grid,
                {"units": STREAM, "definition": f"over the next {HORIZON} sublayers, in the plane"},
            ),
            "squared_error": ("site", np.concatenate([before, error]), SQUARED),
        },
        coords={"site": np.array(flow.sites, dtype=object)},
    )

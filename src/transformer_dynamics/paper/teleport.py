"""Panel 4D's experiment: states of one prompt replaced by a grid in the plane, and followed.

With z a point of the grid, V the loadings of the first two principal components of the sublayers
and mu their mean, the state x = z V^T + mu replaces that of the prompt's last token. Followed are

    arrow           V (F(s -> s + 12) x - x)                        in the plane, stream units
    squared error   mean over points and units of (x_t - c_t)^2     c: the unperturbed trajectory

Source: arXiv 2502.12131. Not handled: intervals, since the experiment has one prompt; see
`perturbation.teleport` for many texts and for displacements that keep what lies off the plane.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.perturbation.depths import quarter_sites
from transformer_dynamics.perturbation.states.displacement import grid_scores, on_plane, states_at
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import STREAM

PROMPT = "I'm sorry, Dave. I'm afraid I can't do that."
HORIZON = 12
N_GRID = 10
FIXED, OWN = "fixed", "own"
HALF_RANGE = 15.0
SQUARED = {"units": f"{STREAM}^2", "denominator": "points of the grid times units"}


def teleport_prompt(flow: FlowMap, recording: Recording, plane: xr.Dataset) -> xr.Dataset:
    """Replace the state of one prompt by a grid in the plane at five depths, and follow it.

    Args:
        flow: the flow map of the prompt.
        recording: the states of many texts, which give the second range of the grid.
        plane: `dimension.pca` of the sublayers, two components or more.

    Returns:
        For the range from -15 to 15 (`fixed`) and that of the scores of the recording's texts at
        the site of the replacement (`own`): `point_score` and `displacement`
        `(range, start, point, component)`, in stream units; `squared_error` `(range, start, site)`,
        NaN before the replacement; `stop` `(start)`, where arrows end.
    """
    axes = _plane(plane)
    starts = quarter_sites(flow.sites)
    corners = {FIXED: np.array([[-HALF_RANGE] * 2, [HALF_RANGE] * 2])}
    found = []
    for start in starts:
        scores = {**corners, OWN: axes.project(states_at(recording, start))}
        parts = [
            _followed(flow, grid_scores(each, N_GRID), start, axes) for each in scores.values()
        ]
        names = xr.DataArray(np.array(list(scores), dtype=object), dims="range", name="range")
        found.append(xr.concat(parts, names))
    depths = xr.DataArray(np.array(starts, dtype=object), dims="start", name="start")
    result: xr.Dataset = xr.concat(found, depths, join="outer").sel(site=list(flow.sites))
    stops = np.array([_stop(flow.sites, start) for start in starts], dtype=object)
    return result.assign_coords(stop=("start", stops))


def _plane(plane: xr.Dataset) -> PrincipalAxes:
    loading = plane["loading"].values[:2]
    return PrincipalAxes(plane["mean"].values, loading, np.full(2, np.nan), float("nan"))


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

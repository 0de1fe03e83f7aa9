"""Flow fields in the plane, and basins around the unperturbed state of a text.

Flow field: for states on a grid in the plane, the rest of the clean state kept, the displacement in
the plane over the next k sites, mean over texts:

    V (F(s -> s + k)(x) - x)

Basin profile: for states at a distance r from the clean state c in random directions, the share
that is displaced inwards, towards where the clean state goes:

    share(r) = P( (d_k - d_0) . d_0 < 0 ),    d_0 = x - c_s,   d_k = F(x) - c_(s + k)

Its width is the radius where the share first crosses one half, its steepness the slope of the share
there by ln r: negative where states come back from near and not from far.

Cost: k sites per state. Source: the field after arXiv 2502.12131; the profile: ours. Not handled:
basins of anything but the clean trajectory.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.nulls.flow_maps import zero_update
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.states.displacement import (
    grid_scores,
    in_plane,
    states_at,
    unit_vectors,
)
from transformer_dynamics.perturbation.states.teleport import plane_of
from transformer_dynamics.perturbation.systems import (
    ZERO_UPDATE,
    Progress,
    ProgressCounter,
    System,
    chosen_texts,
    gathered,
    model_and_one_twin,
    quarter_sites,
)
from transformer_dynamics.registry import perturbation
from transformer_dynamics.storage.attributes import STREAM

# Displacements that rounding makes of nothing are not inwards.
ROUNDING = 1e-6
RADII = tuple(float(radius) for radius in np.geomspace(1 / 32, 8, 9))


@perturbation(
    "perturbation.flow_field",
    title="Flow field in the plane of the first two principal components",
    source="after arXiv 2502.12131",
)
def flow_field(
    systems: Sequence[System],
    *,
    n_texts: int = 5,
    n: int = 10,
    n_sites: int = 2,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Mean displacement in the plane over the next sites, at every depth.

    Args:
        systems: the model first, then baselines; each in its own plane.
        n_texts: how many texts the displacement is averaged over.
        n: points a side of the grid, which spans the range of the texts' scores at each site.
        n_sites: over how many sites, 2 being a layer with attention and MLP.
        seed: of the choice of texts.
        on_progress: called with texts done and texts in all.

    Returns:
        `point_score` and `displacement` `(system, site, point, component)`, in stream units, for
        every site that has `n_sites` behind it; `displacement_sd`, the standard deviation over
        texts (denominator: texts).

    Raises:
        InputError: too many texts, or not so many sites.
    """
    systems = model_and_one_twin(systems)
    texts = chosen_texts(systems, n_texts, seed)
    sites = systems[0].sites
    if not 1 <= n_sites < len(sites):
        raise InputError(
            f"got n_sites={n_sites}; the system has {len(sites)} sites: flow_field(systems, "
            "n_sites=2)"
        )
    work = ProgressCounter(len(systems) * n_texts, on_progress)
    fields = []
    for system in systems:
        axes = plane_of(system.recording)
        grids = {
            site: grid_scores(axes.project(states_at(system.recording, site)), n)
            for site in sites[:-n_sites]
        }
        moved = []
        for text in work.each(texts):
            flow = system.flow(text)
            each = []
            for place, (site, grid) in enumerate(grids.items()):
                stop = sites[place + n_sites]
                put = in_plane(flow.clean[place], grid, axes)
                (carried,) = np.moveaxis(flow.advance(put, site, stop, keep=[stop]), 1, 0)
                each.append(axes.project(carried) - axes.project(put))
            moved.append(np.stack(each))
        dims = ("site", "point", "component")
        fields.append(
            xr.Dataset(
                {
                    "point_score": (dims, np.stack(list(grids.values())), {"units": STREAM}),
                    "displacement": (dims, np.mean(moved, axis=0), {"units": STREAM}),
                    "displacement_sd": (dims, np.std(moved, axis=0), {"units": STREAM}),
                },
                coords={"site": list(grids)},
            )
        )
    names = np.array([system.name for system in systems], dtype=object)
    result: xr.Dataset = xr.concat(fields, xr.DataArray(names, dims="system", name="system"))
    return result.assign_attrs(n_sites=n_sites, n_texts=n_texts)


def basin_profile(
    flow: FlowMap, start: str, stop: str, *, directions: Floats, radii: Sequence[float]
) -> Floats:
    """Share of displacements that point inwards, by radius.

    Args:
        flow: the flow map.
        start: the site where states are put.
        stop: the site where they are looked at.
        directions: `(direction, unit)`, of any length but zero.
        radii: distances from the clean state, in stream units.

    Returns:
        `(radius)`, of all directions; 0 where nothing answers to a deviation.

    Raises:
        InputError: as `FlowMap.advance`.
    """
    aims = unit_vectors(np.asarray(directions, dtype=np.float64))
    apart = np.asarray(radii)[:, np.newaxis, np.newaxis] * aims
    clean = flow.clean[flow.sites.index(start)]
    put = (clean + apart).reshape(-1, flow.n_units)
    carried = flow.advance(put, start, stop, keep=[stop])[:, 0]
    ends = carried.reshape(apart.shape) - flow.clean[flow.sites.index(stop)]
    inwards = ((ends - apart) * apart).sum(-1) < -ROUNDING * (apart**2).sum(-1)
    share: Floats = inwards.mean(axis=1)
    return share


def crossing(radii: Sequence[float], share: Floats) -> tuple[float, float]:
    """The radius where the share first crosses one half, and its slope there by ln radius.

    NaN where it never does.

    >>> radius, slope = crossing([1.0, 2.0, 4.0], np.array([1.0, 0.75, 0.25]))
    >>> round(radius, 3), round(slope, 3)
    (2.828, -0.721)
    """
    above = share >= 0.5
    changes = np.flatnonzero(above[1:] != above[:-1])
    if not changes.size:
        return float("nan"), float("nan")
    at = changes[0]
    logs = np.log(np.asarray(radii, dtype=np.float64))
    slope = (share[at + 1] - share[at]) / (logs[at + 1] - logs[at])
    return float(np.exp(logs[at] + (0.5 - share[at]) / slope)), float(slope)


@perturbation(
    "perturbation.basin",
    title="Basin profiles about the clean trajectory",
    source="ours",
)
def basin(
    systems: Sequence[System],
    *,
    n_texts: int = 20,
    n_directions: int = 16,
    radii: Sequence[float] = RADII,
    n_sites: int = 2,
    starts: Sequence[str] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Share of displacements that point inwards as the radius grows.

    Args:
        systems: the model first, then baselines. The zero-update system is added from the first.
        n_texts: how many texts.
        n_directions: random directions of each text.
        radii: in units of the spread at the site, the root mean square distance of its texts'
            states from their mean.
        n_sites: over how many sites a displacement is taken; fewer at the very end.
        starts: sites where states are put; by default as in `teleport`.
        seed: of the choice of texts and of directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `inward_share` `(system, sample, start, radius)`; of its mean over texts `width`, in
        spreads, and `steepness`, per ln radius, `(system, start)`: NaN, with one
        `UndefinedWarning`, where the share does not cross one half. `spread` `(system, start)` in
        stream units.

    Raises:
        InputError: too many texts, or unknown sites.
    """
    systems = model_and_one_twin(systems)
    texts = chosen_texts(systems, n_texts, seed)
    sites = systems[0].sites
    places = tuple(starts or quarter_sites(sites))
    work = ProgressCounter(len(systems) * n_texts, on_progress)
    results: dict[str, list[xr.Dataset]] = {}
    for system in systems:
        spread = {site: _spread(states_at(system.recording, site)) for site in places}
        for text in work.each(texts):
            flow = system.flow(text)
            flows = {system.name: flow}
            if system is systems[0]:
                flows[ZERO_UPDATE] = zero_update(flow)
            generator = np.random.default_rng([seed, text])
            aims = generator.standard_normal((n_directions, flow.n_units))
            for name, each in flows.items():
                shares = [
                    basin_profile(
                        each,
                        site,
                        sites[min(sites.index(site) + n_sites, len(sites) - 1)],
                        directions=aims,
                        radii=[radius * spread[site] for radius in radii],
                    )
                    for site in places
                ]
                found = xr.Dataset(
                    {
                        "inward_share": (("start", "radius"), np.stack(shares)),
                        "spread": ("start", list(spread.values()), {"units": STREAM}),
                    },
                    coords={"start": list(places), "radius": list(radii)},
                )
                results.setdefault(name, []).append(found)
    return _with_widths(gathered(results, texts, systems[0].recording), radii)


def _with_widths(result: xr.Dataset, radii: Sequence[float]) -> xr.Dataset:
    mean = result["inward_share"].mean("sample").values
    found = np.array([[crossing(radii, share) for share in system] for system in mean])
    undefined = int(np.isnan(found[..., 0]).sum())
    if undefined:
        warnings.warn(
            f"undefined (NaN): {undefined} of {found[..., 0].size} widths of basins; that is where "
            "the inward share does not cross one half within the radii given",
            UndefinedWarning,
            stacklevel=4,
        )
    dims = ("system", "start")
    result["spread"] = result["spread"].isel(sample=0)
    result["width"] = (dims, found[..., 0], {"units": "spreads of the site"})
    result["steepness"] = (dims, found[..., 1], {"units": "1 per ln radius"})
    return result


def _spread(states: Floats) -> float:
    """Root mean square distance of states from their mean; the denominator is their number."""
    apart = states - states.mean(axis=0)
    return float(np.sqrt((apart**2).sum(axis=1).mean()))

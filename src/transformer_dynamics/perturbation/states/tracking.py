"""Perturbed states followed over depth, and their distance to the unperturbed trajectory.

Over depth t, for a state x_s that replaces the state at site s; c the unperturbed trajectory, V the
plane:

    distance               |x_t - c_t|                          in all D dimensions, stream units
    recovery ratio         |x_t - c_t| / |x_s - c_s|            below 1: the difference shrinks
    plane recovery ratio   |V (x_t - c_t)| / |V (x_s - c_s)|    the same within the plane
    relative recovery      (|x_t - c_t| / |c_t|) / (|x_s - c_s| / |c_s|)
    KL                     of the next token's distribution from the clean one, nats

Cost: one token per state from its layer on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats, ratio, warn_undefined
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.perturbation.predictions import divergences
from transformer_dynamics.storage.attributes import STREAM

VARIABLES = {
    "distance": {"units": STREAM, "definition": "|x_t - c_t|"},
    "plane_distance": {"units": STREAM, "definition": "|V (x_t - c_t)|"},
    "recovery_ratio": {"units": "1", "denominator": "distance at the perturbed site"},
    "plane_recovery_ratio": {
        "units": "1",
        "denominator": "distance within the plane at the perturbed site",
    },
    "distance_over_norm": {"units": "1", "denominator": "|c_t|, the clean state's norm"},
    "relative_recovery": {"units": "1", "denominator": "distance over norm at the perturbed site"},
    "kl": {"units": "nats", "definition": "KL of the clean next-token distribution from it"},
}
UNDEFINED = "a perturbed state equals the clean one, or the clean state is zero"
# States per set whose next token is predicted: logits over the vocabulary cost most.
KL_STATES = 16
# States nearer to the clean one than this share of its norm are not pooled.
NEAR = 1e-3


def track_states(
    flow: FlowMap, states: Floats, start: str, *, axes: PrincipalAxes, tokens: bool = True
) -> xr.Dataset:
    """Follow perturbed states from their site to the last one.

    Args:
        flow: flow map of one text.
        states: `(state, unit)`, at `start`.
        start: site of the states.
        axes: plane within which distances are measured as well.
        tokens: whether to compute the next token's distribution; a synthetic flow has none.

    Returns:
        The variables at the head of this module, `(state, site)`, from `start` on; `kl` `(state)`,
        for `KL_STATES` states, evenly spaced, and NaN for the others;
        `score` `(state, site, component)` and `clean_score` `(site, component)`. A ratio is NaN,
        with one `UndefinedWarning`, if its denominator is zero.

    Raises:
        InputError: as `FlowMap.advance` and `FlowMap.log_probabilities`.
    """
    carried = flow.advance(states, start, flow.sites[-1])
    result = _followed(flow, carried, start, axes)
    if tokens:
        result["kl"] = ("state", _kl_of_some(flow, [carried[:, -1]])[0], VARIABLES["kl"])
    warn_undefined(
        {str(name): result[name].values for name in result.data_vars if name != "kl"},
        UNDEFINED,
        stacklevel=2,
    )
    return result


def _followed(flow: FlowMap, carried: Floats, start: str, axes: PrincipalAxes) -> xr.Dataset:
    """Result of `track_states` without `kl`, for carried states `(state, site, unit)`."""
    sites = flow.sites[flow.sites.index(start) :]
    clean = flow.clean[len(flow.sites) - len(sites) :]
    scores, clean_score = axes.project(carried), axes.project(clean)
    distance = np.linalg.norm(carried - clean, axis=-1)
    plane_distance = np.linalg.norm(scores - clean_score, axis=-1)
    over_norm = ratio(distance, np.linalg.norm(clean, axis=-1)[np.newaxis])
    measured = {
        "distance": distance,
        "plane_distance": plane_distance,
        "recovery_ratio": ratio(distance, distance[:, :1]),
        "plane_recovery_ratio": ratio(plane_distance, plane_distance[:, :1]),
        "distance_over_norm": over_norm,
        "relative_recovery": ratio(over_norm, over_norm[:, :1]),
    }
    result = xr.Dataset(
        {name: (("state", "site"), values, VARIABLES[name]) for name, values in measured.items()},
        coords={"site": list(sites)},
    )
    result["score"] = (("state", "site", "component"), scores, {"units": STREAM})
    result["clean_score"] = (("site", "component"), clean_score, {"units": STREAM})
    return result


def _kl_of_some(flow: FlowMap, ends: Sequence[Floats]) -> list[Floats]:
    """KL of final states `(state, unit)`, `(state)` for each set; NaN for all but a few of each."""
    divergence = [np.full(len(each), np.nan) for each in ends]
    chosen = [
        np.unique(np.linspace(0, len(each) - 1, KL_STATES).round().astype(int)) for each in ends
    ]
    together = np.concatenate([each[rows] for each, rows in zip(ends, chosen, strict=True)])
    values = divergences(flow, together, flow.sites[-1])
    sizes = np.cumsum([rows.size for rows in chosen])[:-1]
    for one, rows, own in zip(divergence, chosen, np.split(values, sizes), strict=True):
        one[rows] = own
    return divergence


def follow_pooled(
    flows: Mapping[str, FlowMap],
    states: Mapping[tuple[str, str], Floats],
    *,
    axes: PrincipalAxes,
    tokens: bool,
) -> dict[str, xr.Dataset]:
    """Follow the same states by several flow maps with one clean trajectory, pooled over states.

    Args:
        flows: flow maps by system name.
        states: perturbed states `(state, unit)` by kind and start.
        axes: plane within which distances are measured as well.
        tokens: whether to compute the next token's distribution.

    Returns:
        By system name, `(kind, start, site)`: the variables at the head of this module, geometric
        means over states.
    """
    results: dict[str, xr.Dataset] = {}
    for name, flow in flows.items():
        carried = _carried(flow, states)
        ends = [each[:, -1] for each in carried.values()]
        kl = _kl_of_some(flow, ends) if tokens else [None] * len(ends)
        parts = []
        for (kind, start), each, divergence in zip(carried, carried.values(), kl, strict=True):
            followed = _followed(flow, each, start, axes)
            if divergence is not None:
                followed["kl"] = ("state", divergence)
            norm = float(np.linalg.norm(flow.clean[flow.sites.index(start)]))
            pooled = _pooled(followed, norm, flow.sites)
            parts.append(pooled.expand_dims(kind=[kind], start=[start]))
        results[name] = xr.merge(parts, join="outer", compat="no_conflicts")
    return results


def _carried(
    flow: FlowMap, states: Mapping[tuple[str, str], Floats]
) -> dict[tuple[str, str], Floats]:
    """States of all kinds and starts, carried to the last site in the same passes."""
    by_start: dict[str, list[Floats]] = {}
    for (_, start), each in states.items():
        by_start.setdefault(start, []).append(each)
    together = {start: np.concatenate(parts) for start, parts in by_start.items()}
    carried = flow.advance_many(together, flow.sites[-1])
    taken = dict.fromkeys(by_start, 0)
    parted = {}
    for (kind, start), each in states.items():
        first = taken[start]
        taken[start] = first + len(each)
        parted[kind, start] = carried[start][first : taken[start]]
    return parted


def _pooled(followed: xr.Dataset, norm: float, sites: Sequence[str]) -> xr.Dataset:
    """Geometric means over states, `(site)`, NaN before the perturbed site.

    States too near to the clean one, relative to its norm, are left out: their distances later on
    are rounding errors.
    """
    pooled = xr.Dataset()
    for name in [name for name in VARIABLES if name in followed and name != "kl"]:
        initial = "plane_distance" if name.startswith("plane") else "distance"
        is_far = followed[initial].values[:, 0] > NEAR * norm
        with np.errstate(divide="ignore"):
            logs = np.log(followed[name].values[is_far])
        mean = np.exp(logs.mean(axis=0)) if is_far.any() else np.full(logs.shape[1], np.nan)
        pooled[name] = ("site", mean, VARIABLES[name])
    if "kl" in followed:
        pooled["kl"] = ((), float(followed["kl"].mean()), VARIABLES["kl"])
    whole: xr.Dataset = pooled.assign_coords(site=followed["site"].values).reindex(site=list(sites))
    return whole


def example_paths(flow: FlowMap, states: Mapping[str, Floats], axes: PrincipalAxes) -> xr.Dataset:
    """Trajectories in the plane of a few states of one text, for the figure.

    Args:
        flow: flow map of the text.
        states: perturbed states `(state, unit)` by start.
        axes: the plane.

    Returns:
        `example_score` `(start, point, site, component)`, NaN before `start`, and
        `example_clean_score` `(site, component)`, in stream units.
    """
    scores = []
    carried = flow.advance_many(states, flow.sites[-1])
    for start in states:
        followed = _followed(flow, carried[start], start, axes)
        scores.append(followed["score"].reindex(site=list(flow.sites)))
    starts = xr.DataArray(list(states), dims="start", name="start")
    together = xr.concat(scores, starts).rename(state="point")
    clean = (("site", "component"), axes.project(flow.clean), {"units": STREAM})
    return xr.Dataset({"example_score": together, "example_clean_score": clean})

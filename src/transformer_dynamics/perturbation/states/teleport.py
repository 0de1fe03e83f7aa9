"""Teleport: put the last token's state elsewhere and follow it to the end of the network.

Over depth t, for a state put at site s, c the clean trajectory, V the plane:

    distance               |x_t - c_t|                          in all D dimensions, stream units
    recovery ratio         |x_t - c_t| / |x_s - c_s|            below 1: corrected
    plane recovery ratio   |V (x_t - c_t)| / |V (x_s - c_s)|    the same in the plane alone
    relative recovery      (|x_t - c_t| / |c_t|) / (|x_s - c_s| / |c_s|)
    KL                     of the next token's distribution from the clean one, nats

The relative reading falls for free wherever the stream's norm grows: the zero-update system, whose
layers do not answer to a deviation at all, shows by how much. States of one text are pooled by
geometric means, since ratios multiply over depth.

Cost: one token per state from its layer on. Source: arXiv 2502.12131 for the experiment with the
grid; distances, ratios and baselines: ours. Not handled: states of tokens before the last.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.nulls.flow_maps import zero_update
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.perturbation.predictions import divergences
from transformer_dynamics.perturbation.states.displacement import (
    KINDS,
    displaced,
    grid_scores,
    on_plane,
    states_at,
)
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
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import perturbation
from transformer_dynamics.storage.attributes import STREAM

VARIABLES = {
    "distance": {"units": STREAM, "definition": "|x_t - c_t|"},
    "plane_distance": {"units": STREAM, "definition": "|V (x_t - c_t)|"},
    "recovery_ratio": {"units": "1", "denominator": "the distance where the state was put"},
    "plane_recovery_ratio": {
        "units": "1",
        "denominator": "the distance in the plane where the state was put",
    },
    "distance_over_norm": {"units": "1", "denominator": "|c_t|, the clean state's norm"},
    "relative_recovery": {"units": "1", "denominator": "distance over norm where it was put"},
    "kl": {"units": "nats", "definition": "KL of the clean next-token distribution from it"},
}
UNDEFINED = "a state was put where it stands already, or the clean state is zero"
# States of which the next token is predicted: a vocabulary is larger than the rest of a pass.
KL_STATES = 16
# States nearer to the clean one than this share of its norm are not pooled.
NEAR = 1e-3
# Curves of the figure's paths, and points a side of the grid of which they are taken.
N_SHOWN = 4


def track_states(
    flow: FlowMap, states: Floats, start: str, *, axes: PrincipalAxes, tokens: bool = True
) -> xr.Dataset:
    """Follow states from where they are put to the last site.

    Args:
        flow: the flow map of one text.
        states: `(state, unit)`.
        start: the site where they are put.
        axes: the plane in which distances are measured beside those in all dimensions.
        tokens: whether to compute the next token's distribution; a flow without tokens has none.

    Returns:
        The variables at the head of this module, `(state, site)`, from `start` on; `kl` `(state)`,
        of `KL_STATES` of them, evenly spaced, and NaN for the others;
        `score` `(state, site, component)` and `clean_score` `(site, component)`. A ratio is NaN,
        with one `UndefinedWarning`, where its denominator is zero.

    Raises:
        InputError: as `FlowMap.advance` and `FlowMap.log_probabilities`.
    """
    result = _follow(flow, states, start, axes=axes, tokens=tokens)
    _warn(result)
    return result


def _follow(
    flow: FlowMap, states: Floats, start: str, *, axes: PrincipalAxes, tokens: bool
) -> xr.Dataset:
    carried = flow.advance(states, start, flow.sites[-1])
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
    if tokens:
        chosen = np.unique(np.linspace(0, len(carried) - 1, KL_STATES).round().astype(int))
        divergence = np.full(len(carried), np.nan)
        divergence[chosen] = divergences(flow, carried[chosen, -1], flow.sites[-1])
        result["kl"] = ("state", divergence, VARIABLES["kl"])
    return result


def _warn(followed: xr.Dataset) -> None:
    undefined = {
        str(name): int(np.isnan(values.values).sum())
        for name, values in followed.data_vars.items()
        if name != "kl"
    }
    told = [
        f"{count} of {followed[name].size} of {name}" for name, count in undefined.items() if count
    ]
    if told:
        warnings.warn(
            f"undefined (NaN): {', '.join(told)}; that is where {UNDEFINED}",
            UndefinedWarning,
            stacklevel=3,
        )


def _pooled(followed: xr.Dataset, size: float, sites: Sequence[str]) -> xr.Dataset:
    """Geometric means over states, `(site)`, NaN before the site where they were put.

    States put too near to the clean one, whose norm is `size`, are left out: what becomes of them
    is rounding.
    """
    pooled = xr.Dataset()
    for name in [name for name in VARIABLES if name in followed and name != "kl"]:
        started = "plane_distance" if name.startswith("plane") else "distance"
        far = followed[started].values[:, 0] > NEAR * size
        with np.errstate(divide="ignore"):
            logs = np.log(followed[name].values[far])
        mean = np.exp(logs.mean(axis=0)) if far.any() else np.full(logs.shape[1], np.nan)
        pooled[name] = ("site", mean, VARIABLES[name])
    if "kl" in followed:
        pooled["kl"] = ((), float(followed["kl"].mean()), VARIABLES["kl"])
    whole: xr.Dataset = pooled.assign_coords(site=followed["site"].values).reindex(site=list(sites))
    return whole


def plane_of(recording: Recording) -> PrincipalAxes:
    """The plane of the first two principal components, all samples and sublayers together.

    The final site is left out, as in arXiv 2502.12131.
    """
    found = pca(recording.sublayers, n_components=2)
    return PrincipalAxes(
        found["mean"].values, found["loading"].values, np.full(2, np.nan), float("nan")
    )


@perturbation(
    "perturbation.teleport",
    title="Teleport: states put elsewhere and followed to the end",
    source="arXiv 2502.12131; baselines and readings: ours",
)
def teleport(
    systems: Sequence[System],
    *,
    n_texts: int = 8,
    n: int = 10,
    n_other: int = 5,
    starts: Sequence[str] | None = None,
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Put states elsewhere in many texts, at several depths, and follow them.

    Args:
        systems: the model first, then baselines with other weights; see `systems`. The zero-update
            system is added from the first.
        n_texts: how many texts, drawn from those of the recording.
        n: points a side of the paper's grid.
        n_other: points a side for the other kinds, whose sizes are those of such a grid.
        starts: sites where states are put; by default the first of layers 0, L/4 - 1, L/2 - 1,
            3L/4 - 1 and L - 1.
        kinds: which of `grid`, `shift`, `random`, `towards`.
        seed: of the choice of texts and of directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `(system, sample, kind, start, site)`: the variables at the head of this module, geometric
        means over the states put further than `NEAR` of its norm from the clean one, NaN before
        `start` and where there is none; `kl` without `site`, the mean over states. For the
        figure `example_score` `(start, point, site, component)` and `example_clean_score` of the
        first text's grid.

    Raises:
        InputError: unknown sites, kinds or too many texts.
    """
    systems = model_and_one_twin(systems)
    texts = chosen_texts(systems, n_texts, seed)
    sites = systems[0].sites
    places = tuple(starts or quarter_sites(sites))
    unknown = [*(set(places) - set(sites)), *(set(kinds) - set(KINDS))]
    if unknown:
        raise InputError(
            f"got {', '.join(map(repr, unknown))}; starts are sites of the recording and kinds of "
            f"{', '.join(KINDS)}: teleport(systems, starts=[{sites[0]!r}], kinds=['grid'])"
        )
    results: dict[str, list[xr.Dataset]] = {}
    work = ProgressCounter(len(systems) * n_texts, on_progress)
    sizes = {kind: n if kind == "grid" else n_other for kind in kinds}
    for system in systems:
        where = _Where(system, places)
        for text in work.each(texts):
            flow = system.flow(text)
            flows = {system.name: flow}
            if system is systems[0]:
                flows[ZERO_UPDATE] = zero_update(flow)
            for name, found in _followed(where, flows, sizes, [seed, text]).items():
                results.setdefault(name, []).append(found)
    example = _example(systems[0], texts[0], places)
    whole = xr.merge(
        [gathered(results, texts, systems[0].recording), example],
        join="outer",
        compat="no_conflicts",
    )
    return whole.sel(start=list(places), kind=list(kinds), site=list(sites))  # in order again


class _Where:
    """Plane of a system's states, and other texts' states at each start."""

    def __init__(self, system: System, starts: Sequence[str]) -> None:
        self.axes = plane_of(system.recording)
        self.others = {start: states_at(system.recording, start) for start in starts}
        self.tokens = system.predicts

    def grid(self, start: str, n: int) -> Floats:
        return grid_scores(self.axes.project(self.others[start]), n)


def _followed(
    where: _Where, flows: Mapping[str, FlowMap], sizes: Mapping[str, int], seed: Sequence[int]
) -> dict[str, xr.Dataset]:
    """The same states put into each of some flows with one clean trajectory, `(kind, start, site)`.

    A baseline gets the states that the model gets.
    """
    found: dict[str, list[xr.Dataset]] = {name: [] for name in flows}
    (flow, *_) = flows.values()
    for number, (start, others) in enumerate(where.others.items()):
        generator = np.random.default_rng([*seed, number])
        clean = flow.clean[flow.sites.index(start)]
        for kind, n in sizes.items():
            grid = where.grid(start, n)
            put = displaced(kind, clean, grid, where.axes, others, generator)
            for name, each in flows.items():
                followed = _follow(each, put, start, axes=where.axes, tokens=where.tokens)
                pooled = _pooled(followed, float(np.linalg.norm(clean)), flow.sites)
                found[name].append(pooled.expand_dims(kind=[kind], start=[start]))
    return {
        name: xr.merge(parts, join="outer", compat="no_conflicts") for name, parts in found.items()
    }


def _example(system: System, text: int, starts: Sequence[str]) -> xr.Dataset:
    """Trajectories in the plane of a few states of one text, for the figure."""
    where, flow = _Where(system, starts), system.flow(text)
    scores = []
    for start in starts:
        put = on_plane(where.grid(start, N_SHOWN), where.axes)
        found = _follow(flow, put, start, axes=where.axes, tokens=False)
        scores.append(found["score"].reindex(site=list(flow.sites)))
    names = xr.DataArray(list(starts), dims="start", name="start")
    together = xr.concat(scores, names).rename(state="point")
    clean = (("site", "component"), where.axes.project(flow.clean), {"units": STREAM})
    return xr.Dataset({"example_score": together, "example_clean_score": clean})

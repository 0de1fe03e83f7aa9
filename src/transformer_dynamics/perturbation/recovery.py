"""Recovery: the course of displacements of the last token's state, from every layer on.

For a displacement made at site s of one text, c the unperturbed trajectory, t a later site:

    log ratio            ln |x_t - c_t| / |x_s - c_s|                      below 0: it shrinks
    normalized           the same of states over their root mean square    read by the next norm
    KL                   of the next token's distribution from the unperturbed one, nats
    KL of zero update    the same with the displacement added to the final state unchanged
    linear prediction    ln |J v| / |v| with the Jacobian J from s to t    the limit of small ones

Displacements have the kinds of `displacement` and a size in units of the spread between texts,
|x - mean over texts| in root mean square at that site. The paper's grid replaces the state; its
points lie within the range of the texts' scores, scaled by the size about their mean, and its
initial distance is what results. States of one text are pooled by geometric means.

The horizon is counted in sublayers: 2, 6 and 12, and the last site. arXiv 2502.12131 draws 12.

Cost: per text and layer one pass of kinds x sizes x states from that layer on. Not handled: tokens
before the last.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.perturbation.displacement import (
    KINDS,
    grid_scores,
    on_plane,
    states_at,
    unit_vectors,
)
from transformer_dynamics.perturbation.predictions import divergences
from transformer_dynamics.perturbation.recovery_figures import draw_recovery
from transformer_dynamics.perturbation.systems import (
    ZERO_UPDATE,
    Progress,
    System,
    Work,
    chosen_texts,
    gathered,
    layer_sites,
    texts_followed,
)
from transformer_dynamics.perturbation.teleport import plane_of
from transformer_dynamics.registry import perturbation
from transformer_dynamics.residual.flow_map import Floats, FlowMap

SIZES = (0.1, 0.3, 1.0, 3.0)
HORIZONS = (2, 6, 12)
END = "end"
# The horizon of the linear prediction: that of the paper.
LINEAR_HORIZON = 12
# Texts whose linear prediction, and whose full Jacobians, are computed: both are dear.
N_LINEAR, N_JACOBIANS = 4, 2
# Points a side of the paper's grid, of which some are taken at random.
GRID = 10
VARIABLES = {
    "log_ratio": {"units": "1", "definition": "ln |x_t - c_t| / |x_s - c_s|"},
    "normalized_log_ratio": {
        "units": "1",
        "definition": "ln |x_t/rms - c_t/rms| / |x_s/rms - c_s/rms|",
    },
    "initial_distance": {"units": "1", "denominator": "spread between texts at the site"},
    "log_ratio_path": {"units": "1", "definition": "log_ratio by site, displacements of size 1"},
    "kl": {"units": "nats", "definition": "of the unperturbed next-token distribution from it"},
    "kl_zero_update": {"units": "nats", "definition": "with the displacement unchanged at the end"},
    "kl_ratio": {"units": "1", "denominator": "kl_zero_update", "definition": "mean over states"},
    "linear_log_ratio": {"units": "1", "definition": f"ln |J v|/|v| over {LINEAR_HORIZON} sites"},
    "contracting_share": {
        "units": "1",
        "definition": f"singular values below 1 of the Jacobian over {LINEAR_HORIZON} sites",
    },
}


@perturbation(
    "perturbation.recovery",
    title="Recovery: displacements at every layer, followed over depth",
    source="arXiv 2502.12131 for the grid and the horizon; depths, kinds, sizes, readout: ours",
    draw=draw_recovery,
)
def recovery(
    systems: Sequence[System],
    *,
    n_texts: int = 32,
    n_states: int = 2,
    sizes: Sequence[float] = SIZES,
    kinds: Sequence[str] = KINDS,
    starts: Sequence[str] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Displace the last token's state at every layer in many texts, and follow it.

    Args:
        systems: the model first, then its untrained twins; see `systems`. Zero update is added: its
            log ratios are 0 by construction.
        n_texts: how many texts, drawn from those of the recording; the twins together follow twice
            as many (see `texts_followed`).
        n_states: displacements of each kind and size.
        sizes: in units of the spread between texts; 1 among them.
        kinds: which of `grid`, `shift`, `random`, `towards`.
        starts: sites of the displacements; by default the first of every layer.
        seed: of the choice of texts and of directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `log_ratio` and `normalized_log_ratio` `(system, sample, kind, size, start, horizon)`, means
        over states, NaN where the horizon lies beyond the last site; `initial_distance` without
        `horizon`; `log_ratio_path` `(system, sample, kind, start, site)` at size 1. `kl`,
        `kl_zero_update` and `kl_ratio` `(system, sample, kind, start)` at size 1, where a system
        predicts tokens. Of the model and some texts `linear_log_ratio` and `contracting_share`
        `(system, sample, start)`. A ratio is NaN, with one `UndefinedWarning`, where the texts do
        not differ at the site.

    Raises:
        InputError: unknown sites, kinds or sizes, or too many texts.
    """
    places = tuple(starts or layer_sites(systems[0].sites)[:-1])
    _check(systems[0], places, kinds, sizes, n_states)
    texts = chosen_texts(systems, n_texts, seed)
    followed = texts_followed(systems, texts)
    work = Work(sum(map(len, followed.values())), on_progress)
    results: dict[str, list[xr.Dataset]] = {}
    for system in systems:
        where = _Where(system, places, kinds, tuple(sizes))
        for number, text in enumerate(work.each(followed[system.name])):
            flow = system.flow(text)
            found = _followed(flow, where, n_states, [seed, text])
            if system is systems[0]:
                found = found.assign(_linear(flow, where, number, n_states, [seed, text]))
                results.setdefault(ZERO_UPDATE, []).append(_unchanged(found))
            results.setdefault(system.name, []).append(found)
    ordered = {system.name: results[system.name] for system in systems}
    whole = gathered({**ordered, ZERO_UPDATE: results[ZERO_UPDATE]}, texts)
    _warn(whole, followed)
    return whole.assign_coords(site=list(systems[0].sites))


def _check(
    system: System,
    starts: Sequence[str],
    kinds: Sequence[str],
    sizes: Sequence[float],
    n_states: int,
) -> None:
    unknown = [*(set(starts) - set(system.sites[:-1])), *(set(kinds) - set(KINDS))]
    if unknown or not starts or not kinds:
        raise InputError(
            f"got {', '.join(map(repr, unknown)) or 'none'}; starts are sites before the last and "
            f"kinds are of {', '.join(KINDS)}: recovery(systems, starts=[{system.sites[0]!r}], "
            "kinds=['random'])"
        )
    if n_states < 1 or 1.0 not in sizes or min(sizes) <= 0:
        raise InputError(
            f"got n_states={n_states} and sizes={tuple(sizes)}; a state at least, and positive "
            f"sizes with 1 among them: recovery(systems, n_states=2, sizes={SIZES})"
        )


class _Where:
    """The places of a system's states that displacements refer to, and what is displaced."""

    def __init__(
        self,
        system: System,
        starts: Sequence[str],
        kinds: Sequence[str],
        sizes: tuple[float, ...],
    ) -> None:
        self.starts, self.kinds, self.sizes = starts, kinds, sizes
        self.predicts = system.predicts
        self.axes = plane_of(system.recording)
        self.states = {start: states_at(system.recording, start) for start in starts}
        self.spread = {
            start: float(np.sqrt(((states - states.mean(axis=0)) ** 2).sum(axis=1).mean()))
            for start, states in self.states.items()
        }

    def displaced(
        self, clean: Floats, start: str, n_states: int, generator: np.random.Generator
    ) -> Floats:
        """Displaced states, `(kind, size, state, unit)`; NaN where texts do not differ."""
        parts = [
            [self._of_kind(kind, size, clean, start, (n_states, generator)) for size in self.sizes]
            for kind in self.kinds
        ]
        return np.array(parts)

    def _of_kind(
        self,
        kind: str,
        size: float,
        clean: Floats,
        start: str,
        drawn: tuple[int, np.random.Generator],
    ) -> Floats:
        n_states, generator = drawn
        if kind == "grid":
            scores = self.axes.project(self.states[start])
            points = grid_scores(scores, GRID)
            chosen = points[generator.choice(len(points), n_states, replace=n_states > len(points))]
            centre = scores.mean(axis=0)
            return on_plane(centre + size * (chosen - centre), self.axes)
        distance = size * self.spread[start]
        return clean + distance * self._directions(kind, clean, start, n_states, generator)

    def _directions(
        self,
        kind: str,
        clean: Floats,
        start: str,
        n_states: int,
        generator: np.random.Generator,
    ) -> Floats:
        """Unit vectors, `(state, unit)`."""
        if kind == "shift":
            in_plane = unit_vectors(generator.standard_normal((n_states, 2)))
            return np.asarray(in_plane @ self.axes.components)
        if kind == "random":
            return unit_vectors(generator.standard_normal((n_states, clean.size)))
        apart = self.states[start] - clean
        apart = apart[np.linalg.norm(apart, axis=1) > 1e-6 * np.linalg.norm(clean)]
        if not len(apart):
            return np.full((n_states, clean.size), np.nan)
        return unit_vectors(apart[generator.choice(len(apart), n_states)])


def _followed(flow: FlowMap, where: _Where, n_states: int, seed: Sequence[int]) -> xr.Dataset:
    """All displacements of one text at all starts."""
    n_starts, n_sites = len(where.starts), len(flow.sites)
    by_size = (len(where.kinds), len(where.sizes), n_starts)
    logs, normal = np.full((2, *by_size, n_sites), np.nan)
    initial = np.full(by_size, np.nan)
    read = np.full((3, len(where.kinds), n_starts), np.nan)
    for place, start in enumerate(where.starts):
        first = flow.sites.index(start)
        generator = np.random.default_rng([*seed, place])
        states = where.displaced(flow.clean[first], start, n_states, generator)
        carried = _carried(flow, states, start)
        clean = flow.clean[first:]
        distances = np.linalg.norm(carried - clean, axis=-1)
        scaled = np.linalg.norm(_normalized(carried) - _normalized(clean), axis=-1)
        logs[:, :, place, first:] = _mean_logs(distances)
        normal[:, :, place, first:] = _mean_logs(scaled)
        initial[:, :, place] = distances[..., 0].mean(axis=2) / (where.spread[start] or np.nan)
        if where.predicts:
            read[:, :, place] = _readout(flow, carried[:, where.sizes.index(1.0)], clean)
    at_horizons = [_at_horizons(each, where.starts, flow.sites) for each in (logs, normal)]
    dims = ("kind", "size", "start")
    values = {
        "log_ratio": ((*dims, "horizon"), at_horizons[0]),
        "normalized_log_ratio": ((*dims, "horizon"), at_horizons[1]),
        "initial_distance": (dims, initial),
        "log_ratio_path": (("kind", "start", "site"), logs[:, where.sizes.index(1.0)]),
    }
    if where.predicts:
        names = ("kl", "kl_zero_update", "kl_ratio")
        values |= {name: (("kind", "start"), each) for name, each in zip(names, read, strict=True)}
    return xr.Dataset(
        {name: (*value, VARIABLES[name]) for name, value in values.items()},
        coords={
            "kind": list(where.kinds),
            "size": list(where.sizes),
            "start": list(where.starts),
            "horizon": [*map(str, HORIZONS), END],
        },
    )


def _carried(flow: FlowMap, states: Floats, start: str) -> Floats:
    """States `(..., unit)` carried to the end, `(..., site, unit)`; NaN where undisplaced."""
    first = flow.sites.index(start)
    flat = states.reshape(-1, flow.n_units)
    moved = np.isfinite(flat).all(axis=1)
    moved &= np.linalg.norm(flat - flow.clean[first], axis=1) > 0
    carried = np.full((len(flat), len(flow.sites) - first, flow.n_units), np.nan)
    if moved.any():
        carried[moved] = flow.advance(flat[moved], start, flow.sites[-1])
    return carried.reshape(*states.shape[:-1], *carried.shape[1:])


def _normalized(states: Floats) -> Floats:
    """States over the root mean square of their units, as RMSNorm reads them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled: Floats = states / np.sqrt((states**2).mean(axis=-1, keepdims=True))
    return scaled


def _mean_logs(distances: Floats) -> Floats:
    """Mean over states of ln(distance / initial distance), `(kind, size, site)`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: Floats = np.log(distances / distances[..., :1]).mean(axis=2)
    return mean


def _at_horizons(logs: Floats, starts: Sequence[str], sites: Sequence[str]) -> Floats:
    """Of `(kind, size, start, site)` the values at the horizons and at the end."""
    values = np.full((*logs.shape[:-1], len(HORIZONS) + 1), np.nan)
    for place, start in enumerate(starts):
        first = sites.index(start)
        for column, horizon in enumerate(HORIZONS):
            if first + horizon < len(sites):
                values[:, :, place, column] = logs[:, :, place, first + horizon]
        values[:, :, place, -1] = logs[:, :, place, -1]
    return values


def _readout(flow: FlowMap, carried: Floats, clean: Floats) -> Floats:
    """KL, KL of zero update and their mean ratio by kind, of states `(kind, state, site, unit)`."""
    n_kinds, n_states = carried.shape[:2]
    final = carried[..., -1, :].reshape(-1, flow.n_units)
    unchanged = clean[-1] + (carried[..., 0, :] - clean[0]).reshape(-1, flow.n_units)
    found = divergences(flow, np.concatenate([final, unchanged]), flow.sites[-1])
    kl, zero = found.reshape(2, n_kinds, n_states)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.exp(np.log(kl / zero).mean(axis=1))
    return np.stack([kl.mean(axis=1), zero.mean(axis=1), ratio])


def _linear(
    flow: FlowMap, where: _Where, number: int, n_states: int, seed: Sequence[int]
) -> Mapping[str, xr.Variable]:
    """The Jacobian's own answer over the paper's horizon, by start; NaN for later texts."""
    predicted, share = np.full((2, len(where.starts)), np.nan)
    for place, start in enumerate(where.starts):
        first = flow.sites.index(start)
        last = first + LINEAR_HORIZON
        if number >= N_LINEAR or last >= len(flow.sites):
            continue
        generator = np.random.default_rng([*seed, place, 1])
        aims = unit_vectors(generator.standard_normal((n_states, flow.n_units)))
        changed = np.linalg.norm(flow.jvp(aims, start, flow.sites[last]), axis=1)
        predicted[place] = np.log(changed).mean()
    if number < N_JACOBIANS:
        share = _contracting(flow, where.starts)
    values = {"linear_log_ratio": predicted, "contracting_share": share}
    return {name: xr.Variable("start", value, VARIABLES[name]) for name, value in values.items()}


def _contracting(flow: FlowMap, starts: Sequence[str]) -> Floats:
    """Share of singular values below 1 of the Jacobian over the horizon, by start."""
    stops = [
        flow.sites[place] if place < len(flow.sites) else None
        for place in (flow.sites.index(start) + LINEAR_HORIZON for start in starts)
    ]
    ends = sorted({*starts, *(stop for stop in stops if stop)}, key=flow.sites.index)
    steps = {first: flow.jacobian(first, last) for first, last in pairwise(ends)}
    shares = np.full(len(starts), np.nan)
    for place, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        if stop is None:
            continue
        product = np.eye(flow.n_units)
        for each in ends[ends.index(start) : ends.index(stop)]:
            product = steps[each] @ product
        shares[place] = (np.linalg.svd(product, compute_uv=False) < 1).mean()
    return shares


def _unchanged(found: xr.Dataset) -> xr.Dataset:
    """The result of zero update: displacements that stay as they are."""
    names = ["log_ratio", "log_ratio_path"]
    still = xr.Dataset(
        {name: xr.zeros_like(found[name]).where(found[name].notnull()) for name in names}
    )
    if "kl_ratio" in found:
        still["kl_ratio"] = xr.ones_like(found["kl_ratio"]).where(found["kl_ratio"].notnull())
    return still


def _warn(result: xr.Dataset, followed: Mapping[str, Sequence[int]]) -> None:
    name, texts = next(iter(followed.items()))
    ends = result["log_ratio"].sel(system=name, horizon=END).values[: len(texts)]
    undefined = int(np.isnan(ends).sum())
    if undefined:
        warnings.warn(
            f"undefined (NaN): {undefined} of {ends.size} log ratios; that is where the states of "
            "the texts do not differ at the site, so that a displacement has no size",
            UndefinedWarning,
            stacklevel=3,
        )

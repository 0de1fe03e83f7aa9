"""Recovery: displacements of the last token's state, from every layer on.

For a displacement at site s of one text, c the unperturbed trajectory, t a later site:

    log ratio              ln |x_t - c_t| / |x_s - c_s|         below 0: the displacement shrinks
    normalized log ratio   the same of x / rms(x)               what an RMSNorm reads
    KL ratio               KL(clean || displaced) over that of zero update, both in nats
    JVP log ratio          ln |J v| / |v|, J the Jacobian from s to t: the limit of small sizes

Sizes are in units of the spread between texts at the site, the root mean square distance of the
texts' states from their mean. Horizons are counted in sites, sublayers of a transformer: 12 are six
layers with attention and MLP, and twelve layers that have one site each. States of one text are
pooled by geometric means. Zero update keeps a displacement as it is: its log ratio is 0.

Cost: per text and start one pass of kinds x sizes x states, from that layer on. Source: arXiv
2502.12131 for the grid and the horizon of 12. Not handled: tokens before the last.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError, ModelError, UndefinedWarning
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.jacobians.contraction import (
    carried_changes,
    contracting_shares,
)
from transformer_dynamics.perturbation.predictions import divergences
from transformer_dynamics.perturbation.states.displacement import (
    KINDS,
    grid_scores,
    on_plane,
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
    layer_sites,
    texts_followed,
)
from transformer_dynamics.registry import perturbation

SIZES = (0.1, 0.3, 1.0, 3.0)
# The size of which paths and predictions are kept: the spread between texts itself.
UNIT_SIZE = 1.0
HORIZONS = (2, 6, 12)
END = "end"
# The horizon of arXiv 2502.12131, that of the Jacobians.
LINEAR_HORIZON = 12
# Texts of a twin at least: two to find a band on, two to measure it on.
LEAST = 4
# Points a side of the paper's grid, of which `n_states` are drawn.
GRID = 10
# States per kind and start of which the next token is predicted: a vocabulary is large.
KL_STATES = 2
# Texts of which all Jacobians are computed.
N_JACOBIANS = 2
# Texts whose spread is a smaller share of the state's norm differ by rounding alone.
ROUNDING = 1e-5
NO_DIFFERENCE = "where the states of the texts do not differ, a displacement has no size"
VARIABLES = {
    "log_ratio": {"units": "nats", "definition": "ln |x_t - c_t| / |x_s - c_s|"},
    "normalized_log_ratio": {"units": "nats", "definition": "log_ratio of x / rms(x)"},
    "log_ratio_path": {"units": "nats", "definition": "log_ratio at every site, size 1"},
    "initial_distance": {"units": "1", "denominator": "spread between texts at the site"},
    "spread": {"units": "stream units", "definition": "rms distance of texts from their mean"},
    "kl": {
        "units": "nats",
        "definition": "KL of the clean next-token distribution from it, size 1",
    },
    "kl_zero_update": {"units": "nats", "definition": "kl with the displacement kept as it was"},
    "kl_ratio": {"units": "1", "denominator": "kl_zero_update"},
    "jvp_log_ratio": {"units": "nats", "definition": f"ln |J v| / |v| over {LINEAR_HORIZON} sites"},
    "contracting_share": {
        "units": "1",
        "definition": f"singular values below 1 of the Jacobian over {LINEAR_HORIZON} sites",
        "denominator": "all singular values",
    },
}


@perturbation(
    "perturbation.recovery",
    title="Recovery: displacements at every layer, followed over depth",
    source="arXiv 2502.12131 for the grid and the horizon; depths, kinds, sizes, readout: ours",
)
def recovery(
    systems: Sequence[System],
    *,
    n_texts: int = 24,
    n_states: int = 2,
    sizes: Sequence[float] = SIZES,
    kinds: Sequence[str] = KINDS,
    starts: Sequence[str] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Displace the last token's state at every layer in many texts, and follow it over depth.

    Displacements `shift` (random directions in the plane of two principal components of all
    sublayers), `random` and `towards` (states of other texts) have exactly the norm size x spread.
    `grid` replaces the state by points of the paper's grid, scaled by the size about the texts'
    mean score, so that all that lies off the plane is erased; see `initial_distance`.

    Args:
        systems: the model first, then its untrained twins; see `systems`. Zero update is added.
        n_texts: how many texts, drawn from those of the recording; the twins follow the first of
            them (see `texts_followed`).
        n_states: displaced states of each kind; the same directions at every size.
        sizes: in units of the spread between texts, 1 among them.
        kinds: which of `grid`, `shift`, `random`, `towards`.
        starts: sites of injection; by default the first of every layer.
        seed: of the choice of texts and of directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `log_ratio`, `normalized_log_ratio` `(system, sample, kind, size, start, horizon)`, the
        horizons being `2`, `6`, `12` sublayers and `end`, the last site; `initial_distance`
        `(system, sample, kind, size, start)`; at size 1 `log_ratio_path` `(system, kind, start,
        site)`, mean over texts, and, where a system predicts tokens, `kl`, `kl_zero_update`,
        `kl_ratio` `(system, sample, kind, start)`; `jvp_log_ratio` `(system, sample, start)` of
        the directions of `random`, and `contracting_share` `(sample, start)` of `N_JACOBIANS`
        texts, both of the first system; `spread` `(system, start)`. NaN beyond the last site and
        for texts that a system does not follow, and, with one `UndefinedWarning`, where the texts
        do not differ.

    Raises:
        InputError: unknown sites or kinds, sizes that are not positive or lack 1, too many texts.
    """
    sites = systems[0].sites
    plan = _Plan(tuple(starts or layer_sites(sites)[:-1]), tuple(kinds), tuple(sizes), n_states)
    plan.check(sites)
    texts = chosen_texts(systems, n_texts, seed)
    followed = texts_followed(systems, texts, least=LEAST)
    work = ProgressCounter(sum(map(len, followed.values())), on_progress)
    results: dict[str, list[xr.Dataset]] = {system.name: [] for system in systems}
    results[ZERO_UPDATE] = []
    shares = np.full((n_texts, len(plan.starts)), np.nan)
    refusals: list[str] = []
    for system in systems:
        where = _Where(system, plan, refusals, differentiated=system is systems[0])
        for number, text in enumerate(work.each(followed[system.name])):
            flow = system.flow(text)
            found, unchanged = _followed(flow, where, (seed, text))
            results[system.name].append(found)
            if system is systems[0]:
                results[ZERO_UPDATE].append(unchanged)
                if number < N_JACOBIANS and not refusals:
                    shares[number] = contracting_shares(flow, plan.starts, LINEAR_HORIZON)
    whole = gathered(results, texts, systems[0].recording)
    whole["contracting_share"] = (("sample", "start"), shares, VARIABLES["contracting_share"])
    whole["spread"] = whole["spread"].max("sample", keep_attrs=True)
    whole["log_ratio_path"] = whole["log_ratio_path"].mean("sample", keep_attrs=True)
    _warn(whole["log_ratio"].sel(system=systems[0].name, horizon=END), refusals)
    return whole.assign_coords(site=list(sites))


@dataclass(frozen=True)
class _Plan:
    """Displacements made in every text: `n_states` of each kind and size at each start."""

    starts: tuple[str, ...]
    kinds: tuple[str, ...]
    sizes: tuple[float, ...]
    n_states: int

    @property
    def unit(self) -> int:
        """Place of the size of which paths and predictions are kept."""
        return self.sizes.index(UNIT_SIZE)

    def check(self, sites: Sequence[str]) -> None:
        """Refuse what is not there."""
        unknown = [*(set(self.starts) - set(sites[:-1])), *(set(self.kinds) - set(KINDS))]
        if unknown or not self.kinds:
            raise InputError(
                f"got {', '.join(map(repr, sorted(unknown))) or 'no kinds'}; starts are sites of "
                f"the recording before the last and kinds are of {', '.join(KINDS)}: "
                f"recovery(systems, starts=[{sites[0]!r}], kinds=['random'])"
            )
        if UNIT_SIZE not in self.sizes or min(self.sizes) <= 0 or not 1 <= self.n_states <= GRID**2:
            raise InputError(
                f"got sizes={self.sizes} and n_states={self.n_states}; sizes are positive, in "
                f"units of the spread between texts and 1 among them, with 1 to {GRID**2} states "
                "each: recovery(systems, sizes=(0.1, 1.0), n_states=2)"
            )


class _Where:
    """Plane of a system's states, and other texts' states with their spread by start.

    `refusals` receives why a model has no derivatives; none are asked for after the first, and
    none of systems that are not `differentiated`.
    """

    def __init__(
        self, system: System, plan: _Plan, refusals: list[str], *, differentiated: bool
    ) -> None:
        self.plan, self.predicts, self.refusals = plan, system.predicts, refusals
        self.differentiated = differentiated
        self.axes = plane_of(system.recording)
        self.states = {start: states_at(system.recording, start) for start in plan.starts}
        self.spread = {
            start: float(np.sqrt(((states - states.mean(axis=0)) ** 2).sum(axis=1).mean()))
            for start, states in self.states.items()
        }

    def displaced(self, clean: Floats, start: str, seed: Sequence[int]) -> Floats:
        """Displaced states, `(kind, size, state, unit)`; NaN where the texts do not differ."""
        sizes = np.array(self.plan.sizes)[:, np.newaxis, np.newaxis]
        if self.spread[start] <= ROUNDING * np.linalg.norm(clean):
            shape = (len(self.plan.kinds), len(sizes), self.plan.n_states, clean.size)
            return np.full(shape, np.nan)
        return np.stack(
            [
                self._on_grid(start, sizes, seed)
                if kind == "grid"
                else clean + sizes * self.spread[start] * self.directions(kind, clean, start, seed)
                for kind in self.plan.kinds
            ]
        )

    def _on_grid(self, start: str, sizes: Floats, seed: Sequence[int]) -> Floats:
        """Some of the grid's points, scaled about the texts' mean score, `(size, state, unit)`."""
        scores = self.axes.project(self.states[start])
        center = scores.mean(axis=0)
        chosen = _generator(seed, "grid").permutation(GRID**2)[: self.plan.n_states]
        return on_plane(center + sizes * (grid_scores(scores, GRID)[chosen] - center), self.axes)

    def directions(self, kind: str, clean: Floats, start: str, seed: Sequence[int]) -> Floats:
        """Unit vectors of one kind but `grid`, `(state, unit)`, whatever other kinds there are."""
        generator = _generator(seed, kind)
        n_states = self.plan.n_states
        if kind == "shift":
            in_plane: Floats = unit_vectors(generator.standard_normal((n_states, 2)))
            return in_plane @ self.axes.components
        if kind == "random":
            return unit_vectors(generator.standard_normal((n_states, clean.size)))
        apart = self.states[start] - clean
        apart = apart[np.linalg.norm(apart, axis=1) > ROUNDING * np.linalg.norm(clean)]
        return unit_vectors(apart[generator.choice(len(apart), n_states, len(apart) < n_states)])


def _generator(seed: Sequence[int], kind: str) -> np.random.Generator:
    return np.random.default_rng([*seed, KINDS.index(kind)])


def _followed(flow: FlowMap, where: _Where, seed: tuple[int, int]) -> tuple[xr.Dataset, xr.Dataset]:
    """All displacements of one text, by the flow and by zero update."""
    plan = where.plan
    shape = (len(plan.kinds), len(plan.sizes), len(plan.starts))
    logs = np.full((2, 2, *shape, len(flow.sites)), np.nan)  # of the flow, of zero update
    initial = np.full(shape, np.nan)
    ends = np.full((2, len(plan.kinds), len(plan.starts), plan.n_states, flow.n_units), np.nan)
    for place, start in enumerate(plan.starts):
        first = flow.sites.index(start)
        clean = flow.clean[first:]
        states = where.displaced(clean[0], start, (*seed, first))
        still = clean + (states - clean[0])[..., np.newaxis, :]
        carried = np.full_like(still, np.nan)
        if np.isfinite(states).all():
            flat = flow.advance(states.reshape(-1, flow.n_units), start, flow.sites[-1])
            carried = flat.reshape(still.shape)
        for system, paths in enumerate((carried, still)):
            logs[system, :, :, :, place, first:] = _log_ratios(paths, clean)
            ends[system, :, place] = paths[:, plan.unit, :, -1]
        initial[..., place] = _initial_distance(carried[..., 0, :], clean[0], where.spread[start])
    # Exact by construction: rounding in the sum of state and displacement is none of its own.
    logs[1, 0] *= 0.0
    linear = _jvp_log_ratio(flow, where, seed)
    divergence = _divergences(flow, ends[..., : min(KL_STATES, plan.n_states), :], where)
    found, unchanged = (
        _described(flow, where, logs[system], (initial, each), divergence[system])
        for system, each in enumerate((linear, 0.0 * linear))
    )
    return found, unchanged


def _described(
    flow: FlowMap,
    where: _Where,
    logs: Floats,
    initial_and_linear: tuple[Floats, Floats],
    divergence: Mapping[str, Floats],
) -> xr.Dataset:
    """One text's result of one system, from log ratios `(reading, kind, size, start, site)`."""
    plan = where.plan
    by_size, by_horizon = ("kind", "size", "start"), ("kind", "size", "start", "horizon")
    plain, normalized = (_at_horizons(each, plan.starts, flow.sites) for each in logs)
    initial, linear = initial_and_linear
    spread = np.array([where.spread[start] for start in plan.starts])
    values = {
        "log_ratio": (by_horizon, plain),
        "normalized_log_ratio": (by_horizon, normalized),
        "log_ratio_path": (("kind", "start", "site"), logs[0][:, plan.unit]),
        "initial_distance": (by_size, initial),
        "spread": ("start", spread),
        "jvp_log_ratio": ("start", linear),
        **{name: (("kind", "start"), each) for name, each in divergence.items()},
    }
    return xr.Dataset(
        {name: (*value, VARIABLES[name]) for name, value in values.items()},
        coords={
            "kind": list(plan.kinds),
            "size": list(plan.sizes),
            "start": list(plan.starts),
            "horizon": [*map(str, HORIZONS), END],
        },
    )


def _log_ratios(carried: Floats, clean: Floats) -> Floats:
    """Mean over states of log ratios, plain and normalized, `(reading, kind, size, site)`."""
    distances = np.linalg.norm(carried - clean, axis=-1)
    normalized = np.linalg.norm(_over_rms(carried) - _over_rms(clean), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.log(each / each[..., :1]).mean(axis=2) for each in (distances, normalized)]
    return np.stack(logs)


def _initial_distance(states: Floats, clean: Floats, spread: float) -> Floats:
    """Geometric mean over states of the first distance over the spread, `(kind, size)`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.linalg.norm(states - clean, axis=-1)).mean(axis=2)
        distance: Floats = np.exp(logs) / (spread or np.nan)
    return distance


def _over_rms(states: Floats) -> Floats:
    """States over the root mean square of their units."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled: Floats = states / np.sqrt((states**2).mean(axis=-1, keepdims=True))
    return scaled


def _at_horizons(logs: Floats, starts: Sequence[str], sites: Sequence[str]) -> Floats:
    """Of `(kind, size, start, site)` the values at the horizons and at the last site."""
    values = np.full((*logs.shape[:-1], len(HORIZONS) + 1), np.nan)
    values[..., -1] = logs[..., -1]
    for place, start in enumerate(starts):
        for column, horizon in enumerate(HORIZONS):
            site = sites.index(start) + horizon
            if site < len(sites):
                values[:, :, place, column] = logs[:, :, place, site]
    return values


def _divergences(flow: FlowMap, ends: Floats, where: _Where) -> list[dict[str, Floats]]:
    """KL of final states `(system, kind, start, state, unit)` by system, `(kind, start)`.

    Geometric means over states, in nats, and their ratio to those of zero update; empty where the
    system predicts no tokens.
    """
    if not where.predicts:
        return [{}, {}]
    found = divergences(flow, ends.reshape(-1, flow.n_units), flow.sites[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.exp(np.log(found.reshape(ends.shape[:-1])).mean(axis=-1))
        ratios = np.where(pooled[1] > 0, pooled / pooled[1], np.nan)
    return [
        {"kl": kl, "kl_zero_update": pooled[1], "kl_ratio": ratio}
        for kl, ratio in zip(pooled, ratios, strict=True)
    ]


def _jvp_log_ratio(flow: FlowMap, where: _Where, seed: tuple[int, int]) -> Floats:
    """Mean of ln |J v| / |v| over the directions of `random`, `(start)`."""
    starts = where.plan.starts
    if where.refusals or not where.differentiated:
        return np.full(len(starts), np.nan)
    aims = []
    for start in starts:
        first = flow.sites.index(start)
        aims.append(where.directions("random", flow.clean[first], start, (*seed, first)))
    try:
        carried = carried_changes(flow, starts, np.stack(aims), LINEAR_HORIZON)
    except ModelError as error:
        where.refusals.append(str(error))
        return np.full(len(starts), np.nan)
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(np.linalg.norm(carried, axis=2)).mean(axis=1)
    return logs


def _warn(ends: xr.DataArray, refusals: Sequence[str]) -> None:
    undefined = int(ends.isnull().sum())
    told = [f"{undefined} of {ends.size} log ratios ({NO_DIFFERENCE})"] if undefined else []
    told += [f"what needs Jacobians ({refusal})" for refusal in refusals]
    if told:
        warnings.warn(
            f"undefined (NaN): {'; '.join(told)}",
            UndefinedWarning,
            stacklevel=4,
        )

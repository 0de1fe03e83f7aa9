"""Unit communities against Jacobian gain: do layers amplify units between communities?

For a unit u at a site, with J the Jacobian from there to a later site on the unperturbed trajectory
and e_u the unit's axis:

    gain      g_u = |J e_u|          1: a small change of the unit keeps its size
    boundary  b_u                    share of the unit's edge weight to other communities

Their rank correlation over units is computed as it is, and with variance and strength of the unit
regressed out; the null permutes b. Cost: per text the Jacobians of all layers. Source:
arXiv 2605.14258; by unit, partial correlations and permutations: ours.
Documentation: docs/measures/perturbation.community_gain.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.units.community_variables import POSITION, even_sites
from transformer_dynamics.measures.units.partitions import (
    Method,
    UnitCommunities,
    unit_communities,
)
from transformer_dynamics.measures.units.unit_graph import MOST_SAMPLES, NEIGHBORS
from transformer_dynamics.numerics.arrays import Floats, warn_undefined
from transformer_dynamics.perturbation.depths import layer_sites
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    over_texts,
    stacked,
)
from transformer_dynamics.perturbation.jacobians.rank_correlation import (
    LEAST_PAIRS,
    rank_correlation,
)
from transformer_dynamics.perturbation.jacobians.steps import steps_of_text
from transformer_dynamics.perturbation.systems import System, model_and_one_twin
from transformer_dynamics.registry import perturbation

# Horizon of arXiv 2502.12131 for a perturbed state.
N_SUBLAYERS = 12
HORIZONS = ("layer", f"{N_SUBLAYERS} sublayers")
GAIN = {"units": "1", "definition": "|J e_u|, change at the later site over change of the unit"}
STATISTICS = ("spearman", "partial_spearman", "community_spearman")


def unit_gains(
    system: System, text: int, starts: Sequence[str]
) -> tuple[Floats, list[tuple[str, str]]]:
    """Gain of every unit at some sites over the layer and over 12 sublayers.

    Args:
        system: the system.
        text: index of the text.
        starts: first sites of layers.

    Returns:
        The gains `(horizon, start, unit)`, and for each start the sites where the horizons end: the
        final one if fewer than 12 sublayers follow.
    """
    layers, sites = layer_sites(system.sites), system.sites
    steps = dict(zip(pairwise(layers), steps_of_text(system, text), strict=True))
    gains, stops = [], []
    for start in starts:
        near = layers[layers.index(start) + 1]
        end = min(sites.index(start) + N_SUBLAYERS, len(sites) - 1)
        end = max(end, sites.index(near))
        far = sites[end]
        # Whole layers up to the horizon, and what is left of one.
        passed = [site for site in layers if sites.index(start) <= sites.index(site) <= end]
        whole = layer = steps[start, near]
        for step in pairwise(passed[1:]):
            whole = steps[step] @ whole
        if passed[-1] != far:
            whole = system.flow(text).jacobian(passed[-1], far).values @ whole
        gains.append(np.linalg.norm(np.stack([layer, whole]), axis=1))
        stops.append((near, far))
    return np.stack(gains, axis=1), stops


@perturbation(
    "perturbation.community_gain",
    title="Unit communities against Jacobian gain",
    source="arXiv 2605.14258; partial correlations and permutations: ours",
)
def community_gain(
    systems: Sequence[System],
    *,
    n_texts: int = 2,
    starts: Sequence[str] | None = None,
    neighbors: int = NEIGHBORS,
    method: Method = "louvain",
    n_permutations: int = 199,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Correlate each unit's position between communities with its gain, at several depths.

    Args:
        systems: the model first, then its untrained twins, of which the first is followed.
        n_texts: number of texts that give Jacobians; communities are those of the whole recording.
        starts: first sites of layers; by default six at even distances over depth.
        neighbors: number of strongest correlations that each unit keeps as edges.
        method: `louvain`, or `leiden` (extra `communities`).
        n_permutations: number of draws of the null of each correlation.
        seed: seed of the choice of texts and samples, of the partitions and of the permutations.
        on_progress: called with texts done and texts in all.

    Returns:
        `gain` `(system, sample, horizon, start, unit)`; `mean_gain`, its root mean square over
        texts; `boundary`, `strength`, `community` `(system, start, unit)`; `modularity`
        `(system, start)`; `spearman`, `partial_spearman`, `community_spearman`
        `(system, horizon, start)`, each with `..._p` and the middle 95 % of its permutations
        `..._null_low`, `..._null_high`; `stop` `(horizon, start)`, where the horizons end. NaN,
        with one `UndefinedWarning`, for fewer than five units or communities, or equal ones.

    Raises:
        InputError: sites that begin no layer, too many texts, or a parameter out of range.
        TdynError: `method` is leiden and leidenalg is not installed.
    """
    texts, sites = chosen_texts(systems, n_texts, seed), systems[0].sites
    systems = model_and_one_twin(systems)
    chosen = _checked(sites, starts, n_permutations)
    communities: dict[str, xr.Dataset] = {}

    def prepare(system: System) -> Experiment:
        communities[system.name] = _communities(system, chosen, neighbors, method, seed)
        return lambda text: {system.name: _gains(system, text, chosen)}

    whole = over_texts(systems, texts, prepare, on_progress=on_progress)
    whole = whole.merge(stacked(communities, "system"))
    whole["mean_gain"] = ((whole["gain"] ** 2).mean("sample") ** 0.5).assign_attrs(GAIN)
    whole = whole.merge(_correlations(whole, n_permutations, seed))
    reason = f"there are fewer than {LEAST_PAIRS} units or communities, or all have the same gain"
    warn_undefined(
        {"the rank correlations": np.stack([whole[name].values for name in STATISTICS])},
        f"{reason} or boundary position",
        stacklevel=3,
    )
    return whole.drop_vars("log_variance").assign_coords(
        start=np.array(chosen, dtype=object),
        depth=("start", np.array([sites.index(site) for site in chosen])),
    )


def _checked(sites: Sequence[str], starts: Sequence[str] | None, n_permutations: int) -> list[str]:
    """Starts, by default six at even distances."""
    layers = layer_sites(sites)[:-1]
    chosen = even_sites(layers) if starts is None else list(starts)
    if not chosen or not set(chosen) <= set(layers) or n_permutations < 1:
        raise InputError(
            f"got starts={chosen}, n_permutations={n_permutations}; starts are first sites of "
            f"layers, from {layers[0]} to {layers[-1]}, and permutations are at least 1: "
            f"community_gain(systems, starts=[{layers[0]!r}])"
        )
    return chosen


def _communities(
    system: System, starts: Sequence[str], neighbors: int, method: Method, seed: int
) -> xr.Dataset:
    """Communities of one system's units, `(start, unit)`, and the variance of the units."""
    recording = system.recording.sel(site=list(starts)).sampled(MOST_SAMPLES, seed=seed)
    values = recording.values.astype(np.float64)
    partitions: list[UnitCommunities] = [
        unit_communities(values[:, site], neighbors=neighbors, method=method, seed=seed)
        for site in range(len(starts))
    ]
    variance = values.var(axis=0)
    modularity = np.array([each.modularity for each in partitions])
    strength = np.stack([each.strength for each in partitions])
    per_unit = ("start", "unit")
    return xr.Dataset(
        {
            "community": (per_unit, np.stack([each.label for each in partitions])),
            "boundary": (per_unit, np.stack([each.boundary for each in partitions]), POSITION),
            "strength": (per_unit, strength, {"units": "1"}),
            "modularity": ("start", modularity, {"units": "1"}),
            "log_variance": (per_unit, np.log(np.where(variance > 0, variance, np.nan))),
        }
    )


def _gains(system: System, text: int, starts: Sequence[str]) -> xr.Dataset:
    """Gains in one text, `(horizon, start, unit)`."""
    gains, stops = unit_gains(system, text, starts)
    return xr.Dataset(
        {"gain": (("horizon", "start", "unit"), gains, GAIN)},
        coords={
            "horizon": np.array(HORIZONS, dtype=object),
            "stop": (("horizon", "start"), np.array(stops, dtype=object).T),
        },
    )


def _correlations(whole: xr.Dataset, n_permutations: int, seed: int) -> xr.Dataset:
    """Three rank correlations with their nulls, each `(system, horizon, start)`."""
    dims = ("system", "horizon", "start")
    gains = whole["mean_gain"].transpose(*dims, "unit").values
    fields = [
        whole[name].transpose("system", "start", "unit").values
        for name in ("boundary", "log_variance", "strength", "community")
    ]
    correlations = np.full((len(STATISTICS), *gains.shape[:3], 4), np.nan)
    correlate = partial(rank_correlation, n_permutations=n_permutations, seed=seed)
    for system, horizon, start in np.ndindex(gains.shape[:3]):
        boundary, variance, strength, label = (each[system, start] for each in fields)
        gain = gains[system, horizon, start]
        by_community = _community_means(label, boundary, gain)
        correlations[:, system, horizon, start] = [
            correlate(boundary, gain),
            correlate(boundary, gain, [variance, strength]),
            correlate(*by_community),
        ]
    attrs = (
        {"units": "1", "pooling": "over units", "null": "boundary permuted over units"},
        {"units": "1", "pooling": "over units", "given": "ranks of log variance and strength"},
        {"units": "1", "pooling": "over communities", "null": "boundary permuted over them"},
    )
    return xr.Dataset(
        {
            name + suffix: (dims, values[..., column], about)
            for name, values, about in zip(STATISTICS, correlations, attrs, strict=True)
            for column, suffix in enumerate(("", "_p", "_null_low", "_null_high"))
        }
    )


def _community_means(label: Floats, boundary: Floats, gain: Floats) -> tuple[Floats, Floats]:
    """Mean boundary and root mean square gain of the units of each community, `(community)`."""
    members = [label == community for community in range(int(label.max()) + 1)]
    means = np.array([boundary[each].mean() for each in members])
    return means, np.array([np.sqrt((gain[each] ** 2).mean()) for each in members])

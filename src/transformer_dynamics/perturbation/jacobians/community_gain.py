"""Unit communities against Jacobian gain: do layers amplify units between communities?

For a unit u at a site, with J the Jacobian from there to a later site on the unperturbed trajectory
and e_u the unit's axis,

    gain      g_u = |J e_u|          1: a small change of the unit keeps its size
    boundary  b_u                    share of the unit's edge weight to other communities

(see `unit_graph` for the latter). Over units, the rank correlation of b and g is given as it is,
and as the partial one with the ranks of the unit's log variance and strength (sum of edge weights)
regressed out of both, since a unit of large variance or few strong correlations may differ in both
for that reason alone. Over communities, the mean b of the units is compared with the root mean
square of their g, which is the expected gain of a random direction among them.

Nulls: b permuted over units (for the partial correlation, what is left of its ranks), and over
communities; and the untrained twin as a system. p-values are two-sided and not adjusted for the
number of sites.

Cost: per text and site the Jacobians of 12 sublayers. Source: arXiv 2605.14258 for communities and
their gain; the measure by unit, partial correlations and permutations: ours.
Not handled: units as a basis other than the model's own; intervals over texts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.linalg
import xarray as xr
from scipy.stats import rankdata

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.units.community_variables import POSITION, even_sites
from transformer_dynamics.measures.units.partitions import (
    Method,
    UnitCommunities,
    unit_communities,
)
from transformer_dynamics.measures.units.unit_graph import MOST_SAMPLES, NEIGHBORS
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.systems import (
    Progress,
    ProgressCounter,
    System,
    chosen_texts,
    gathered,
    layer_sites,
)
from transformer_dynamics.registry import perturbation
from transformer_dynamics.stats.significance import monte_carlo_p

# Over how many sublayers arXiv 2502.12131 follows a displaced state.
N_SUBLAYERS = 12
HORIZONS = ("layer", f"{N_SUBLAYERS} sublayers")
# Of fewer pairs a rank correlation takes too few values.
LEAST_PAIRS = 5
GAIN = {"units": "1", "definition": "|J e_u|, change at the later site over change of the unit"}
STATISTICS = ("spearman", "partial_spearman", "community_spearman")
BAND = (2.5, 97.5)


class RankCorrelation(NamedTuple):
    """A rank correlation and its null.

    Attributes:
        value: from -1 to 1.
        p: two-sided, of permutations.
        low: 2.5th percentile of the permutations.
        high: 97.5th percentile.
    """

    value: float
    p: float
    low: float
    high: float


def rank_correlation(
    first: Floats,
    second: Floats,
    given: Sequence[Floats] = (),
    *,
    n_permutations: int = 199,
    seed: int = 0,
) -> RankCorrelation:
    """Spearman correlation, or partial correlation of ranks, with permutations of the first.

    Args:
        first: `(pair)`; what is left of its ranks is permuted.
        second: `(pair)`.
        given: arrays `(pair)` whose ranks are regressed out of both, by least squares.
        n_permutations: draws of the null.
        seed: of the permutations.

    Returns:
        NaN for fewer than five pairs more than arrays in `given`, and where nothing is left of
        either; pairs with a NaN are left out.

    >>> rank_correlation(np.arange(6.0), np.arange(6.0) ** 3).value
    1.0
    """
    columns = np.stack([first, second, *given])
    columns = columns[:, np.isfinite(columns).all(axis=0)]
    undefined = RankCorrelation(np.nan, np.nan, np.nan, np.nan)
    if columns.shape[1] < LEAST_PAIRS + len(given):
        return undefined
    ranks = rankdata(columns, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    basis = scipy.linalg.orth(ranks[2:].T) if len(given) else np.empty((ranks.shape[1], 0))
    left = ranks[:2] - ranks[:2] @ basis @ basis.T
    before, after = ((each**2).sum(axis=1) for each in (ranks[:2], left))
    # What regression leaves of ranks it explains is rounding.
    if (after <= 1e-12 * before).any():
        return undefined
    rng = np.random.default_rng(seed)
    rows = np.vstack([left[0], rng.permuted(np.tile(left[0], (n_permutations, 1)), axis=1)])
    rows -= rows @ basis @ basis.T
    values = np.clip(rows @ left[1] / np.sqrt((rows**2).sum(axis=1) * after[1]), -1.0, 1.0)
    low, high = np.percentile(values[1:], BAND)
    # Rounding must not tell equal correlations apart.
    value, *draws = values.round(12)
    p = monte_carlo_p(value, draws, direction="two-sided")
    return RankCorrelation(float(value), float(p), float(low), float(high))


def unit_gains(flow: FlowMap, start: str) -> tuple[Floats, list[str]]:
    """Gain of every unit at a site over the layer and over 12 sublayers, `(horizon, unit)`.

    Args:
        flow: the flow map of one text.
        start: the first site of a layer.

    Returns:
        The gains, and the site where each horizon ends: the final one where fewer than 12
        sublayers are left.
    """
    layers = layer_sites(flow.sites)
    near = layers[layers.index(start) + 1]
    place = min(flow.sites.index(start) + N_SUBLAYERS, len(flow.sites) - 1)
    far = flow.sites[max(place, flow.sites.index(near))]
    layer = flow.jacobian(start, near)
    whole = layer if far == near else flow.jacobian(near, far) @ layer
    return np.linalg.norm(np.stack([layer, whole]), axis=1), [near, far]


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
    """Compare each unit's place between communities with its gain, at several depths.

    Args:
        systems: the model first, then baselines with other weights.
        n_texts: how many texts give Jacobians; communities are those of the whole recording.
        starts: first sites of layers; by default six at even distances over depth.
        neighbors: strongest correlations that each unit keeps as edges.
        method: `louvain`, or `leiden` (extra `communities`).
        n_permutations: draws of the null of each correlation.
        seed: of the choice of texts and samples, the partitions and the permutations.
        on_progress: called with texts done and texts in all.

    Returns:
        `gain` `(system, sample, horizon, start, unit)`; `mean_gain`, its root mean square over
        texts; `boundary`, `strength`, `community` `(system, start, unit)`; `modularity`
        `(system, start)`; `spearman`, `partial_spearman`, `community_spearman`
        `(system, horizon, start)`, each with `..._p` and the middle 95 % of its permutations
        `..._null_low`, `..._null_high`. The horizons are the layer and 12 sublayers, and `stop`
        `(horizon, start)` names where they end. NaN, with one `UndefinedWarning`, where fewer than
        five units or communities are left, or all have one gain or boundary.

    Raises:
        InputError: sites that begin no layer, too many texts, or a parameter out of range.
        TdynError: `method` is leiden and leidenalg is not installed.
    """
    texts, sites = chosen_texts(systems, n_texts, seed), systems[0].sites
    layers = layer_sites(sites)[:-1]
    places = even_sites(layers) if starts is None else list(starts)
    unknown = [site for site in places if site not in layers]
    if unknown or not places or n_permutations < 1:
        raise InputError(
            f"got starts={places}, n_permutations={n_permutations}; starts are first sites of "
            f"layers, from {layers[0]} to {layers[-1]}, and permutations are at least 1: "
            f"community_gain(systems, starts=[{layers[0]!r}])"
        )
    work = ProgressCounter(len(systems) * n_texts, on_progress)
    results: dict[str, list[xr.Dataset]] = {}
    found: dict[str, xr.Dataset] = {}
    for system in systems:
        found[system.name] = _communities(system, places, neighbors, method, seed)
        for text in work.each(texts):
            results.setdefault(system.name, []).append(_gains(system.flow(text), places))
    names = xr.DataArray(np.array(list(found), dtype=object), dims="system", name="system")
    whole = gathered(results, texts, systems[0].recording).merge(
        xr.concat(list(found.values()), names)
    )
    whole["mean_gain"] = ((whole["gain"] ** 2).mean("sample") ** 0.5).assign_attrs(GAIN)
    whole = whole.merge(_correlations(whole, n_permutations, seed))
    undefined = sum(int(whole[name].isnull().sum()) for name in STATISTICS)
    if undefined:
        warnings.warn(
            f"undefined (NaN): {undefined} of {len(STATISTICS) * whole['spearman'].size} rank "
            f"correlations; that is where fewer than {LEAST_PAIRS} units or communities are left, "
            "or all have the same gain or boundary position",
            UndefinedWarning,
            stacklevel=3,
        )
    return whole.drop_vars("log_variance").assign_coords(
        start=np.array(places, dtype=object),
        depth=("start", np.array([sites.index(site) for site in places])),
    )


def _communities(
    system: System, starts: Sequence[str], neighbors: int, method: Method, seed: int
) -> xr.Dataset:
    """The communities of one system's units, `(start, unit)`, and the variance of the units."""
    recording = system.recording.select(sites=list(starts)).sampled(MOST_SAMPLES, seed=seed)
    values = recording.values.astype(np.float64)
    found: list[UnitCommunities] = [
        unit_communities(values[:, place], neighbors=neighbors, method=method, seed=seed)
        for place in range(len(starts))
    ]
    variance = values.var(axis=0)
    per_unit = ("start", "unit")
    return xr.Dataset(
        {
            "community": (per_unit, np.stack([each.label for each in found])),
            "boundary": (per_unit, np.stack([each.boundary for each in found]), POSITION),
            "strength": (per_unit, np.stack([each.strength for each in found]), {"units": "1"}),
            "modularity": ("start", np.array([each.modularity for each in found]), {"units": "1"}),
            "log_variance": (per_unit, np.log(np.where(variance > 0, variance, np.nan))),
        }
    )


def _gains(flow: FlowMap, starts: Sequence[str]) -> xr.Dataset:
    """One text's gains, `(horizon, start, unit)`."""
    gains, stops = zip(*(unit_gains(flow, start) for start in starts), strict=True)
    return xr.Dataset(
        {"gain": (("horizon", "start", "unit"), np.stack(gains, axis=1), GAIN)},
        coords={
            "horizon": np.array(HORIZONS, dtype=object),
            "stop": (("horizon", "start"), np.array(stops, dtype=object).T),
        },
    )


def _correlations(whole: xr.Dataset, n_permutations: int, seed: int) -> xr.Dataset:
    """The three rank correlations with their nulls, each `(system, horizon, start)`."""
    dims = ("system", "horizon", "start")
    gains = whole["mean_gain"].transpose(*dims, "unit").values
    fields = [
        whole[name].transpose("system", "start", "unit").values
        for name in ("boundary", "log_variance", "strength", "community")
    ]
    found = np.full((len(STATISTICS), *gains.shape[:3], 4), np.nan)
    correlate = partial(rank_correlation, n_permutations=n_permutations, seed=seed)
    for system, horizon, start in np.ndindex(gains.shape[:3]):
        boundary, variance, strength, label = (each[system, start] for each in fields)
        gain = gains[system, horizon, start]
        by_community = _community_means(label, boundary, gain)
        found[:, system, horizon, start] = [
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
            name + suffix: (dims, values[..., place], about)
            for name, values, about in zip(STATISTICS, found, attrs, strict=True)
            for place, suffix in enumerate(("", "_p", "_null_low", "_null_high"))
        }
    )


def _community_means(label: Floats, boundary: Floats, gain: Floats) -> tuple[Floats, Floats]:
    """Mean boundary and root mean square gain of the units of each community, `(community)`."""
    members = [label == community for community in range(int(label.max()) + 1)]
    means = np.array([boundary[each].mean() for each in members])
    return means, np.array([np.sqrt((gain[each] ** 2).mean()) for each in members])

"""Unit communities: groups of units that vary together over samples, at several depths.

At each site the graph of units (`unit_graph`) is partitioned by modularity (`partitions`).
Modularity is compared with two null models: `independent_units`, a graph of noise, and
`random_basis`, which keeps the spectrum of the correlation matrix and mixes the units. Partitions
of neighboring sites are compared with each other and with a second run at the same site.

Source: arXiv 2605.14258 for communities of units by correlation; null models and agreement: ours.
Cost: sites x (2 n_null + 2) partitions. Not handled: intervals over texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.units.partitions import (
    Method,
    UnitCommunities,
    agreement,
    unit_communities,
)
from transformer_dynamics.measures.units.unit_graph import (
    MOST_SAMPLES,
    NEIGHBORS,
    absolute_correlation,
    zero_filled_z_scores,
)
from transformer_dynamics.numerics.arrays import Floats, warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS, measure

N_SITES = 6
NULL_NAMES = ("independent_units", "random_basis")
# Units of the correlation matrix that is kept for the figure.
MOST_SHOWN = 256
POSITION = {
    "units": "1",
    "definition": "share of edge weight that leads to other communities",
    "denominator": "the unit's sum of edge weights",
}
QUALITY = {"units": "1", "definition": "modularity of the weighted graph, resolution 1"}
UNDEFINED = "units do not vary over samples, or samples are fewer than three"


def even_sites(sites: Sequence[str], n_sites: int = N_SITES) -> list[str]:
    """Choose at most `n_sites` sites evenly over depth, with the first and the last.

    >>> even_sites(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    return [sites[index] for index in _even_indices(len(sites), n_sites)]


def _even_indices(length: int, most: int) -> Any:
    return np.linspace(0, length - 1, min(most, length)).round().astype(int)


@measure(
    "units.communities",
    title="Communities of units that vary together",
    source="arXiv 2605.14258; Blondel et al. 2008; nulls: ours",
)
def communities(
    recording: Recording,
    *,
    sites: Sequence[str] | None = None,
    neighbors: int = NEIGHBORS,
    method: Method = "louvain",
    n_null: int = 5,
    n_samples: int = MOST_SAMPLES,
    seed: int = 0,
) -> xr.Dataset:
    """Communities of units at several sites, with the modularity of two null models.

    Args:
        recording: states `(sample, site, unit)`.
        sites: labels of sites; by default six at even distances over depth.
        neighbors: number of strongest correlations that each unit keeps as edges.
        method: `louvain`, or `leiden` (extra `communities`).
        n_null: number of draws of each null model.
        n_samples: largest number of samples; more are subsampled, seeded.
        seed: seed of the subsample, the partitions and the null models.

    Returns:
        `community` `(site, unit)`, from 0 for the largest, -1 for units that do not vary;
        `boundary` `(site, unit)`, share of a unit's edge weight that leads to other communities;
        `strength` `(site, unit)`; `modularity`, `n_communities`, `rerun_adjusted_rand` `(site)`;
        `null_modularity` `(null, draw, site)`; `adjusted_rand`, `adjusted_mutual_information`
        `(pair)`, of neighboring sites; `correlation` `(shown, shown_other)`, |r| at the middle
        site, in order of communities, of at most 256 units. NaN, with one `UndefinedWarning`, where
        units do not vary or samples are fewer than three.

    Raises:
        InputError: states that are not finite, or a parameter out of range.
        RecordingError: unknown sites.
        TdynError: `method` is leiden and leidenalg is not installed.
    """
    chosen = _chosen(recording, sites, n_null, n_samples, seed)
    main, rerun, *draws = np.random.SeedSequence(seed).generate_state(2 + n_null).tolist()
    # Null models of z-scored units: their correlations are those of the states, and no unit of
    # massive variance dominates the random basis.
    scores = _z_scored(chosen)

    def partitions(states: Floats, seed: int) -> list[UnitCommunities]:
        return [
            unit_communities(states[:, site], neighbors=neighbors, method=method, seed=seed)
            for site in range(states.shape[1])
        ]

    null_models = [NULLS.get(name).function for name in NULL_NAMES]
    by_site = partitions(scores.values, main)
    null_modularity = [
        [
            [each.modularity for each in partitions(null(scores, seed=draw).values, draw)]
            for draw in draws
        ]
        for null in null_models
    ]
    variables = {
        **_site_variables(by_site, partitions(scores.values, rerun)),
        "null_modularity": (("null", "draw", "site"), np.array(null_modularity), QUALITY),
        **_between_sites(by_site),
        **_shown(scores, by_site),
    }
    numbers = {name: each[1] for name, each in variables.items() if each[1].dtype.kind == "f"}
    warn_undefined(numbers, UNDEFINED, stacklevel=3)
    return xr.Dataset(
        variables, coords=_coords(recording, chosen), attrs={"n_samples": chosen.shape[0]}
    )


def _chosen(
    recording: Recording, sites: Sequence[str] | None, n_null: int, n_samples: int, seed: int
) -> Recording:
    """Select the sites, in order of depth, and subsample."""
    if n_null < 1 or n_samples < 1 or (sites is not None and not len(sites)):
        raise InputError(
            f"got n_null={n_null}, n_samples={n_samples}, sites={sites}; each number is at least 1 "
            "and sites names at least one site: td.units.communities(recording)"
        )
    wanted = even_sites(recording.sites) if sites is None else list(dict.fromkeys(sites))
    selected = recording.sel(site=wanted)
    by_depth = sorted(wanted, key=recording.sites.index)
    return selected.sel(site=by_depth).sampled(n_samples, seed=seed)


def _z_scored(recording: Recording) -> Recording:
    """Scale each unit to mean 0 and variance 1 over samples, site by site."""
    states = [zero_filled_z_scores(recording.values[:, site]) for site in range(recording.shape[1])]
    return recording.with_values(np.stack(states, axis=1))


def _coords(recording: Recording, chosen: Recording) -> dict[str, Any]:
    depth = [recording.sites.index(site) for site in chosen.sites]
    pairs = [f"{one} to {other}" for one, other in pairwise(chosen.sites)]
    return {
        **chosen.site_coords,
        "depth": ("site", np.array(depth)),
        "null": ("null", np.array(NULL_NAMES, dtype=object)),
        "pair": ("pair", np.array(pairs, dtype=object)),
    }


def _site_variables(
    by_site: Sequence[UnitCommunities], rerun: Sequence[UnitCommunities]
) -> dict[str, Any]:
    per_unit, per_site = ("site", "unit"), ("site",)
    same = [agreement(one.label, other.label)[0] for one, other in zip(by_site, rerun, strict=True)]
    return {
        "community": (per_unit, np.stack([each.label for each in by_site])),
        "boundary": (per_unit, np.stack([each.boundary for each in by_site]), POSITION),
        "strength": (
            per_unit,
            np.stack([each.strength for each in by_site]),
            {"units": "1", "definition": "sum of the |r| of a unit's edges"},
        ),
        "modularity": (per_site, np.array([each.modularity for each in by_site]), QUALITY),
        "n_communities": (per_site, np.array([each.n_communities for each in by_site])),
        "rerun_adjusted_rand": (
            per_site,
            np.array(same),
            {"units": "1", "definition": "adjusted Rand index of two seeds of the partition"},
        ),
    }


def _between_sites(by_site: Sequence[UnitCommunities]) -> dict[str, Any]:
    pairs = [agreement(one.label, other.label) for one, other in pairwise(by_site)]
    values = np.array(pairs).reshape(-1, 2)
    names = ("adjusted_rand", "adjusted_mutual_information")
    return {
        name: ("pair", values[:, column], {"units": "1", "definition": "of neighboring sites"})
        for column, name in enumerate(names)
    }


def _shown(scores: Recording, by_site: Sequence[UnitCommunities]) -> dict[str, Any]:
    """Correlate the units of the middle site in order of their community, evenly thinned."""
    site = len(by_site) // 2
    label, strength = by_site[site].label, by_site[site].strength
    # Within a community, the units with the largest strength come first.
    order = np.lexsort((-strength, label))
    units = order[_even_indices(order.size, MOST_SHOWN)]
    absolute = {
        "units": "1",
        "definition": "|Pearson's r| over samples",
        "site": scores.sites[site],
    }
    values = absolute_correlation(scores.values[:, site][:, units])
    return {
        "correlation": (("shown", "shown_other"), values, absolute),
        "shown_unit": ("shown", units),
        "shown_community": ("shown", label[units]),
    }
